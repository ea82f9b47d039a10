"""EKS's operations, called by unmodified tools at the API port of dev: what they print against what was asked."""

import datetime
import json
import re
import sys

from pod import HERE, WORK, Client
from programs import ACCOUNT, REGION, ask, get, plain_environment
from recorder import Recorder

TOOLS = {
    "python": [str(WORK / "python/bin/python"), str(HERE / "clients/python/eks.py")],
    "cli": [sys.executable, str(HERE / "clients/cli/eks.py"), str(WORK / "cli/aws/aws")],
}
CLUSTER = "dev"
SUMMARY = {"clusterName", "namespace", "serviceAccount", "associationArn", "associationId"}


def role(name):
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def age(text):
    """Seconds since a moment that a tool printed; it must have a time zone."""
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(text)).total_seconds()


class Operations:
    """Everything that is checked with one tool, in a namespace of its own."""

    def __init__(self, name, folder, report, emulator):
        self.name = name
        self._report = report
        self._emulator = emulator
        self._home = folder / f"{name}-eks-home"
        self._home.mkdir()
        self._namespace = f"eks-{name}"

    def _check(self, what, good, why=""):
        self._report.check(self.name, f"EKS: {what}", good, why)

    def _call(self, operation, port=None, page_size=None, secret=None, **arguments):
        endpoint = f"http://127.0.0.1:{port or self._emulator.api_port}"
        call = {"operation": operation, "arguments": arguments, "endpoint": endpoint}
        call |= {"pageSize": page_size} if page_size else {}
        call |= {"secret": secret} if secret else {}
        return self._tool.tell(json.dumps(call))

    def _done(self, operation, **arguments):
        answer = self._call(operation, **arguments)
        if "error" in answer:
            raise RuntimeError(f"{operation} was refused: {answer['error']}")
        return answer["result"]

    def _association(self, operation, **arguments):
        return self._done(f"{operation}-pod-identity-association", clusterName=CLUSTER, **arguments)["association"]

    def _refused(self, what, answer, status, name, text, cluster=None):
        """The tool raised or printed this error. The CLI prints no status."""
        error = answer.get("error", {})
        good = error.get("name") == name and text in error["message"] and error.get("status", status) == status
        good = good and cluster in (None, error["cluster"])
        self._check(what, good, f"wanted {status} {name} with {text!r}, the tool has {answer}")

    def _same(self, what, got, wanted):
        self._check(what, got == wanted, f"wanted {wanted}, the tool has {got}")

    def walk(self):
        environment = {**plain_environment(self._home), **self._emulator.keys(), "AWS_DEFAULT_REGION": REGION}
        # So that no tool looks elsewhere for what it should have from here.
        environment |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""}
        with Client(self.name, environment, command=TOOLS[self.name]) as self._tool:
            self._clusters()
            self._wrong_key()
            created = self._create()
            self._list(created)
            changed = self._update(created)
            self._tags(changed)
            self._delete(changed)

    def _clusters(self):
        self._same("list-clusters", self._done("list-clusters"), {"clusters": [CLUSTER]})
        cluster = self._done("describe-cluster", name=CLUSTER)["cluster"]
        wanted = {
            "name": CLUSTER,
            "arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}",
            "status": "ACTIVE",
            "identity": {"oidc": {"issuer": f"http://127.0.0.1:{self._emulator.api_port}"}},
        }
        self._same("describe-cluster", {key: cluster.get(key) for key in wanted}, wanted)
        unknown = "No cluster found for name: elsewhere."
        for what, answer in (
            ("describe-cluster", self._call("describe-cluster", name="elsewhere")),
            ("list", self._call("list-pod-identity-associations", clusterName="elsewhere")),
        ):
            what = f"{what} of an unknown cluster is a 404 with its name"
            self._refused(what, answer, 404, "ResourceNotFoundException", unknown, "elsewhere")

    def _wrong_key(self):
        # What this would create is missing from the list below.
        answer = self._call("create-pod-identity-association", secret="not-the-secret", **self._asked("intruder"))
        text = "signature we calculated does not match"
        self._refused("a wrong secret key is a signature error", answer, 403, "InvalidSignatureException", text)

    def _asked(self, service_account):
        identity = {"namespace": self._namespace, "serviceAccount": service_account}
        return {"clusterName": CLUSTER, **identity, "roleArn": role("first")}

    def _create(self):
        asked = {**self._asked("api"), "tags": {"team": "shop", "note": "a b=c/ü"}}
        create = "create-pod-identity-association"
        one = self._done(create, **asked)["association"]
        self._same("create prints what was asked", {key: one.get(key) for key in asked}, asked)
        self._same("session tags are on", one.get("disableSessionTags"), False)
        good = re.fullmatch(r"a-[0-9a-z]{17}", one["associationId"])
        self._check("the id has EKS's form", good, one["associationId"])
        arn = f"arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/{CLUSTER}/{one['associationId']}"
        self._same("the ARN names cluster and id", one["associationArn"], arn)
        made = [one["createdAt"], one["modifiedAt"]]
        self._check("createdAt and modifiedAt are moments of now", all(-5 < age(at) < 60 for at in made), made)

        text = f"Association already exists: {one['associationId']}"
        answer = self._call(create, **asked)
        self._refused("a second create is a 409 with the id", answer, 409, "ResourceInUseException", text, CLUSTER)

        created = [one]
        for number in range(2, 6):
            more = {"targetRoleArn": "arn:aws:iam::444455556666:role/target"} if number == 2 else {}
            created.append(self._done(create, **self._asked(f"api-{number}"), **more)["association"])
        self._same("no tags are {}", created[-1].get("tags"), {})
        external = f"{REGION}/{ACCOUNT}/{CLUSTER}/{self._namespace}/api-2"
        has = {key: created[1].get(key) for key in ("targetRoleArn", "externalId")}
        wanted = {"targetRoleArn": "arn:aws:iam::444455556666:role/target", "externalId": external}
        self._same("a target role, and the external id for it", has, wanted)
        return created

    def _list(self, created):
        listing = "list-pod-identity-associations"
        recorder = Recorder(self._emulator.api_port)
        try:
            filters = {"clusterName": CLUSTER, "namespace": self._namespace}
            found = self._done(listing, port=recorder.port, page_size=2, **filters)["associations"]
            lines = [request.line for request in recorder.requests]
        finally:
            recorder.close()
        wanted = sorted(one["associationId"] for one in created)
        self._same("list with pages has each once", sorted(one["associationId"] for one in found), wanted)
        paged = ["nextToken=" in line for line in lines] == [False, True, True]
        paged = paged and all("maxResults=2" in line for line in lines)
        self._check("it asked for three pages of two", paged, lines)
        full = {one["associationId"]: one for one in created}
        summaries = [{key: full[one["associationId"]][key] for key in SUMMARY} for one in found]
        self._same("a summary is these five members", found, summaries)

        one = self._done(listing, **filters, serviceAccount="api")["associations"]
        self._same("the filters are exact", [each["serviceAccount"] for each in one], ["api"])
        none = self._done(listing, clusterName=CLUSTER, namespace=self._namespace[:-1])
        self._same("nothing found is an empty list", none.get("associations"), [])

    def _update(self, created):
        before = created[0]
        ids = {"associationId": before["associationId"]}
        self._same("describe prints what create printed", self._association("describe", **ids), before)

        token = self._emulator.token("api-0", namespace=self._namespace, service_account="api")
        first = ask(self._emulator.port, token)["AccessKeyId"]
        again = ask(self._emulator.port, token)["AccessKeyId"]
        self._check("a pod keeps its credentials while nothing changes", first == again, f"{first}, then {again}")
        after = self._association("update", **ids, roleArn=role("second"))
        fresh = ask(self._emulator.port, token)["AccessKeyId"]
        self._check("its next request after update-… has others", fresh != first, f"{fresh} before and after")
        self._token = token

        wanted = {**before, "roleArn": role("second"), "modifiedAt": after["modifiedAt"]}
        self._same("update changes the role and nothing else", after, wanted)
        later = age(after["modifiedAt"]) < age(before["modifiedAt"])
        self._check("modifiedAt moves on", later, f"{before['modifiedAt']}, then {after['modifiedAt']}")
        return after

    def _tags(self, association):
        arn = {"resourceArn": association["associationArn"]}
        self._done("tag-resource", **arn, tags={"stage": "test", "team": "shop/web"})
        tags = self._done("list-tags-for-resource", **arn)
        wanted = {"tags": {**association["tags"], "stage": "test", "team": "shop/web"}}
        self._same("tag-resource adds and replaces", tags, wanted)
        self._done("untag-resource", **arn, tagKeys=["stage", "note"])
        tags = self._done("list-tags-for-resource", **arn)
        self._same("untag-resource takes two away", tags, {"tags": {"team": "shop/web"}})

    def _delete(self, association):
        ids = {"associationId": association["associationId"]}
        wanted = self._association("describe", **ids)
        self._same("delete prints what is gone", self._association("delete", **ids), wanted)
        status, body = get(self._emulator.port, "/v1/credentials", {"Authorization": self._token})
        good = status == 404 and b"ResourceNotFoundException" in body
        self._check("the pod's next request is refused", good, f"it got {status}: {body[:200]}")
        answer = self._call("describe-pod-identity-association", clusterName=CLUSTER, **ids)
        what = "describe after delete is a 404 with the id"
        self._refused(what, answer, 404, "ResourceNotFoundException", ids["associationId"], CLUSTER)
