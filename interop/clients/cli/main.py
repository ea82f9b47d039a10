"""Runs the AWS CLI once at start and once per `again` on stdin; each run is a process of its own, as in a shell."""

import json
import subprocess
import sys

AWS = sys.argv[1]


def show():
    done = subprocess.run(
        [AWS, "configure", "export-credentials", "--format", "process"],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    credentials = json.loads(done.stdout)
    answer = {
        "accessKeyId": credentials["AccessKeyId"],
        "hasSecret": bool(credentials["SecretAccessKey"]),
        "hasToken": bool(credentials["SessionToken"]),
        "expiration": credentials["Expiration"],
    }
    print(json.dumps(answer), flush=True)


show()
for line in sys.stdin:
    if line.strip() != "again":
        break
    show()
