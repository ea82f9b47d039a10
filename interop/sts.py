"""`pod-identity dev` in front of an STS that nobody here wrote: moto's, which is asked whose the credentials are."""

import datetime
import json
import re
import subprocess

from pod import HERE, WORK
from programs import ACCOUNT, PATIENCE, REGION, Emulator, Program, ask, free_ports, get, plain_environment, wait_for
from recorder import Recorder

PYTHON = str(WORK / "moto/bin/python")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/single"
TARGET_ACCOUNT = "444455556666"
TARGET = f"arn:aws:iam::{TARGET_ACCOUNT}:role/target"
OWN_KEY = "AKIAIOSFODNN7EXAMPLE"


class Sts:
    """moto as a server, with a recorder in front of it."""

    def __init__(self, folder):
        self._folder = folder
        [self.port] = free_ports(1)
        command = [PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.program = Program("moto", command, plain_environment(folder))
        wait_for("moto", lambda: self.program.running() and get(self.port, "/moto-api/")[0])
        self.recorder = Recorder(self.port)

    def stop(self):
        self.recorder.close()
        self.program.stop()

    def signers(self):
        """The key id of each request so far."""
        heads = (request.head.decode("latin-1") for request in self.recorder.requests)
        return [found[1] for head in heads for found in re.finditer(r"Credential=(\w+)/", head)]

    def whose(self, credentials):
        """Who moto says that these belong to."""
        environment = {
            **plain_environment(self._folder),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": credentials["Token"],
        }
        command = [PYTHON, str(HERE / "clients/moto/identity.py"), f"http://127.0.0.1:{self.port}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(f"get-caller-identity failed: {done.stderr.strip()[-300:]}")
        return json.loads(done.stdout)


def walk(folder, report):
    sts = Sts(folder)
    try:
        options = ["--sts-endpoint", f"http://127.0.0.1:{sts.recorder.port}", "--session-duration", "1h"]
        keys = {"AWS_ACCESS_KEY_ID": OWN_KEY, "AWS_SECRET_ACCESS_KEY": "anything"}
        emulator = Emulator(folder, "sts", options, keys)
        try:
            emulator.associate("single", ROLE)
            emulator.associate("chained", ROLE, TARGET)
            hop("one role", sts, emulator, report, "single", ACCOUNT, "single", 60)
            signers = sts.signers()
            report.check("moto", "one role: one call, signed with dev's own key", signers == [OWN_KEY], signers)
            hop("a target role", sts, emulator, report, "chained", TARGET_ACCOUNT, "target", 59)
            signers = sts.signers()[len(signers) :]
            good = len(signers) == 2 and signers[0] == OWN_KEY and signers[1].startswith("ASIA")
            what = "a target role: two calls, the second signed with what the first gave"
            report.check("moto", what, good, signers)
        finally:
            emulator.program.stop()
    finally:
        sts.stop()


def hop(what, sts, emulator, report, service_account, account, role, minutes):
    """A pod of this service account gets credentials that moto knows as this role's."""

    def check(name, good, why):
        report.check("moto", f"{what}: {name}", good, why)

    token = emulator.token(f"{service_account}-0", service_account=service_account)
    credentials = ask(emulator.port, token)
    check("the agent states the role's account", credentials["AccountId"] == account, credentials["AccountId"])
    ends = datetime.datetime.fromisoformat(credentials["Expiration"].replace("Z", "+00:00"))
    left = (ends - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 60
    check(f"credentials end in {minutes} minutes", minutes - 0.9 < left <= minutes + 0.05, f"{left:.1f} minutes")
    identity = sts.whose(credentials)
    named = re.fullmatch(rf"arn:aws:sts::{account}:assumed-role/{role}/(.+)", identity["arn"])
    check("moto knows them as the role's", named and identity["account"] == account, identity)
    session = named[1] if named else ""
    form = rf"eks-dev-{service_account[:10]}\S*-[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"
    check("the session is named after cluster and pod", re.fullmatch(form, session), session)
