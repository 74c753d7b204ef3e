"""The window of a parallel run: `compare watch`, its webhook, what `compare history` tells, and the cutover's gate."""

import contextlib
import hashlib
import hmac
import http.server
import json
import os
import threading
import time

from .procs import Process, find_crossfade
from .wait import wait_until

SECRET = "not a good one"


class Hook:
    """A webhook's receiver: .alerts; refuses the first `busy` posts with 503."""

    def __init__(self, busy=0):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.posts += 1
                if hook.posts > busy:
                    stamp = self.headers["X-Crossfade-Timestamp"]
                    mac = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
                    hook.alerts.append((json.loads(body), self.headers["X-Crossfade-Signature-256"] == f"sha256={mac}" and abs(time.time() - int(stamp)) < 300))
                self.send_response(204 if hook.posts > busy else 503)
                self.end_headers()

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass
        self.alerts, self.posts = [], 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token-abc"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()

    def events(self):
        return [alert["event"] for alert, _ in self.alerts]


def watcher(p, *words):
    return Process("crossfade compare watch", [find_crossfade(), "-c", p.config_of("compare"), "compare", "watch", *words],
                   os.path.join(p.folder, f"{p.name}-watch.log"))


def history(p):
    done = p.run("compare", "history", "--json", "--limit", "1000")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def clean_window(p):
    """The verdict of the cutover's gate."""
    gates = json.loads(p.run("cutover", "plan", "--json", timeout=180).stdout)["gates"]
    verdicts = [g["verdict"] for g in gates if g["name"] == "clean_window"]
    assert len(verdicts) == 1, gates
    return verdicts[0]


def wait_runs(p, watch, more, what):
    """Waits until the history holds so many runs; that history."""
    def there():
        assert watch.running, watch.log_tail()
        told = history(p)
        return told if more(told["runs"]) else None
    return wait_until(there, 120, what)


@contextlib.contextmanager
def complete(p):
    with p:
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        yield p
