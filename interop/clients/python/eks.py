"""Calls EKS with boto3: one call per JSON line on stdin, one JSON line with the result or the error for each.

A call is `operation` (as the AWS CLI writes it), `arguments`, `endpoint`, and where wanted `pageSize` and `secret`.
"""

import json
import sys

import boto3
import botocore.exceptions


def call(operation, arguments, endpoint, pageSize=None, secret=None):
    session = boto3.Session()
    if secret:
        key = session.get_credentials().access_key
        session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret)
    client = session.client("eks", endpoint_url=endpoint)
    method = operation.replace("-", "_")
    try:
        if pageSize:
            pages = client.get_paginator(method).paginate(**arguments, PaginationConfig={"PageSize": pageSize})
            result = pages.build_full_result()
        else:
            result = getattr(client, method)(**arguments)
    except botocore.exceptions.ClientError as error:
        told = error.response["Error"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        cluster = error.response.get("clusterName")
        return {"error": {"name": told["Code"], "message": told["Message"], "status": status, "cluster": cluster}}
    result.pop("ResponseMetadata", None)
    return {"result": result}


for line in sys.stdin:
    if line.strip() == "quit":
        break
    # Of what boto3 returns, only a datetime is unknown to JSON; a time it did not parse stays a number.
    print(json.dumps(call(**json.loads(line)), default=lambda value: value.isoformat()), flush=True)
