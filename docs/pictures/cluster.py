"""A fake cluster on loopback: the part of the API server that agents ask, and pods with service account tokens."""

import base64
import json
import ssl
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# Of EKS, as `bench load` has it: its tokens are of this cluster too, but of a key that nobody has published.
ISSUER = "https://oidc.eks.us-west-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
AUDIENCE = "pods.eks.amazonaws.com"
# A real API server sends one about once a minute, too seldom for a run of three.
BOOKMARK_SECONDS = 15


def text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def openssl(*words, given=None):
    done = subprocess.run(["openssl", *map(str, words)], input=given, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {words[0]} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout


class Signer:
    """An RSA key that signs tokens."""

    def __init__(self, directory, name):
        self.name = name
        self.file = directory / f"{name}.pem"
        openssl("genrsa", "-out", self.file, 2048)
        modulus = openssl("rsa", "-in", self.file, "-noout", "-modulus").decode().strip().split("=")[1]
        self.published = {
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": name, "n": text(bytes.fromhex(modulus)), "e": "AQAB",
        }

    def sign(self, claims, key_id=None):
        parts = [{"alg": "RS256", "kid": key_id or self.name}, claims]
        head = ".".join(text(json.dumps(part).encode()) for part in parts)
        return f"{head}.{text(openssl('dgst', '-sha256', '-sign', self.file, given=head.encode()))}"


def claims(pod, uid, node, audience=AUDIENCE, age=5):
    """Of a token that was made `age` seconds ago for an hour."""
    made = int(time.time()) - age
    return {
        "iss": ISSUER, "aud": [audience], "sub": "system:serviceaccount:shop:web",
        "iat": made, "nbf": made, "exp": made + 3600, "jti": str(uuid.uuid4()),
        "kubernetes.io": {
            "namespace": "shop", "serviceaccount": {"name": "web", "uid": "7d5c8f0e-sa"},
            "pod": {"name": pod, "uid": uid}, "node": {"name": node, "uid": f"uid-of-{node}"},
        },
    }


class Cluster:
    """The API server, listening. What it knows of pods is changed by the methods."""

    def __init__(self, directory, port):
        self.directory = directory
        self.signer = Signer(directory, "k1")
        self.changed = threading.Condition()
        self.version = 1
        self.pods = {}
        self.events = []
        self.keys_fail = True
        self.is_away = False
        certificate = self.certify()
        handler = type("Handler", (Handler,), {"cluster": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        # The handshake is the thread's of the connection: whoever says nothing holds up no other.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def certify(self):
        """Makes `ca.crt` and `token`, which agents find where kubelet puts them, and the server's certificate."""
        at = self.directory
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2)
        openssl(*new, "-subj", "/CN=authority", "-keyout", at / "ca.key", "-out", at / "ca.crt")
        openssl(
            *new, "-subj", "/CN=127.0.0.1", "-keyout", at / "server.key", "-out", at / "server.crt", "-CA", at / "ca.crt",
            "-CAkey", at / "ca.key", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
        )
        (at / "token").write_text("token-of-the-agent")
        return at / "server.crt", at / "server.key"

    def run(self, name, node):
        """A pod begins to run."""
        pod = {
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "shop", "uid": str(uuid.uuid4())},
            "spec": {"nodeName": node, "containers": [{"name": "web"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "127.0.0.1"}]},
        }
        self.tell("ADDED", pod)
        return pod

    def delete(self, name):
        self.tell("DELETED", self.pods[name])

    def tell(self, what, pod):
        with self.changed:
            self.version += 1
            pod["metadata"]["resourceVersion"] = str(self.version)
            name = pod["metadata"]["name"]
            if what == "DELETED":
                del self.pods[name]
            else:
                self.pods[name] = pod
            self.events.append((self.version, pod["spec"]["nodeName"], json.dumps({"type": what, "object": pod})))
            self.changed.notify_all()

    def forget(self):
        """Watches end, and what happened before is told no more: pods must be listed anew."""
        with self.changed:
            self.version += 10
            self.events = [(self.version, None, "")]
            self.changed.notify_all()

    def go_away(self, away):
        """From now on refuses everything, or answers again."""
        with self.changed:
            self.is_away = away
            self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    cluster = None
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self):
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        away = self.cluster.is_away or (self.cluster.keys_fail and url.path != "/api/v1/pods")
        if away:
            self.answer(503, {"kind": "Status", "code": 503, "message": "the API server is starting"})
        elif url.path == "/.well-known/openid-configuration":
            self.answer(200, {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"})
        elif url.path == "/openid/v1/jwks":
            self.answer(200, {"keys": [self.cluster.signer.published]})
        elif url.path == "/version":
            self.answer(200, {"major": "1", "minor": "34"})
        elif url.path == "/api/v1/pods":
            node = asked["fieldSelector"].removeprefix("spec.nodeName=")
            if asked.get("watch") == "true":
                self.watch(node, int(asked["resourceVersion"]))
            else:
                self.list(node, int(asked["limit"]), int(asked.get("continue", 0)))
        else:
            self.answer(404, {"kind": "Status", "code": 404, "message": self.path})

    def list(self, node, limit, start):
        with self.cluster.changed:
            pods = [pod for pod in self.cluster.pods.values() if pod["spec"]["nodeName"] == node]
            version = str(self.cluster.version)
        more = str(start + limit) if start + limit < len(pods) else ""
        metadata = {"resourceVersion": version, "continue": more}
        self.answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": pods[start:start + limit]})

    def watch(self, node, version):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        cluster = self.cluster
        while True:
            with cluster.changed:
                if not cluster.changed.wait_for(lambda: cluster.is_away or cluster.version > version, BOOKMARK_SECONDS):
                    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}}
                    lines = [json.dumps({"type": "BOOKMARK", "object": pod})]
                elif cluster.is_away:
                    return
                elif cluster.events[0][1] is None and version < cluster.events[0][0]:
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    lines = [json.dumps({"type": "ERROR", "object": gone})]
                    version = None
                else:
                    lines = [line for at, where, line in cluster.events if at > version and where == node]
                    version = cluster.version
            for line in lines:
                raw = f"{line}\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
            if version is None:
                self.wfile.write(b"0\r\n\r\n")
                return
