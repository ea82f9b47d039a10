"""Asks botocore's default credential chain for credentials, once at start and once per `again` on stdin."""

import json
import sys

import boto3
import botocore.session


def show(credentials):
    frozen = credentials.get_frozen_credentials()
    answer = {
        "accessKeyId": frozen.access_key,
        "hasSecret": bool(frozen.secret_key),
        "hasToken": bool(frozen.token),
        # The parsed moment of expiry has no public name in botocore.
        "expiration": credentials._expiry_time.isoformat(),
    }
    print(json.dumps(answer), flush=True)


core = botocore.session.get_session()
show(boto3.Session(botocore_session=core).get_credentials())
for line in sys.stdin:
    if line.strip() != "again":
        break
    # A session keeps what it has while it is fresh, so the chain behind it is walked once more.
    show(core.get_component("credential_provider").load_credentials())
