"""The status page that each role serves, in a real browser over real roles: figures move when rows are written, a role that goes away is told, names that try to
get out of their place stay in it, 10,000 tables stay fluent; who looks on is bounded. CF_PICTURES=FOLDER keeps what it looks like."""

import contextlib
import http.server
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request

import pytest

from rig import Postgres, Workdir, wait_until
from rig.browser import Browser
from rig.scenario import scenario

HOSTILE = "<script>document.title='owned'</script>\"'\n<img src=x onerror=document.title='owned'>\u202ex"[:60]
QUOTED = '"' + HOSTILE.replace('"', '""') + '"'
SCHEMA = f"""CREATE TABLE orders (id int PRIMARY KEY, v text); INSERT INTO orders SELECT i, 'v' FROM generate_series(1, 3000) i;
    CREATE TABLE {QUOTED} (id int PRIMARY KEY); INSERT INTO {QUOTED} SELECT generate_series(1, 500);"""
PICTURES = os.environ.get("CF_PICTURES")
LOOKS = ({}, {"scheme": "dark"}, {"width": 390}, {"scheme": "dark", "width": 390})
MANY = 10000


@pytest.fixture(name="browser", scope="module")
def fixture_browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(name="target", scope="module")
def fixture_target():
    with Workdir("status-page-target") as folder, Postgres(folder, "target") as target:
        yield target


@pytest.fixture(name="world", scope="module")
def fixture_world(target):
    with Workdir("status-page") as folder, Postgres(folder, "source") as source:
        more = {"capture": {"max_rows_per_second": 1500, "snapshot_chunk_rows": 500}, "compare": {"watch": {"digests": "1h"}}}
        with scenario(folder, source, target, SCHEMA, more=more) as made:
            yield made


def url_of(role):
    return f"http://127.0.0.1:{role.port}/"


def runs(world):
    """Both roles, as the first test leaves them."""
    for role in (world.capture, world.apply):
        if not role.running:
            role.start()
            role.wait_ready()
    world.wait_complete()


def shows(browser, script, what, timeout=60):
    """Until the page says so, by itself."""
    def holds():
        return browser.run(script)
    try:
        return wait_until(holds, timeout, what)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{browser.run('document.body.innerText')}\n{browser.errors}") from None


def text(id_):
    return f"document.getElementById('{id_}').textContent"


def picture(browser, name, how):
    if PICTURES:
        browser.picture(os.path.join(PICTURES, "-".join([name, *(f"{k}-{v}" for k, v in how.items())]) + ".png"))


def is_inert(browser, requests):
    assert browser.errors == [], browser.errors
    assert browser.requests == requests, browser.requests
    assert "owned" not in browser.run("document.title")
    assert browser.run("document.querySelectorAll('script').length") == 1
    assert browser.run("document.querySelectorAll('img, iframe, object, embed, [onerror], [style*=expression]').length") == 0


def test_figures_move(world, browser):
    world.capture.start()
    world.capture.wait_ready()
    world.apply.start()
    capture = url_of(world.capture)
    browser.open(capture)
    # the copy, table by table
    shows(browser, f"{text('copy-text')}.includes('rows/s')", "the copy's progress")
    shows(browser, "document.querySelectorAll('#table-rows tr').length === 2", "both tables")
    picture(browser, "copying", {})
    shows(browser, f"{text('phase')} === 'streaming' && {text('copy-text')}.startsWith('Done: 3,500 rows')", "the end of the copy")
    names = browser.run("[...document.querySelectorAll('#table-rows th')].map(th => th.textContent)")
    shown = HOSTILE.replace("\n", "\u240a").replace("\u202e", "[U+202E]")
    assert any(shown[:40] in name for name in names), names
    # rows that are written move the figures of a page that nobody touches
    world.wait()
    before = browser.run(text("target-lsn"))
    applied = int(browser.run("document.querySelector('#fact-changes b').textContent.replace(/,/g, '')"))
    world.source("INSERT INTO orders SELECT i, 'w' FROM generate_series(10001, 10100) i")
    shows(browser, f"{text('target-lsn')} !== '{before}' && +document.querySelector('#fact-changes b').textContent.replace(/,/g, '') >= {applied + 100}", "100 changes more")
    assert browser.run(text("link")) == "live" and "served by capture" in browser.run(text("served"))
    shows(browser, "[...document.querySelectorAll('#chart-0 path')].some(p => p.getAttribute('d').length > 10)", "a chart")
    # events of both roles
    shows(browser, "new Set([...document.querySelectorAll('#event-rows tr')].map(r => r.cells[1].textContent)).size === 2", "events of both roles")
    is_inert(browser, [capture, capture + "page/stream"])


