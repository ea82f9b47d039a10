"""A pod as an SDK sees it: the projected token, the environment of the admission webhook, and the process in it."""

import contextlib
import datetime
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading

from programs import LOGS, PATIENCE, Ended, last_words, plain_environment

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE / ".work"

CLIENTS = {
    "python": [str(WORK / "python/bin/python"), str(HERE / "clients/python/main.py")],
    "javascript": [str(WORK / "javascript/node"), str(WORK / "javascript/main.mjs")],
    "rust": [str(WORK / "rust/debug/interop-rust")],
    "go": [str(WORK / "go/interop-go")],
    "java": ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{WORK}/java/classes:{WORK}/java/lib/*", "Main"],
    "cli": [sys.executable, str(HERE / "clients/cli/main.py"), str(WORK / "cli/aws/aws")],
}
# Moves the moment of expiry forward by itself, so that its cache renews in time.
STATED_EARLIER = {"go": datetime.timedelta(minutes=5)}


class TokenFile:
    """A projected token as kubelet keeps it: a link to a folder that is swapped whole."""

    def __init__(self, folder):
        self._folder = folder
        self.path = folder / "eks-pod-identity-token"
        folder.mkdir()
        os.symlink("..data/eks-pod-identity-token", self.path)

    def write(self, token):
        version = pathlib.Path(tempfile.mkdtemp(prefix="..", dir=self._folder))
        (version / "eks-pod-identity-token").write_text(token)
        link = self._folder / "..data_tmp"
        os.symlink(version.name, link)
        os.replace(link, self._folder / "..data")


def pod_environment(home, port=None, token_file=None):
    """What a pod sees: the variables that the admission webhook adds, and nothing else of AWS's."""
    environment = {
        **plain_environment(home),
        "AWS_REGION": "us-west-2",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        # A chain that gets nothing from the agent must fail here, not look for an EC2 instance.
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if token_file:
        environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://127.0.0.1:{port}/v1/credentials"
        environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(token_file)
    return environment


class Client:
    """One process of one SDK. It answers once when it starts and once more for each `again`."""

    def __init__(self, name, environment, prefix=(), command=None):
        self.name = name
        self._errors = open(LOGS / f"{name}.log", "ab")
        self._process = subprocess.Popen(
            [*prefix, *(command or CLIENTS[name])],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def answer(self):
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise RuntimeError(f"no answer within {PATIENCE} s") from None
        if line is None:
            raise Ended(f"the client ended without an answer: {last_words(self.name)}")
        return json.loads(line)

    def again(self):
        return self.tell("again")

    def tell(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._process.stdin.write("quit\n")
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
