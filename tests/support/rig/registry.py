"""A schema registry: Apicurio Registry (Confluent's protocol), from the jars that `tools/deps --registry` fetches, and a
front to put before it, as operators put one: TLS and basic authentication, and bad days on demand."""

import base64
import http.client
import http.server
import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import urllib.request

from .ports import free_port
from .procs import Process

VERSION = "2.6.13.Final"
PATH = "/apis/ccompat/v7"


def runner():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = os.path.join(cache, "crossfade", f"apicurio-{VERSION}")
    if not os.path.exists(os.path.join(home, "complete")):
        raise FileNotFoundError(f"no schema registry in {home}: run tools/deps --registry")
    return os.path.join(home, f"apicurio-registry-app-{VERSION}-runner.jar")


class Registry:
    """with Registry(folder) as registry: an empty registry at registry.url. It keeps everything in memory."""

    def __init__(self, folder, name="registry", heap="320m"):
        self.home = os.path.join(str(folder), name)
        os.makedirs(self.home, exist_ok=True)
        self.port = free_port()
        java = ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-XX:-UsePerfData", "-Dquarkus.http.host=127.0.0.1",
                f"-Dquarkus.http.port={self.port}", "-jar", runner()]
        self.process = Process(name, java, os.path.join(self.home, "log"), cwd=self.home)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.process.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}{PATH}"

    def start(self, timeout=240):
        self.process.start()
        self.process.wait_answers(lambda: self.get("/subjects") is not None, timeout, (OSError, ValueError))
        return self

    # -- what any client can ask

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return json.load(answer)

    def send(self, method, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def schema(self, number):
        """The text of the schema with this id."""
        return self.get(f"/schemas/ids/{number}")["schema"]

    def register(self, subject, text):
        return self.send("POST", f"/subjects/{subject}/versions", {"schema": text})["id"]

    def set_compatibility(self, subject, level):
        self.send("PUT", f"/config/{subject}", {"compatibility": level})


class Certificate:
    """A certificate for 127.0.0.1 and the CA that signed it, made with openssl: .ca, .cert, .key are files."""

    def __init__(self, folder, name="tls"):
        home = os.path.join(str(folder), name)
        os.makedirs(home, exist_ok=True)
        self.ca, self.cert, self.key = (os.path.join(home, f) for f in ("ca.pem", "cert.pem", "key.pem"))
        ca_key, request, extra = (os.path.join(home, f) for f in ("ca-key.pem", "request.pem", "extra"))
        with open(extra, "w") as f:
            f.write("subjectAltName=IP:127.0.0.1\n")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl("req", "-x509", *new, "-keyout", ca_key, "-out", self.ca, "-subj", "/CN=crossfade test CA", "-days", "2")
        self._openssl("req", *new, "-keyout", self.key, "-out", request, "-subj", "/CN=registry")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-out", self.cert,
                      "-days", "2", "-extfile", extra)

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"openssl {' '.join(arguments)}\n{done.stderr}"


class Front:
    """with Front(registry) as front: what is sent to front.url goes on to the registry, unless told otherwise.

    certificate: serve https. user, password: ask for them. front.requests lists "METHOD path" of what came.
    front.answer = (status, headers, bytes) is given instead of the registry's answer; front.away() closes the door.
    """

    def __init__(self, registry, certificate=None, user=None, password=None):
        self.registry, self.certificate = registry, certificate
        self.login = user and "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.port, self.server, self.answer, self.requests, self.connections = free_port(), None, None, [], set()
        self.refused = 0

    def __enter__(self):
        return self.back()

    def __exit__(self, *exc):
        self.away()

    @property
    def url(self):
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}{PATH}"

    def back(self):
        front = self

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """Clients that do not like the certificate, or a door that closes, are part of the tests."""

        class Handler(_Handler):
            owner = front

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def away(self):
        """Nobody listens any more, and open connections break."""
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def fail(self, status, body=b'{"error_code":50001,"message":"the store is away"}', **headers):
        self.answer = (status, headers, body)

    def serve(self):
        self.answer = None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner = None

    def setup(self):
        if self.owner.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.owner.certificate.cert, self.owner.certificate.key)
            self.request = context.wrap_socket(self.request, server_side=True)
        self.owner.connections.add(self.request)
        super().setup()

    def finish(self):
        self.owner.connections.discard(self.request)
        super().finish()

    def log_message(self, *_):
        pass

    def _reply(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        owner = self.owner
        if owner.login and self.headers.get("Authorization") != owner.login:
            owner.refused += 1
            return self._reply(401, {"Content-Type": "application/json", "WWW-Authenticate": "Basic realm=registry"},
                               b'{"error_code":40101,"message":"unauthorized"}')
        owner.requests.append(f"{self.command} {self.path}")
        if owner.answer:
            return self._reply(*owner.answer)
        backend = http.client.HTTPConnection(owner.registry.address, timeout=20)
        try:
            headers = {name: self.headers[name] for name in ("Accept", "Content-Type") if name in self.headers}
            backend.request(self.command, self.path, body or None, headers)
            answer = backend.getresponse()
            return self._reply(answer.status, {"Content-Type": answer.headers.get("Content-Type", "text/plain")}, answer.read())
        finally:
            backend.close()

    do_GET = do_POST = do_PUT = do_DELETE = _any


__all__ = ["Registry", "Front", "Certificate", "PATH"]
