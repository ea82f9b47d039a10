"""Starts the agent, lets unmodified AWS SDKs ask it for credentials, and compares their answers with the agent's own.
EKS's operations are in `eks.py`, a foreign STS behind the agent in `sts.py`, the page of docs/ that is run in `walkthrough.py`.

Called by `interop/run`, which builds the clients first and says in `.work/state/` which of them can run.
"""

import argparse
import concurrent.futures
import datetime
import functools
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading

import eks
import sts
import walkthrough
from pod import CLIENTS, HERE, STATED_EARLIER, WORK, Client, TokenFile, pod_environment
from programs import LOGS, Agent, Emulator, Ended, ask, get
from recorder import Recorder, Request

FIXTURES = HERE / "fixtures"
CONNECTIONS = FIXTURES / "connections.json"

# Not a client of the agent but the STS behind it.
MOTO = "moto"

# What goes wrong around an SDK, as opposed to in the harness itself.
TROUBLE = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    Ended,
    http.client.HTTPException,
    subprocess.SubprocessError,
)


class Report:
    """Prints one line per client and check, and counts."""

    def __init__(self):
        self._lock = threading.Lock()
        self.passed = self.failed = self.skipped = 0

    def check(self, client, name, good, why=""):
        with self._lock:
            if good:
                self.passed += 1
            else:
                self.failed += 1
            tail = "" if good else f": {why}"
            print(f"{client:<11} {'ok  ' if good else 'FAIL'} {name}{tail}", flush=True)

    def skip(self, client, why):
        with self._lock:
            self.skipped += 1
            print(f"{client:<11} skip {why}", flush=True)

    def close(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"interop: {self.passed} passed, {self.failed} failed{skipped}", flush=True)
        return 1 if self.failed else 0


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Walk:
    """Everything that is checked with one client."""

    def __init__(self, name, folder, report, recorded_connections):
        self.name = name
        self._report = report
        self._recorded = recorded_connections
        self._home = folder / f"{name}-home"
        self._home.mkdir()
        self._token_file = TokenFile(folder / f"{name}-token")
        self.kept_alive = None

    def _check(self, what, good, why=""):
        self._report.check(self.name, what, good, why)

    def _same_key(self, what, answer, served):
        mine, theirs = answer["accessKeyId"], served["AccessKeyId"]
        self._check(what, mine == theirs, f"the SDK has {mine}, the agent serves {theirs}")

    def serving(self, emulator, record):
        try:
            self._serving(emulator, record)
        except TROUBLE as error:
            self._check("ran to the end", False, f"{type(error).__name__}: {error}")

    def _serving(self, emulator, record):
        token = emulator.token(f"{self.name}-0")
        self._token_file.write(token)
        recorder = Recorder(emulator.port)
        environment = pod_environment(self._home, recorder.port, self._token_file.path)
        try:
            with Client(self.name, environment) as client:
                first = client.answer()
                served = ask(emulator.port, token)
                self._same_key("credentials from the default chain", first, served)
                complete = first["hasSecret"] and first["hasToken"]
                self._check("secret and session token are there", complete, f"the SDK printed {first}")
                self._expiration(first, served)

                second = client.again()
                self._same_key("asked again in the same process", second, ask(emulator.port, token))
                self._connections(recorder.requests, record)
                self._head(recorder.requests[0], token, record)

                rotated = emulator.token(f"{self.name}-0", other_than=token)
                self._token_file.write(rotated)
                third = client.again()
                self._same_key("goes on after the token was rotated", third, ask(emulator.port, rotated))
                sent = rotated.encode() in recorder.requests[-1].head
                self._check("the new token is the one it sent", sent, "its last request carried another token")

            before = len(recorder.requests)
            with Client(self.name, environment) as client:
                self._same_key("a second process", client.answer(), ask(emulator.port, rotated))
            self._check("the second process asked the agent", len(recorder.requests) > before, "no request was seen")
        finally:
            recorder.close()

        with Client(self.name, pod_environment(self._home), emulator.runner()) as client:
            answer = client.answer()
            good = bool(answer["accessKeyId"]) and answer["hasSecret"] and answer["hasToken"]
            self._check("under `pod-identity dev run`", good, f"the SDK printed {answer}")

    def _expiration(self, answer, served):
        what = "expiration is read and lies ahead"
        try:
            read = moment(answer["expiration"])
        except ValueError:
            self._check(what, False, f"the SDK printed {answer['expiration']!r} for {served['Expiration']}")
            return
        meant = moment(served["Expiration"]) - STATED_EARLIER.get(self.name, datetime.timedelta())
        good = abs((read - meant).total_seconds()) < 1 and read > datetime.datetime.now(datetime.timezone.utc)
        self._check(what, good, f"the SDK read {read} from {served['Expiration']}")

    def _connections(self, requests, record):
        """Two requests in quick succession: on one connection or on two."""
        self.kept_alive = len(requests) > 1 and len({request.connection for request in requests}) == 1
        words = {True: "one kept-alive connection", False: "a new connection for each request"}
        if record:
            return
        recorded = self._recorded.get(self.name, {}).get("kept_alive")
        if recorded is None:
            self._check("connections as recorded", False, "nothing is recorded: interop/run --record")
            return
        why = f"now {words[self.kept_alive]}. Where the SDK changed its ways: interop/run --record {self.name}"
        self._check(words[recorded], self.kept_alive == recorded, why)

    def _head(self, request, token, record):
        path = FIXTURES / f"{self.name}.http"
        head = request.head.replace(token.encode(), b"{{token}}")
        # The kernel of whoever recorded is no business of a fixture.
        head = re.sub(rb"( os/Linux)#\S+", rb"\1#6.1.0", head)
        if record:
            if not path.exists() or steady(path.read_bytes()) != steady(head):
                path.write_bytes(head)
                print(f"{self.name:<11} recorded {path.relative_to(HERE.parent)}", flush=True)
            return
        what = "request head has the recorded headers"
        if not path.exists():
            self._check(what, False, f"nothing is recorded: interop/run --record {self.name}")
            return
        recorded = Request(0, path.read_bytes())
        new = request.header_names - recorded.header_names
        gone = recorded.header_names - request.header_names
        differences = [f"new: {', '.join(sorted(new))}"] * bool(new)
        differences += [f"gone: {', '.join(sorted(gone))}"] * bool(gone)
        differences += [f"request line now {request.line!r}"] * (request.line != recorded.line)
        why = f"{'; '.join(differences)}. If this SDK version means it: interop/run --record {self.name}, then commit"
        self._check(what, not differences, why)

    def outage_token(self, emulator):
        self._outage_token = emulator.token(f"{self.name}-1")
        self._token_file.write(self._outage_token)

    def cached_before(self, agent):
        self._cached = ask(agent.port, self._outage_token)

    def without_eks_auth(self, agent):
        what = "credentials from the cache while EKS Auth is dead"
        try:
            with Client(self.name, pod_environment(self._home, agent.port, self._token_file.path)) as client:
                self._same_key(what, client.answer(), self._cached)
        except TROUBLE as error:
            self._check(what, False, f"{type(error).__name__}: {error}")


