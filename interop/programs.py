"""The programs under test: `pod-identity dev`, and the agent alone in front of dev's EKS Auth API."""

import contextlib
import http.client
import json
import os
import pathlib
import shlex
import socket
import subprocess
import time

LOGS = pathlib.Path(__file__).resolve().parent / ".work/logs"

REGION, ACCOUNT = "us-west-2", "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/web"
NAMESPACE, SERVICE_ACCOUNT = "shop", "web"

# A cold JVM or interpreter on a busy machine of two cores; a healthy run stays far below.
PATIENCE = 60


def free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def plain_environment(home):
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}


def get(port, path, headers=None, timeout=10):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ask(port, token):
    """What the agent serves for this token right now."""
    status, body = get(port, "/v1/credentials", {"Authorization": token})
    if status != 200:
        raise RuntimeError(f"the agent answered {status} to the harness: {body.decode(errors='replace')[:300]}")
    return json.loads(body)


def wait_for(what, ready, seconds=30):
    deadline = time.monotonic() + seconds
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            last = str(error)
        time.sleep(0.05)
    raise RuntimeError(f"{what} was not ready within {seconds} s: {last}")


class Ended(Exception):
    """A program that should run does not, and waiting will not help."""


def last_words(name):
    """What to tell of a program that ended: the end of its log, and where the rest is."""
    path = LOGS / f"{name}.log"
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return f"{lines[-1][-300:] if lines else 'it said nothing'} ({path})"


class Program:
    """A program of ours in the background; its output goes to a log of its own."""

    def __init__(self, name, command, environment):
        self.name = name
        self._log = open(LOGS / f"{name}.log", "wb")
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    def running(self):
        if self._process.poll() is not None:
            raise Ended(f"{self.name} ended with {self._process.returncode}: {last_words(self.name)}")
        return True

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log.close()


class Emulator:
    """`pod-identity dev`: agent, EKS Auth API and issuer in one process."""

    def __init__(self, folder, name="dev", options=(), environment=()):
        self._binary = os.environ["POD_IDENTITY_BIN"]
        self._data = folder / name
        self._environment = {**plain_environment(folder), **dict(environment)}
        self.port, self.api_port, metrics_port = free_ports(3)
        # fmt: off
        self.program = Program(name, [
            self._binary, "dev", "--data", str(self._data), "--ephemeral",
            "--agent-port", str(self.port), "--api-port", str(self.api_port), "--metrics-port", str(metrics_port),
            "--associate", f"{NAMESPACE}/{SERVICE_ACCOUNT}={ROLE}", *options,
        ], self._environment)
        # fmt: on
        wait_for(name, lambda: self.program.running() and get(metrics_port, "/healthz")[0] == 200)

    def _run(self, *arguments):
        done = subprocess.run(
            [self._binary, "dev", *arguments], env=self._environment, capture_output=True, text=True, timeout=PATIENCE
        )
        if done.returncode != 0:
            raise RuntimeError(f"dev {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def _identity(self, namespace=NAMESPACE, service_account=SERVICE_ACCOUNT):
        return ["--data", str(self._data), "--namespace", namespace, "--service-account", service_account]

    def associate(self, service_account, role, target=None):
        hops = ["--role-arn", role] + (["--target-role-arn", target] if target else [])
        self._run("associate", *self._identity(service_account=service_account), *hops)

    def token(self, pod, other_than=None, **identity):
        """A token of this pod. Two made within one second may be the same bytes, hence `other_than`."""
        for _ in range(30):
            token = self._run("token", *self._identity(**identity), "--pod", pod).strip()
            if token != other_than:
                return token
            time.sleep(0.1)
        raise RuntimeError(f"every new token of pod {pod} equals the one before")

    def keys(self):
        words = shlex.split(self._run("keys", "--data", str(self._data)).replace("export ", ""), comments=True)
        return dict(word.split("=", 1) for word in words)

    def runner(self):
        return [self._binary, "dev", "run", *self._identity(), "--"]


class Agent:
    """The agent alone, as on a node, with dev's API as its EKS Auth."""

    def __init__(self, folder, emulator):
        self.port, probe_port, metrics_port = free_ports(3)
        # fmt: off
        self.program = Program("agent", [
            os.environ["AGENT_BIN"], "server", "--cluster-name", "dev",
            "--port", str(self.port), "--bind-hosts", "127.0.0.1", "--probe-port", str(probe_port),
            "--metrics-address", "127.0.0.1", "--metrics-port", str(metrics_port),
            "--endpoint", f"http://127.0.0.1:{emulator.api_port}",
        ], {**plain_environment(folder), "AWS_REGION": "us-west-2", **emulator.keys()})
        # fmt: on
        wait_for("agent", lambda: self.program.running() and get(self.port, "/")[0])
