"""What the chart promises, checked: run by charts/check.

Renders are compared with golden ones; every value is documented, does something, and is refused when it makes no sense; what
AWS's add-on accepts is accepted; objects fit Kubernetes's schemas; alerts fire when they should, over metrics that exist.
"""

import copy
import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = HERE.parent / "eks-pod-identity-agent"
TOOLS = pathlib.Path(os.environ["TOOLS"])
PROMTOOL = os.environ["PROMTOOL"]
UPDATE = sys.argv[1:] == ["--update"]
# The oldest that Chart.yaml allows, one that people run, the newest that there is a schema of.
KUBERNETES = ["1.28", "1.33", "1.37"]
# Accepted for the sake of AWS's values files.
WITHOUT_EFFECT = {"image.region"}

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
CASES = sorted((HERE / "cases").glob("*.yaml"))

counts = {"passed": 0, "failed": 0}


def check(name, problem):
    """Counts one test, which has passed if there is no problem."""
    counts["failed" if problem else "passed"] += 1
    print(f"FAIL  {name}\n      {problem}" if problem else f"ok    {name}")


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def helm(*arguments, files=()):
    layers = [part for file in files for part in ("-f", file)]
    return run(TOOLS / "helm", "template", "agent", CHART, "-n", "kube-system", "--kube-version", KUBERNETES[-2], *layers, *arguments)


def render(*files):
    return helm(files=[HERE / "base.yaml", *files])


def render_values(values, *arguments, below=()):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return helm(*arguments, files=[HERE / "base.yaml", *below, file.name])


def objects(rendered):
    return [one for one in yaml.safe_load_all(rendered) if one]


def compare(name, path, text):
    """Compares a file with what it ought to be, or writes it."""
    if UPDATE:
        path.write_text(text)
    kept = path.read_text() if path.exists() else ""
    lines = difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "now", lineterm="", n=1)
    difference = "\n      ".join(list(lines)[:40])
    check(name, difference and f"{difference}\n      If that is meant: charts/check --update")


def leaves(values, path=()):
    """Every value that is not a map with keys of its own."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def nested(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


# --- renders


def golden():
    for case in CASES:
        rendered = render(case)
        if rendered.returncode:
            check(f"golden: {case.stem}", rendered.stderr)
            continue
        compare(f"golden: {case.stem}", HERE / "golden" / case.name, rendered.stdout)
        for version in KUBERNETES:
            check(f"objects of Kubernetes {version}: {case.stem}", misfits(objects(rendered.stdout), version))
    if not UPDATE:
        strays = {path.name for path in (HERE / "golden").iterdir()} - {case.name for case in CASES}
        check("every golden render has its case", strays)


# Of the Prometheus operator's objects, what the chart may use. Their full schemas are in no package.
ENDPOINT = {"path", "interval", "scrapeTimeout", "relabelings", "metricRelabelings"}
MONITORING = {
    "PodMonitor": ({"selector", "namespaceSelector", "podMetricsEndpoints", "attachMetadata"}, "podMetricsEndpoints", ENDPOINT),
    "ServiceMonitor": ({"selector", "namespaceSelector", "endpoints"}, "endpoints", ENDPOINT | {"port"}),
    "PrometheusRule": ({"groups"}, "groups", {"name", "rules"}),
}


def misfits(rendered, version):
    problems = []
    for one in rendered:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["apiVersion"] == "monitoring.coreos.com/v1":
            spec, items, item = MONITORING[one["kind"]]
            strays = set(one["spec"]) - spec | {key for part in one["spec"][items] for key in part} - item
            problems += [f"{name}: {key}" for key in sorted(strays)]
            continue
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{name}: {'.'.join(map(str, error.path))}: {error.message}")
    return "; ".join(problems)


def promises():
    """What must hold however the chart changes, so that no careless --update gives it away."""
    pods = [one["spec"]["template"]["spec"] for one in objects(render(HERE / "cases/hybrid.yaml").stdout) if one["kind"] == "DaemonSet"]
    default = next(one for one in objects(render().stdout) if one["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    agent = default["containers"][0]
    check("the pods declare no port, which would be the node's", [c["ports"] for pod in [default, *pods] for c in pod["containers"] if "ports" in c])
    arguments = agent["args"]
    check("metrics stay on the node", arguments[arguments.index("--metrics-address") + 1] != "127.0.0.1" and arguments)
    every = [container for pod in [default, *pods] for container in pod["initContainers"] + pod["containers"]]
    for what, holds in {
        "nothing is privileged": lambda c: not c.get("privileged"),
        "only who is no root may gain what its file carries": lambda c: c["allowPrivilegeEscalation"] is bool(c.get("runAsUser")),
        "no container can write its root": lambda c: c["readOnlyRootFilesystem"] is True,
        "all capabilities are dropped": lambda c: c["capabilities"]["drop"] == ["ALL"],
        "only two capabilities are ever added": lambda c: set(c["capabilities"]["add"]) <= {"NET_ADMIN", "NET_BIND_SERVICE"},
    }.items():
        check(what, [c["name"] for c in every if not holds(c["securityContext"])])
    check("the agent is no root", agent["securityContext"]["runAsNonRoot"] is not True)
    check("seccomp is on", default["securityContext"]["seccompProfile"]["type"] != "RuntimeDefault")
    check("every taint is tolerated", default["tolerations"] != [{"operator": "Exists"}])
    without = render_values({"podWatch": {"enabled": False}, "verification": {"signingKeys": False}}).stdout
    check("no token where nothing needs one", "automountServiceAccountToken: true" in without)
    check("no rights where nothing needs them", "ClusterRole" in without)
    documented = (ROOT / "docs/settings.md").read_text()
    given = [word for pod in [default, *pods] for word in pod["containers"][0]["args"] if word.startswith("--")]
    check("the agent has every flag that the chart gives it", [flag for flag in given if f"`{flag}`" not in documented])


# --- values


def addon():
    """What EKS accepts for AWS's add-on is accepted here, key by key and type by type."""
    schema = json.loads((HERE / "addon-schema-v1.4.0-eksbuild.1.json").read_text())
    sample = {"object": {}, "null": None, "string": "100m", "boolean": True, "array": [{}]}
    fits = jsonschema.Draft7Validator(SCHEMA)
    used = {path for path, _ in keys(yaml.safe_load((HERE / "cases/addon-schema.yaml").read_text()))}

    def walk(node, path):
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        for key, below in node.get("properties", {}).items():
            walk(below, (*path, key))
        if not path or node.get("properties"):
            return
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        problems = []
        for kind in kinds:
            value = "Always" if path == ("image", "pullPolicy") and kind == "string" else sample[kind]
            problems += [f"{kind}: {error.message}" for error in fits.iter_errors(nested(path, value))]
        if path not in used:
            problems.append("cases/addon-schema.yaml does not use it")
        check(f"AWS's add-on: {'.'.join(path)} ({', '.join(kinds)})", "; ".join(problems))

    walk(schema, ())
    mine = yaml.safe_load((HERE / "cases/addon-schema.yaml").read_text())
    check("AWS's add-on: the case is one that EKS accepts", [e.message for e in jsonschema.Draft6Validator(schema).iter_errors(mine)])