def steady(head):
    """A head without what differs from run to run, so that recording twice changes no file."""
    head = re.sub(rb"(?i)(\r\nhost: 127\.0\.0\.1):\d+", rb"\1", head)
    return re.sub(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"", head)


def outage(folder, emulator, walks, report, together):
    """A node's agent that has served a pod serves it on when EKS Auth is gone."""
    agent = Agent(folder, emulator)
    try:
        for walk in walks:
            walk.outage_token(emulator)
            walk.cached_before(agent)
        unseen = emulator.token("unseen-0")
        emulator.program.kill()
        # Without this the check below could pass because EKS Auth still answers somewhere.
        status, _ = get(agent.port, "/v1/credentials", {"Authorization": unseen}, timeout=30)
        what = "an unknown token gets a 5xx while EKS Auth is dead"
        report.check("agent", what, status >= 500, f"it got {status}")
        list(together.map(lambda walk: walk.without_eks_auth(agent), walks))
    finally:
        agent.program.stop()


def guarded(report, name, what, walk, *arguments):
    """A task that reports what goes wrong around it."""

    def task():
        try:
            walk(*arguments)
        except TROUBLE as error:
            report.check(name, f"{what}: ran to the end", False, f"{type(error).__name__}: {error}; logs in {LOGS}")

    return task


def tasks_before_the_outage(folder, emulator, walks, names, report, record):
    """The longest first. What records fixtures calls no other service."""
    if not record:
        for name in reversed(eks.TOOLS):
            if name in names:
                operations = eks.Operations(name, folder, report, emulator)
                yield guarded(report, name, "EKS", operations.walk)
        # The page uses both tools.
        if {"python", "cli"} <= set(names):
            yield guarded(report, "walkthrough", "page", walkthrough.walk, report)
        if MOTO in names:
            yield guarded(report, MOTO, "STS", sts.walk, folder, report)
    for walk in walks:
        yield functools.partial(walk.serving, emulator, record)


def able(names, report):
    """The clients that can run. One that cannot is a failure where everything must be there."""
    for name in names:
        path = WORK / "state" / name
        state = path.read_text().strip() if path.exists() else "failed: not prepared"
        if state == "ready":
            yield name
        elif state.startswith("missing") and os.environ.get("CI") != "true":
            report.skip(name, state)
        else:
            report.check(name, "can run", False, state)


def main():
    parser = argparse.ArgumentParser(prog="interop/run")
    parser.add_argument("--record", action="store_true", help="write the fixtures anew instead of comparing")
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help="default: all")
    options = parser.parse_args()
    # So that the programs started below are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    for name in CLIENTS:
        (LOGS / f"{name}.log").unlink(missing_ok=True)

    report = Report()
    recorded = json.loads(CONNECTIONS.read_text()) if CONNECTIONS.exists() else {}
    names = list(able(options.clients or [*CLIENTS, MOTO], report))
    with tempfile.TemporaryDirectory(dir=WORK, prefix="run-") as path:
        folder = pathlib.Path(path)
        walks = [Walk(name, folder, report, recorded) for name in names if name in CLIENTS]
        # One per core: a client that waits for the processor meets its own time limits (Java: 1 s).
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as together:
            try:
                emulator = Emulator(folder)
                try:
                    tasks = tasks_before_the_outage(folder, emulator, walks, names, report, options.record)
                    list(together.map(lambda task: task(), list(tasks)))
                    if walks and not options.record:
                        outage(folder, emulator, walks, report, together)
                finally:
                    emulator.program.stop()
            except TROUBLE as error:
                report.check("agent", "is up and answers", False, f"{type(error).__name__}: {error}; logs in {LOGS}")
    if options.record:
        recorded |= {walk.name: {"kept_alive": walk.kept_alive} for walk in walks if walk.kept_alive is not None}
        CONNECTIONS.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
