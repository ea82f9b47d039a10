"""Calls EKS with the AWS CLI: one call per JSON line on stdin, one JSON line with the result or the error for each.

A call is `operation` (as the AWS CLI writes it), `arguments`, `endpoint`, and where wanted `pageSize` and `secret`.
"""

import json
import os
import re
import subprocess
import sys

AWS = sys.argv[1]
ERROR = re.compile(r"An error occurred \((\w+)\) when calling the \w+ operation: (.*)")


def words(arguments):
    for name, value in arguments.items():
        yield "--" + re.sub("[A-Z]", lambda letter: "-" + letter[0].lower(), name)
        if isinstance(value, list):
            yield from value
        else:
            yield value if isinstance(value, str) else json.dumps(value)


def call(operation, arguments, endpoint, pageSize=None, secret=None):
    command = [AWS, "eks", operation, "--endpoint-url", endpoint, "--output", "json", *words(arguments)]
    if pageSize:
        command += ["--page-size", str(pageSize)]
    environment = {**os.environ, **({"AWS_SECRET_ACCESS_KEY": secret} if secret else {})}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return {"result": json.loads(done.stdout or "{}")}
    told = ERROR.search(done.stderr)
    # 254 is how the CLI ends when the service refused; it prints no status.
    if done.returncode != 254 or not told:
        raise SystemExit(f"aws {operation} ended with {done.returncode}: {done.stderr}")
    cluster = re.search(r"^clusterName: (.*)$", done.stderr, re.MULTILINE)
    return {"error": {"name": told[1], "message": told[2], "cluster": cluster[1] if cluster else None}}


for line in sys.stdin:
    if line.strip() == "quit":
        break
    print(json.dumps(call(**json.loads(line))), flush=True)
