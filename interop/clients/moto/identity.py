"""Asks an STS who the credentials in the environment belong to: identity.py ENDPOINT."""

import json
import sys

import boto3

identity = boto3.client("sts", endpoint_url=sys.argv[1]).get_caller_identity()
print(json.dumps({"arn": identity["Arn"], "account": identity["Account"]}))
