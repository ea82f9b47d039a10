"""Runs two agents with a fake EKS Auth, a fake API server and Prometheus, loads them, and has the dashboard drawn. Started by
./make, which says what it takes from the environment. Fails when a part of it fails, or a panel."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import draw
from cluster import Cluster, Signer, claims

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target/pictures"
DASHBOARD = ROOT / "charts/eks-pod-identity-agent/dashboards/eks-pod-identity-agent.json"
SECONDS = max(60, int(os.environ["LOAD_SECONDS"]))
FIRST_PORT = int(os.environ.get("FIRST_PORT", "18300"))
EKS_AUTH, API_SERVER, PROMETHEUS = range(FIRST_PORT, FIRST_PORT + 3)
# A scrape every two seconds shows in three minutes what the usual 15 s show in twenty.
SCRAPE_SECONDS = 2
NODES = ["node-1", "node-2"]
PODS_OF_A_NODE = 12
# Runs of `bench load`. SLOW begins after the second.
TURNS = 6

# What happens when, as shares of the run. The picture tells it in its last lines.
KEYLESS = (0, 0.06)
ROLL_OUT = (0.11, 0.18)
API_SERVER_AWAY = (0.20, 0.27)
SLOW = (0.33, 0.58)
SILENT = (0.58, 0.67)
THROTTLED = (0.75, 0.90)
EVENTS = [
    (KEYLESS, "the API server gives no signing keys"),
    (ROLL_OUT, "two new pods a second on each node"),
    (API_SERVER_AWAY, "the API server is away; then it has forgotten what pods did meanwhile"),
    (SLOW, "EKS Auth answers after 0.8 s"),
    (SILENT, "EKS Auth answers after 8 s, too late"),
    (THROTTLED, "EKS Auth throttles calls beyond two a second"),
]

# Panels that may show nothing in this run, and why: title to reason.
MAY_BE_EMPTY = {}


class Agent:
    """Where the agent of a node listens, and the labels that its PodMonitor gives it."""

    def __init__(self, number):
        self.node = NODES[number]
        self.pods, self.probes, self.metrics = range(FIRST_PORT + 3 + 3 * number, FIRST_PORT + 6 + 3 * number)
        self.labels = {
            "job": "kube-system/eks-pod-identity-agent", "namespace": "kube-system", "container": "eks-pod-identity-agent",
            "pod": f"eks-pod-identity-agent-{'kx7tq' if number == 0 else 'w2m9z'}", "instance": f"10.0.{number + 1}.17:2705",
        }

    def command(self):
        return [
            os.environ["AGENT_BIN"], "server", "--cluster-name", "pictures", "--bind-hosts", "127.0.0.1", "--port", self.pods,
            "--probe-port", self.probes, "--metrics-address", "127.0.0.1", "--metrics-port", self.metrics,
            "--endpoint", f"http://127.0.0.1:{EKS_AUTH}", "--service-account-directory", WORK / "cluster",
            # So that minutes show what hours do.
            "--max-credential-retention-before-renewal", "30s", "--signing-keys-refresh", "15s", "--signing-keys-max-age", "1m",
            "--audit-log", WORK / f"{self.node}.audit",
        ]

    def environment(self):
        return {
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-west-2",
            "AWS_EC2_METADATA_DISABLED": "true", "NODE_NAME": self.node,
            "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(API_SERVER),
        }


class Processes:
    """What was started. It ends with this program, even if that is killed."""

    def __init__(self):
        self.all = []

    def start(self, name, command, environment=None):
        log = open(WORK / f"{name}.log", "a")
        # The load spins; the machine may have other work.
        words = ["setpriv", "--pdeathsig", "KILL", "nice", *map(str, command)]
        environment = {"PATH": os.environ["PATH"], **(environment or {})}
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        log.close()
        self.all.append((name, process))
        return process

    def check(self, names):
        for name, process in self.all:
            if name in names and process.poll() is not None:
                raise RuntimeError(f"{name} has ended: see {WORK / name}.log")

    def end(self):
        for _, process in self.all:
            if process.poll() is None:
                process.kill()
        for _, process in self.all:
            process.wait()


def ask(method, url, headers=None):
    """The status of the answer."""
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as refused:
        refused.read()
        return refused.code


def wait_for(url):
    for _ in range(150):
        try:
            if ask("GET", url) == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{url} does not answer")


def configuration(agents):
    """Prometheus's: JSON is YAML too."""
    targets = [{"targets": [f"127.0.0.1:{agent.metrics}"], "labels": agent.labels} for agent in agents]
    job = {"job_name": "agents", "static_configs": targets}
    return json.dumps({"global": {"scrape_interval": f"{SCRAPE_SECONDS}s"}, "scrape_configs": [job]})


class Pods:
    """The pods of one node: some run, each asks about once a second; now and then one goes and another comes."""

    def __init__(self, cluster, agent, pool):
        self.cluster, self.agent, self.pool = cluster, agent, pool
        self.tokens = {}
        self.made = 0

    def come(self):
        name = f"web-{self.agent.node}-{self.made}"
        self.made += 1
        uid = self.cluster.run(name, self.agent.node)["metadata"]["uid"]
        self.tokens[name] = self.cluster.signer.sign(claims(name, uid, self.agent.node))

    def go(self):
        name = next(iter(self.tokens))
        del self.tokens[name]
        self.cluster.delete(name)

    def ask(self, token):
        self.pool.submit(ask, "GET", f"http://127.0.0.1:{self.agent.pods}/v1/credentials", {"Authorization": token})

    def ask_all(self):
        for token in self.tokens.values():
            self.ask(token)