def test_both_pages_in_all_looks(world, browser):
    runs(world)
    done = world.pipeline.run("compare", "watch", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    for role in (world.apply, world.capture):
        for how in LOOKS:
            browser.open(url_of(role), **how)
            shows(browser, f"{text('phase')} === 'streaming' && document.querySelectorAll('#gate-list li').length >= 8 && document.querySelectorAll('#run-rows tr').length >= 1",
                  "gates and verdicts")
            shows(browser, "document.querySelector('#run-rows .chip').textContent === 'PASS'", "the verdict")
            picture(browser, role.name.split()[-1], how)
            assert not browser.overflows(), f"{how}: {browser.overflows()}"
            is_inert(browser, [url_of(role), url_of(role) + "page/stream"])
    # for who does not look at it
    assert browser.run("document.querySelectorAll('main, header, nav[aria-label], footer').length") == 4
    assert browser.run("[...document.querySelectorAll('th')].every(th => th.scope)")
    assert browser.run("[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label'))")
    assert browser.run("[...document.querySelectorAll('section')].every(s => document.getElementById(s.getAttribute('aria-labelledby')))")
    assert browser.run("[...document.querySelectorAll('[role=progressbar]')].every(p => p.getAttribute('aria-label') && p.getAttribute('aria-valuenow'))")
    assert browser.run("document.querySelectorAll('[aria-live], [role=status], [role=alert]').length") == 1  # the connection alone
    # by keyboard: every control can be reached, and a sort is heard
    browser.open(url_of(world.capture))
    shows(browser, "document.querySelectorAll('#table-rows tr').length === 2", "the tables")
    browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.run("document.querySelector('th[data-sort=rows] button').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    browser.call("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    shows(browser, "document.querySelector('th[data-sort=rows]').getAttribute('aria-sort') === 'descending'", "the sort")
    shows(browser, "[...document.querySelectorAll('#table-rows tr')].map(r => r.cells[1].textContent + r.cells[2].textContent).join() === 'done3,000,done500'", "sorted rows")


def test_headers(world):
    runs(world)
    with urllib.request.urlopen(url_of(world.apply)) as answer:
        policy, body = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy) and re.search(r"style-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    for method, path, status in (("HEAD", "page/stream", 200), ("POST", "page/stream", 405), ("HEAD", "", 200), ("GET", "page/other", 404)):
        with contextlib.suppress(urllib.error.HTTPError):
            with urllib.request.urlopen(urllib.request.Request(url_of(world.apply) + path, method=method), timeout=10) as answer:
                assert answer.status == status and method == "HEAD", (method, path)
                continue
        assert status >= 400, (method, path)
    assert not re.search(r"(src|href)=\"?(https?:)?//", body)  # nothing from anywhere else


def test_a_role_goes_and_comes(world, browser):
    runs(world)
    browser.open(url_of(world.capture))
    shows(browser, f"{text('apply-phase')} === 'streaming'", "apply at work")
    assert world.apply.terminate() == 0
    shows(browser, f"{text('phase')} === 'down' && {text('apply-phase')} === 'down' && {text('notices')}.includes('apply does not answer')", "that apply is away")
    shows(browser, "[...document.querySelectorAll('#gate-list li')].find(l => l.textContent.includes('apply_alive')).className === 'FAIL'", "the gate")
    picture(browser, "apply-away", {})
    world.apply.start()
    shows(browser, f"{text('phase')} === 'streaming' && {text('notices')} === ''", "that apply is back")
    assert world.capture.terminate() == 0
    shows(browser, f"{text('link')}.startsWith('no connection')", "that nobody answers")
    world.capture.start()
    shows(browser, f"{text('link')} === 'live' && {text('phase')} === 'streaming'", "that it is live again")


def test_the_target_is_away(world, target, browser):
    """A role that tries again says so, and how old the target is by now; what is logged again and again takes one line."""
    runs(world)
    browser.open(url_of(world.apply), width=390, height=844)
    shows(browser, f"{text('phase')} === 'streaming'", "apply at work")
    target.stop(immediate=True)
    world.source("INSERT INTO orders VALUES (20001, 'away')")
    shows(browser, f"{text('phase')} === 'retrying' && {text('notices')}.includes('cannot connect') && parseFloat(document.querySelector('#fact-lag b').textContent) >= 5", "how long it is away")
    shows(browser, "document.querySelector('#event-rows').textContent.includes('\u00d7 ')", "events that are told once")
    picture(browser, "retrying", {"width": 390})
    assert not browser.overflows(), browser.overflows()
    target.start()
    shows(browser, f"{text('phase')} === 'streaming' && {text('notices')} === '' && parseFloat(document.querySelector('#fact-lag b').textContent) < 5", "that all is well")


def test_who_looks_on_is_bounded(world, browser):
    runs(world)
    browser.open(url_of(world.capture))  # it may have been at apply's: its place is free as soon as that is met
    with contextlib.ExitStack() as stack:
        def opened():
            return urllib.request.urlopen(url_of(world.apply) + "page/stream", timeout=30)
        clients = [stack.enter_context(wait_until(lambda: taken(opened), 30, "a place")) for _ in range(8)]
        with pytest.raises(urllib.error.HTTPError, match="503"):
            opened()
        for client in clients:  # all of them get figures
            assert client.readline() == b"event: hello\n"
        assert world.apply.get("/status")[0] == 200  # and the rest is served
        clients[0].close()
        stack.enter_context(wait_until(lambda: taken(opened), 30, "a place for another"))
    wait_until(lambda: world.apply.get("/page/facts")[0] == 200, 10, "it still answers")


def taken(opened):
    with contextlib.suppress(urllib.error.HTTPError):
        return opened()
    return None


class Many(http.server.ThreadingHTTPServer):
    """A role's page, and a stream of 10,000 tables, some of which change every 100 ms."""

    daemon_threads = True

    def __init__(self, page, policy):
        self.page, self.policy, self.ending = page, policy, False
        super().__init__(("127.0.0.1", 0), ManyHandler)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.ending = True
        self.shutdown()
        self.server_close()


class ManyHandler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def event(self, name, data):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())

    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(200)
        if self.path == "/":
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", self.server.policy)
            self.end_headers()
            self.wfile.write(self.server.page.encode())
            return
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.event("hello", {"role": "capture", "pipeline": "many", "version": "0"})
            self.event("live", {"pipeline": "many", "phase": "streaming", "at": "2026-11-22T08:00:00.000000Z", "capture": None, "lag": {}, "snapshot": None, "promise": "each row",
                                "apply": {"phase": "streaming", "fence_id": 7, "unapplied_fences": 0, "changes_per_second": 1.5, "memory_bytes": 1000}})
            for first in range(0, MANY, 500):
                self.event("tables", {"list": 1, "total": MANY, "rows": [[n, f"public.t{n:05}", 0, 1000, False] for n in range(first, first + 500)]})
            turn = 0
            while not self.server.ending:
                turn += 1
                self.event("tables", {"list": 1, "total": MANY, "rows": [[n, f"public.t{n:05}", turn * 10, 1000, n % 2 == 0] for n in range(0, MANY, 20)]})
                time.sleep(0.1)


def test_ten_thousand_tables(world, browser):
    runs(world)
    with urllib.request.urlopen(url_of(world.apply)) as answer:
        page, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    with Many(page, policy) as server:
        browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
        shows(browser, f"{text('shown')} === '10,000 of 10,000'", "all tables")
        # apply over topics of others: there is no capture of ours, and nothing is made up
        shows(browser, f"{text('source-lsn')} === 'topics of Debezium' && {text('capture-phase')} === 'not ours' && {text('target-lsn')} === 'fence 7'", "foreign topics")
        assert browser.run("document.querySelector('#fact-lag b').textContent") == "\u2013"
        assert browser.run("document.querySelectorAll('#table-rows tr').length") == 50 and browser.run(text("page-at")) == "page 1 of 200"
        picture(browser, "many", {})
        browser.run("document.getElementById('page-on').click()")
        shows(browser, f"{text('page-at')} === 'page 2 of 200'", "the next page")
        browser.run("(() => { const s = document.getElementById('search'); s.value = 'T0999'; s.dispatchEvent(new Event('input')); })()")
        shows(browser, f"{text('shown')} === '10 of 10,000'", "what was looked for")
        before = browser.run("document.querySelector('#table-rows').textContent")
        browser.run("(() => { const s = document.getElementById('search'); s.value = 't00020'; s.dispatchEvent(new Event('input')); })()")
        shows(browser, f"{text('shown')} === '1 of 10,000'", "one table")
        before = browser.run("document.querySelector('#table-rows').textContent")
        shows(browser, f"document.querySelector('#table-rows').textContent !== {json.dumps(before)}", "that its rows move")
        # no page is ever drawn for longer than people notice: counted in the elements that a change touches, not in time
        assert browser.run("document.querySelectorAll('*').length") < 1500
        is_inert(browser, [f"http://127.0.0.1:{server.server_address[1]}/", f"http://127.0.0.1:{server.server_address[1]}/page/stream"])