def keys(values, path=()):
    for key, value in values.items():
        yield (*path, key), value
        if isinstance(value, dict):
            yield from keys(value, (*path, key))


def refused():
    for row in yaml.safe_load((HERE / "refused.yaml").read_text()):
        if row.get("reads") == "schema":
            # Helm takes null for "as the chart has it", so only the schema itself can be asked.
            errors = jsonschema.Draft7Validator(SCHEMA).iter_errors(row["values"])
            message = " ".join(f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors)
        else:
            outcome = render_values(row["values"])
            message = outcome.stderr if outcome.returncode else ""
        problem = None if row["says"] in message else f"must be refused with {row['says']}; said: {message or 'nothing, it renders'}"
        check(f"refused: {json.dumps(row['values'])}", problem)


def closed():
    """Where the schema fixes keys, it knows those of values.yaml and no others."""
    open_maps = []

    def walk(node, path):
        if "properties" in node:
            if node.get("additionalProperties") is not False:
                open_maps.append(".".join(path))
            for key, below in node["properties"].items():
                walk(below, (*path, key))

    walk(SCHEMA, ())
    for name, node in SCHEMA["definitions"].items():
        walk(node, (name,))
    check("the schema lets no typo through", open_maps)
    unknown = set(SCHEMA["properties"]) ^ set(VALUES) - {"global"}
    check("schema and values.yaml have the same keys", unknown - {"global"})


def changed(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return [] if value else [{"name": "changed"}]
    if isinstance(value, dict):
        return {"changed": "1"}
    return f"{value or ''}changed"


def alive():
    """Each value changes what some case renders."""
    # Those that switch most on come first, so that most values are settled by the first.
    first = ["pod-monitor", "hybrid", "service-monitor", "extras", "defaults", "aws-values"]
    befores = [(HERE / f"cases/{case}.yaml", render(HERE / f"cases/{case}.yaml").stdout) for case in first]

    def effect(leaf):
        path, value = leaf
        dotted = ".".join(path)
        for case, before in befores:
            now = yaml.safe_load(case.read_text())
            for key in path:
                now = now.get(key) if isinstance(now, dict) and key in now else None
                if now is None:
                    break
            outcome = render_values(nested(path, changed(value if now is None else now)), "--skip-schema-validation", below=[case])
            if outcome.stdout != before:
                return dotted, None
        return dotted, "it changes nothing"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(effect, leaves(VALUES)))
    dead = {dotted for dotted, problem in results if problem}
    check("every value does something", sorted(dead - WITHOUT_EFFECT))
    check("values that do nothing are known", sorted(WITHOUT_EFFECT - dead))


# --- README