def refused(cluster, forger):
    """Tokens that are refused, and how many of them come a second."""
    def made(**other):
        return claims("stranger", "uid-of-stranger", "node-1", **other)

    elsewhere = claims("stranger", "uid-of-stranger", "node-9")
    return [
        (0.7, "not.a-token"),
        (0.5, cluster.signer.sign(made(age=7200))),
        (0.4, cluster.signer.sign(made(audience="sts.amazonaws.com"))),
        (0.3, forger.sign(made(), key_id=cluster.signer.name)),
        (0.2, cluster.signer.sign(elsewhere)),
    ]


def is_in(phase, share):
    return phase[0] <= share < phase[1]


def tell_eks_auth(what):
    if ask("PUT", f"http://127.0.0.1:{EKS_AUTH}/{what}") != 200:
        raise RuntimeError(f"the fake EKS Auth does not understand {what}")


def change(cluster, share, before):
    """Does what begins or ends between the two shares."""
    def turned(phase):
        return is_in(phase, share) != is_in(phase, before)

    if turned(SLOW) or turned(SILENT):
        tell_eks_auth(f"delay/{800 if is_in(SLOW, share) else 8000 if is_in(SILENT, share) else 20}")
    if turned(THROTTLED):
        tell_eks_auth(f"throttle/{2 if is_in(THROTTLED, share) else 0}")
    cluster.keys_fail = is_in(KEYLESS, share)
    if turned(API_SERVER_AWAY):
        cluster.go_away(is_in(API_SERVER_AWAY, share))
        if not is_in(API_SERVER_AWAY, share):
            cluster.forget()


def load(cluster, agents, processes, pool):
    """The whole run."""
    nodes = [Pods(cluster, agent, pool) for agent in agents]
    bad = refused(cluster, Signer(WORK / "cluster", "forger"))
    chance = random.Random(1)
    for _ in range(PODS_OF_A_NODE):
        for node in nodes:
            node.come()
    begun = time.monotonic()
    before, second, loads = 0.0, 0, []
    while (share := (time.monotonic() - begun) / SECONDS) < 1:
        change(cluster, share, before)
        processes.check({"eks-auth", "prometheus", *NODES})
        # New pods of the first node: `bench load` makes new tokens at each start. It stays a little shorter than its turn.
        if share * TURNS >= len(loads):
            if len(loads) == 1 and loads[0].wait(10) != 0:
                raise RuntimeError(f"bench load did not get all answers while all was well: see {WORK}/load.log")
            words = ["load", "--address", f"127.0.0.1:{agents[0].pods}", "--rate", 40, "--seconds", SECONDS // TURNS - 1]
            loads.append(processes.start("load", [os.environ["BENCH_BIN"], *words, "--tokens", 15]))
        for node in nodes:
            node.ask_all()
            if is_in(ROLL_OUT, share):
                node.come()
                node.come()
            elif second % 4 == 0 and not is_in(API_SERVER_AWAY, share):
                node.come()
            if len(node.tokens) > PODS_OF_A_NODE and second % 2 == 0:
                node.go()
        # Without keys, forged tokens are left to EKS Auth, and the fake one takes any.
        for rate, token in bad if share > ROLL_OUT[0] else []:
            if chance.random() < rate:
                chance.choice(nodes).ask(token)
        before, second = share, second + 1
        time.sleep(max(0, begun + second - time.monotonic()))


def main():
    # So that `finally` is reached.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by a signal"))
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "cluster").mkdir(parents=True)
    agents = [Agent(number) for number in range(len(NODES))]
    processes, pool = Processes(), ThreadPoolExecutor(256)
    try:
        cluster = Cluster(WORK / "cluster", API_SERVER)
        processes.start("eks-auth", [os.environ["BENCH_BIN"], "upstream", "--port", EKS_AUTH, "--delay-ms", 20])
        wait_for(f"http://127.0.0.1:{EKS_AUTH}/calls")
        for agent in agents:
            processes.start(agent.node, agent.command(), agent.environment())
            wait_for(f"http://127.0.0.1:{agent.metrics}/metrics")
        (WORK / "prometheus.yaml").write_text(configuration(agents))
        processes.start("prometheus", [
            os.environ["PROMETHEUS_BIN"], f"--config.file={WORK / 'prometheus.yaml'}", f"--storage.tsdb.path={WORK / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
        ])
        wait_for(f"http://127.0.0.1:{PROMETHEUS}/-/ready")
        print(f"load for {SECONDS} s; logs are in {WORK}", flush=True)
        begun = time.time()
        load(cluster, agents, processes, pool)
        events = [(from_ * SECONDS, to * SECONDS, what) for (from_, to), what in EVENTS]
        source = draw.Prometheus(f"http://127.0.0.1:{PROMETHEUS}", begun, begun + SECONDS, SCRAPE_SECONDS)
        faults = draw.draw(DASHBOARD, source, events, MAY_BE_EMPTY, WORK / "dashboard.png")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        processes.end()
    for fault in faults:
        print(f"FAILED {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    shutil.copy(WORK / "dashboard.png", HERE)


if __name__ == "__main__":
    main()
