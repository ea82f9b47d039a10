"""Walks through docs/associations.md: runs its commands as they are written and compares what they print with the page.

On the page, a block of `sh` or `python` is run, and the `json` or `text` block after it is all that it prints; without
one it prints nothing. `…` stands for one or more characters that are neither white space nor quotation marks. A block of
`sh background` is a program that runs until the end of the page. All other `sh` blocks share one shell.
Only the ports differ from what the page says, so that it can be walked while they are taken.
"""

import os
import pathlib
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time

from pod import HERE, WORK
from programs import LOGS, PATIENCE, Ended, Program, free_ports, plain_environment

PAGE = HERE.parent / "docs/associations.md"
# The page's ports, and how `dev` is given others.
FLAGS = {17023: "--agent-port", 17024: "--api-port", 17025: "--metrics-port"}

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = {"sh", "python"}
PRINTED = {"json", "text"}


class Step:
    """One block that is run, and what the page says that it prints."""

    def __init__(self, page, block):
        self.language, self.kind, self.text = block[1], block[2].strip(), block[3]
        self.line = page.count("\n", 0, block.start()) + 2
        self.wanted = ""

    def name(self):
        """The place on the page and how the block begins."""
        begins = self.text.strip().splitlines()[0].rstrip(" \\")
        return f"docs/{PAGE.name}:{self.line} {begins[:60]}"

    def is_as_written(self, printed):
        return re.fullmatch(r'[^\s"]+'.join(map(re.escape, tidy(self.wanted).split("…"))), tidy(printed)) is not None

    def difference(self, printed):
        return "it printed\n" + "\n".join(f"    {line}" for line in tidy(printed).splitlines() or ["nothing"])


def steps(page):
    found = []
    for block in BLOCK.finditer(page):
        if block[1] in RUN:
            found.append(Step(page, block))
        elif block[1] in PRINTED and found:
            found[-1].wanted += block[3]
        else:
            raise ValueError(f"{PAGE.name}: nothing is known of a block of {block[1]} here")
    return found


def tidy(text):
    """Without empty lines around it and spaces at the ends of lines."""
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


class Shell:
    """One bash for all blocks; what they set stays set."""

    def __init__(self, environment, folder):
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def run(self, text):
        end = f"end-of-block-{os.urandom(8).hex()}"
        # Nothing may read the blocks to come as its input.
        self._process.stdin.write(f"{{\n{text}\n}} </dev/null\necho\necho {end}\n")
        self._process.stdin.flush()
        printed, deadline = "", time.monotonic() + PATIENCE
        while (line := self._next(deadline)) != f"{end}\n":
            printed += line
        return printed

    def _next(self, deadline):
        try:
            line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise RuntimeError(f"the block did not end within {PATIENCE} s") from None
        if line is None:
            raise Ended("the shell ended in the middle of a block")
        return line

    def close(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Walkthrough:
    """The page on ports of its own, with the programs under test and the prepared tools in PATH."""

    def __init__(self, folder):
        self._folder = folder
        self._ports = dict(zip(map(str, FLAGS), map(str, free_ports(len(FLAGS)))))
        tools = folder / "bin"
        tools.mkdir()
        shim = tools / "pod-identity"
        flags = " ".join(f"{flag} {self._ports[str(port)]}" for port, flag in FLAGS.items())
        # `dev` alone, or with flags, is what starts it; `dev token` and its like must not get ports.
        shim.write_text(
            f'#!/bin/bash\nif [ "$1" = dev ]; then case ${{2:---}} in -*) shift; set -- dev {flags} "$@" ;; esac; fi\n'
            f'exec -a pod-identity "{os.environ["POD_IDENTITY_BIN"]}" "$@"\n'
        )
        shim.chmod(0o755)
        environment = plain_environment(folder)
        path = [tools, WORK / "cli/aws", WORK / "python/bin", environment["PATH"]]
        self._environment = {
            **environment,
            "PATH": os.pathsep.join(map(str, path)),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._running = []
        self._shell = Shell(self._environment, folder)

    def take(self, step):
        """What the step printed, in the page's ports."""
        text = self._swap(step.text, self._ports)
        if step.kind == "background":
            return self._start(step, text)
        if step.language == "python":
            text = f"python3 - <<'END_OF_PYTHON'\n{text}END_OF_PYTHON"
        return self._as_on_page(self._shell.run(text))

    def _start(self, step, text):
        """Waits until the program has printed what the page says, or for long enough to see that it does not."""
        name = f"walkthrough-{len(self._running)}"
        program = Program(name, ["bash", "-c", f"exec {text.strip()}"], self._environment)
        self._running.append(program)
        deadline = time.monotonic() + PATIENCE
        while program.running():
            printed = self._as_on_page((LOGS / f"{name}.log").read_text())
            if step.is_as_written(printed) or time.monotonic() > deadline:
                return printed
            time.sleep(0.05)

    def _as_on_page(self, printed):
        return self._swap(printed, {ours: pages for pages, ours in self._ports.items()})

    @staticmethod
    def _swap(text, ports):
        return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: ports.get(port[0], port[0]), text)

    def close(self):
        self._shell.close()
        for program in self._running:
            program.stop()


def walk(report):
    # Not among the harness's own folders: the path of a control socket must be short.
    with tempfile.TemporaryDirectory(prefix="walk-") as folder:
        walkthrough = Walkthrough(pathlib.Path(folder))
        try:
            for step in steps(PAGE.read_text()):
                printed = walkthrough.take(step)
                report.check("walkthrough", step.name(), step.is_as_written(printed), step.difference(printed))
        finally:
            walkthrough.close()