def documented():
    """Rows of the table: a comment that starts with `# --` tells of the key below it."""
    rows, path, text = [], [], None
    for line in (CHART / "values.yaml").read_text().splitlines():
        indent = len(line) - len(line.lstrip())
        stripped = line.strip()
        if stripped.startswith("# -- "):
            text = stripped[5:]
        elif stripped.startswith("#") and text is not None:
            text += " " + stripped[2:]
        elif match := re.match(r"([A-Za-z-][\w.-]*):", stripped):
            path = path[: indent // 2] + [match[1]]
            if text is not None:
                rows.append((tuple(path), text))
            text = None
        else:
            text = None
    return rows


def at(path):
    value = VALUES
    for key in path:
        value = value[key]
    return value


def readme():
    rows = documented()
    lines = ["| value | default | what it is |", "|---|---|---|"]
    for path, text in rows:
        default = json.dumps(at(path), ensure_ascii=False)
        default = f"`{default}`" if len(default) <= 60 else "see values.yaml"
        lines.append(f"| `{'.'.join(path)}` | {default} | {text} |".replace("`null`", "").replace('`""`', ""))
    path = CHART / "README.md"
    kept = path.read_text()
    begin, end = "<!-- values: written by charts/check --update -->\n", "<!-- values end -->"
    head, rest = kept.split(begin)
    tail = rest.split(end)[1]
    compare("the README's table of values is current", path, head + begin + "\n".join(lines) + "\n" + end + tail)
    told = [path for path, _ in rows]
    silent = [".".join(leaf) for leaf, _ in leaves(VALUES) if not any(leaf[: len(path)] == path for path in told)]
    check("every value is documented", silent)


# --- alerts and dashboard


def monitoring():
    rendered = objects(render(HERE / "cases/pod-monitor.yaml").stdout)
    rule = next(one for one in rendered if one["kind"] == "PrometheusRule")["spec"]
    dashboard = next(one for one in rendered if one["kind"] == "ConfigMap")["data"]["eks-pod-identity-agent.json"]
    json.loads(dashboard)
    known = set(re.findall(r"^\| `(pod_identity_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.M))
    # A histogram is asked for by the names of its series.
    named = lambda text: {re.sub(r"_(bucket|count)$", "", name) for name in re.findall(r"pod_identity_\w+", text)}
    for name, text in {"alerts": json.dumps(rule), "dashboard": dashboard}.items():
        check(f"{name}: every metric exists", sorted(named(text) - known))
    check("dashboard: every metric is shown", sorted(known - named(dashboard)))
    queries = {"groups": [{"name": "dashboard", "rules": []}]}
    for panel in json.loads(dashboard)["panels"]:
        # Rows have none.
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            queries["groups"][0]["rules"].append({"record": f"panel:{panel['id']}", "expr": expression})
    tests = (HERE / "rules_test.yaml").read_text()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "rules.yaml").write_text(yaml.safe_dump(rule))
        (work / "dashboard.yaml").write_text(yaml.safe_dump(queries))
        for name in ["rules", "dashboard"]:
            outcome = run(PROMTOOL, "check", "rules", work / f"{name}.yaml")
            check(f"promtool reads the {name}", outcome.returncode and outcome.stdout + outcome.stderr)
        for test in yaml.safe_load(tests)["tests"]:
            # What people are told is read by people; here it is when.
            for one in test["alert_rule_test"]:
                told = next(r for r in rule["groups"][0]["rules"] if r.get("alert") == one["alertname"])["annotations"]
                one["exp_alerts"] = [{**alert, "exp_annotations": fill(told, alert["exp_labels"])} for alert in one["exp_alerts"]]
            (work / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}))
            outcome = run(PROMTOOL, "test", "rules", work / "test.yaml")
            check(f"alerts: {test['name']}", outcome.returncode and outcome.stdout + outcome.stderr)
    cases = [one for test in yaml.safe_load(tests)["tests"] for one in test["alert_rule_test"]]
    ours = {one["alert"] for one in rule["groups"][0]["rules"]} - {"Mine"}
    check("every alert is seen to fire", sorted(ours - {one["alertname"] for one in cases if one["exp_alerts"]}))
    check("every alert is seen to be silent", sorted(ours - {one["alertname"] for one in cases if not one["exp_alerts"]}))


def fill(annotations, labels):
    def one(text):
        for key, value in labels.items():
            text = text.replace("{{ $labels.%s }}" % key, value)
        return text.replace("{{ $value | humanizePercentage }}", "10%")

    return {key: one(text) for key, text in annotations.items()}


def main():
    if sys.argv[1:] and not UPDATE:
        sys.exit("usage: charts/check [--update]")
    lint = run(TOOLS / "helm", "lint", "--strict", CHART, "-f", HERE / "base.yaml")
    check("helm lint --strict", lint.returncode and lint.stdout + lint.stderr)
    for part in [golden, promises, addon, refused, closed, alive, readme, monitoring]:
        part()
    print(f"chart: {counts['passed']} passed, {counts['failed']} failed")
    sys.exit(counts["failed"] > 0)


main()
