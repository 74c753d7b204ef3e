"""A real browser without a window, for pages that Crossfade writes: Debian's Chromium, driven over a pipe by its DevTools protocol."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

# Elements whose text reaches out of them, or that make the page wider than its window. What scrolls by itself may be wider inside.
OVERFLOWS = """(() => {
  const found = [], wide = document.documentElement.scrollWidth - window.innerWidth;
  if (wide > 1) found.push('the page is ' + wide + ' px too wide');
  document.querySelectorAll('td, th, h1, h2, h3, p, dd, dt, .fact, .chip, .window-head, .more, nav, footer').forEach(e => {
    const range = document.createRange(), box = e.getBoundingClientRect();
    range.selectNodeContents(e);
    const text = range.getBoundingClientRect();
    if (box.width && text.width && (text.right > box.right + 1.5 || text.left < box.left - 1.5))
      found.push(e.tagName + '.' + e.className + ' ' + Math.round(text.right - box.right) + ' px: ' + e.textContent.slice(0, 60));
  });
  return found.slice(0, 10);
})()"""


class Browser:
    """`with Browser() as browser: browser.open(path)`; then .run(script), .overflows(), .requests, .errors."""

    def __init__(self, timeout=180):
        self.timeout, self.numbers, self.buffer = timeout, itertools.count(1), b""
        self.requests, self.errors, self.events = [], [], []
        self.process = self.profile = self.session = None

    def __enter__(self):
        program = shutil.which("chromium")
        assert program, "no chromium: run tools/deps --browser"
        self.profile = tempfile.mkdtemp(prefix="crossfade-browser-")
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def place():  # the browser reads from 3 and writes to 4
            high = os.dup(to_read), os.dup(from_write)
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", f"--user-data-dir={self.profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=place)
        os.close(to_read)
        os.close(from_write)
        self.write_fd, self.read_fd = to_write, from_read
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)
        shutil.rmtree(self.profile, ignore_errors=True)

    def read(self, deadline):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read_fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self.read_fd, 1 << 20)
            assert chunk, f"the browser has ended: {self.process.poll()}"
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def note(self, message):
        method, told = message.get("method"), message.get("params", {})
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(told["exceptionDetails"].get("exception", {}).get("description") or told["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(told["entry"]["text"])

    def call(self, method, **params):
        number, deadline = next(self.numbers), time.monotonic() + self.timeout
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.note(answer)

    def open(self, path, width=1280, height=900, scheme="light", media="screen", scripts=True):
        """Loads a file, or what a URL names, afresh; requests and errors are those of this page."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.requests, self.errors, self.events = [], [], []
        self.call("Page.navigate", url=path if "://" in path else f"file://{os.path.realpath(path)}")
        deadline = time.monotonic() + self.timeout
        while "Page.loadEventFired" not in self.events:
            self.note(self.read(deadline))

    def run(self, script):
        """The value of a JavaScript expression in the page."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def overflows(self):
        return self.run(OVERFLOWS)

    def picture(self, path, whole=True):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def pdf(self):
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])
