"""The report of a cutover: planned, refused, done, aborted, killed and resumed; as JSON by its schema, as a page in a real browser, as text. With real PgBouncers
it tells what clients have waited; names that try to get out of their place stay in it, and no secret is in any of it."""

import contextlib
import json
import os
import re
import shutil
import signal

import psycopg
import pytest

from rig import Pgbouncer, Postgres, Workdir, wait_until
from rig.browser import Browser
from rig.clients import SCHEMA, Clients
from rig.cutting import states
from rig.json_schema import check_schema
from rig.privileges import OWNER
from rig.procs import Role
from rig.scenario import count, scenario
from test_hostile_cutover import stopped

SCHEMA_FILE = os.path.join(os.path.dirname(__file__), "..", "..", "schemas", "cutover-report.schema.json")
SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 30000, "straggler_grace_ms": 500, "pooler_timeout_ms": 4000}
HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">"
SECRET = "s3cret-of-nobody"
PICTURES = os.environ.get("CF_PICTURES")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("cutover-report") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="browser", scope="module")
def fixture_browser():
    with Browser() as browser:
        yield browser


class Case:
    """A scenario and its poolers; reports go to a folder of its own."""

    def __init__(self, folder, made, poolers):
        self.s, self.folder, self.poolers = made, str(folder), poolers
        self.reports = os.path.join(self.folder, f"{made.name}-reports")
        made.target(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {OWNER}")
        self.configure()

    def configure(self, **more):
        cutover = {**SETTINGS, **more}
        if self.poolers:
            cutover["poolers"] = [pooler.rule("app") for pooler in self.poolers]
        self.s.pipeline.settings["cutover"] = cutover
        self.s.pipeline.write()

    def compare(self):
        done = self.s.pipeline.run("compare", "run", "--json")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr

    def run(self, *words, expected=0):
        done = self.s.pipeline.run("cutover", *words, timeout=300)
        assert done.returncode == expected, f"{words}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr}"
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return done.stdout

    def report(self, *words, expected=0):
        """The document that the verb writes; the page is beside it."""
        told = json.loads(self.run(*words, "--json", "--report", self.reports, expected=expected))
        file = told["report_file"] if "report_file" in told else os.path.join(self.reports, "cutover-latest", "report.html")
        assert os.path.samefile(os.path.dirname(file), os.path.join(self.reports, "cutover-latest"))
        with open(os.path.join(os.path.dirname(file), "report.json"), encoding="utf-8") as f:
            return fits_schema(json.load(f)), file

    def kill_at(self, point):
        log = os.path.join(self.folder, f"{self.s.name}-cutover.log")
        with Role("cutover run --execute", self.s.pipeline.config_of("cutover"), log) as process:
            process.start(failpoint=f"{point}:1:stop")
            wait_until(lambda: not process.running or stopped(process.pid), 60, f"it stands still at {point}")
            assert process.running, process.log_tail()
            process.kill9()


def fits_schema(document):
    with open(SCHEMA_FILE, encoding="utf-8") as f:
        check_schema(json.load(f), document)
    return document


@pytest.fixture(name="case")
def fixture_case(servers, request):
    poolers = getattr(request, "param", 0)
    with scenario(*servers, SCHEMA, more={"cutover": SETTINGS}) as made, contextlib.ExitStack() as stack:
        made_poolers = [stack.enter_context(Pgbouncer.before(made, servers[0], f"pooler{i}")) for i in range(poolers)]
        made.start()
        case = Case(servers[0], made, made_poolers)
        case.compare()
        yield case


def looks_well(browser, path):
    """In the sizes and colours that it is read in: nothing is fetched, nothing runs but its own script, no text leaves its place."""
    for how in ({}, {"scheme": "dark"}, {"width": 390}, {"scheme": "dark", "width": 390}, {"media": "print", "width": 703}):
        browser.open(path, **how)
        if PICTURES:
            name = "-".join([os.path.basename(os.path.dirname(path)), *(f"{k}-{v}" for k, v in how.items())])
            browser.picture(os.path.join(PICTURES, f"{name}.png"))
            shutil.copy(path, os.path.join(PICTURES, f"{os.path.basename(os.path.dirname(path))}.html"))
        assert browser.requests == [f"file://{os.path.realpath(path)}"] and not browser.errors, (browser.requests, browser.errors)
        assert not browser.overflows(), f"{how}: {browser.overflows()}"
        assert "owned" not in browser.run("document.title") and browser.run("document.querySelectorAll('script').length") == 1
        assert browser.run("document.querySelectorAll('img, iframe, link, object, embed').length") == 0
    # for who does not look at it: each table has heads, each section of the navigation is there, pictures are told or left out
    assert browser.run("[...document.querySelectorAll('nav a')].every(a => document.getElementById(a.hash.slice(1)))")
    assert browser.run("[...document.querySelectorAll('th')].every(th => th.scope)")
    assert browser.run("[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-hidden') || s.getAttribute('aria-label'))")


def page_text(browser, path):
    browser.open(path)
    return browser.run("document.querySelector('main').innerText")


def test_planned_and_refused(case, browser):
    plan, page = case.report("plan")
    assert (plan["outcome"], plan["id"], plan["timeline"], plan["ready"]) == ("planned", None, None, {"answer": "yes", "reasons": []})
    assert [e["state"] for e in plan["estimates"]] == [s for s in states() if s != "aborting"] and plan["gates"]["asked_now"]
    assert plan["verdicts"]["before"]["verdict"] == "PASS" and plan["verdicts"]["before"]["scope"] == "full" and not plan["rollback"]["there"]
    assert os.path.basename(os.path.dirname(page)).startswith("plan-")
    looks_well(browser, page)
    assert "Ready for cutover: yes" in page_text(browser, page)

    # refused: by which gate, why, what to do; and a run that was refused has noted which gates held
    case.s.source("ALTER TABLE ledger REPLICA IDENTITY NOTHING")
    refused, page = case.report("run", "--execute", expected=10)
    gates = {gate["name"]: gate for gate in refused["gates"]["list"]}
    assert refused["ready"]["answer"] == "no" and [r["what"] for r in refused["ready"]["reasons"]] == [n for n, g in gates.items() if g["verdict"] == "refused"] and "replica_identity" in gates
    todo = {reason["what"]: reason["todo"] for reason in refused["ready"]["reasons"]}
    assert todo["replica_identity"] == gates["replica_identity"]["hint"] != "" and "ledger" in gates["replica_identity"]["hint"]
    assert gates["slot"]["held_at"] and not gates["slot"]["refused_at"] and gates["replica_identity"]["refused_at"] and not gates["replica_identity"]["held_at"]
    looks_well(browser, page)
    text = page_text(browser, page)
    assert "Ready for cutover: no" in text and gates["replica_identity"]["hint"] in text
    case.s.source("ALTER TABLE ledger REPLICA IDENTITY DEFAULT")
    again, _ = case.report("plan")
    assert next(g for g in again["gates"]["list"] if g["name"] == "replica_identity")["refused_at"] == gates["replica_identity"]["refused_at"]

    # where it goes
    one = os.path.join(case.folder, "one.html")
    case.run("plan", "--report", one)
    assert "Ready for cutover: yes" in page_text(browser, one)
    assert case.s.pipeline.run("cutover", "plan", "--report", os.path.join(case.folder, "plan.pdf")).returncode == 2
    assert case.s.pipeline.run("cutover", "report").returncode == 10, "none was begun"


@pytest.mark.parametrize("case", [1, 2], indirect=True)
def test_done(case, browser):
    case.configure(on_freeze=["true", f"echo {SECRET} >&2"], on_switch=["sleep 0.05"], on_done=["false"])
    with contextlib.ExitStack() as stack:
        for i, pooler in enumerate(case.poolers):
            clients = stack.enter_context(Clients(pooler.url("app", OWNER), case.folder, clients=4, rate=200, name=f"{pooler.name}-clients", first=100 * i))
            clients.wait(count(100, 300), case.s.source_url)
        done, page = case.report("run", "--execute")
        for i, pooler in enumerate(case.poolers):
            assert pooler.database("app")["paused"] == 0
    pause, steps = done["pause"], done["timeline"]["steps"]
    assert [s["state"] for s in steps] == [s for s in states() if s != "aborting"] and all(s["ok"] and s["ended"] == "go" and s["ms"] >= 0 for s in steps)
    assert [a["offset_ms"] for a in done["timeline"]["attempts"]] == [0] and done["outcome"] == "done" and done["ready"]["answer"] == "over"
    # the steps lie one behind the other, and the pause in those in which clients wait
    assert all(a["offset_ms"] + a["elapsed_ms"] == pytest.approx(b["offset_ms"], abs=0.01) for a, b in zip(steps, steps[1:]))
    waiting = [s for s in steps if s["clients_wait"]]
    assert pause["offset_ms"] == pytest.approx(waiting[0]["offset_ms"], abs=50) and 0 < pause["refused_ms"] < pause["budget_ms"]
    # each pooler, from PAUSE to RESUME; its clients waited for no longer than that
    assert len(pause["poolers"]) == len(case.poolers)
    for one in pause["poolers"]:
        assert one["pause_seen"] and one["pauses"] == 1 and one["paused_at"] < one["resumed_at"]
        assert 0 < one["longest_ms"] <= one["held_ms"] + 200 and one["held_ms"] <= done["timeline"]["ms"] and one["clients"] > 0  # one may have waited for a server already
    assert pause["clients_longest_ms"] == max(p["longest_ms"] for p in pause["poolers"]) and pause["clients_waiting"] == sum(p["clients"] for p in pause["poolers"])
    hooks = [(i["name"], i["number"], i["ok"]) for s in steps for i in s["inside"] if i["kind"] == "hook"]
    assert hooks == [("on_freeze", 1, True), ("on_freeze", 2, True), ("on_switch", 1, True), ("on_done", 1, False)]
    assert done["final"]["verdict"] == "PASS" and "/" in done["final"]["lsn"] and done["final"]["scope"]
    assert done["verdicts"]["before"]["finished_at"] < done["timeline"]["began_at"] and done["decision"] == "switched"
    assert done["estimates"] and done["pause"]["estimate_ms"] is not None, "what was expected is recorded, too"
    looks_well(browser, page)
    text = page_text(browser, page)
    assert all(s["state"] in text for s in steps) and "waited when they were resumed" in text

    # from records alone it is the same; the chain proves that it is the page of this chain
    later, later_page = case.report("report")
    differs = {"command", "written_at", "gates"} | ({"audit"} if later["audit"] != done["audit"] else set())
    assert {k for k in later if later[k] != done[k]} <= differs, {k: (later[k], done[k]) for k in later if later[k] != done[k]}
    assert {g["name"]: g["measured"] for g in later["gates"]["list"]} == {g["name"]: g["measured"] for g in done["gates"]["list"]}
    verified = case.s.pipeline.run("audit", "verify", "--expect", f"{done['audit']['seq']}:{done['audit']['hash']}")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    looks_well(browser, later_page)
    everything = json.dumps(later) + open(later_page, encoding="utf-8").read() + case.run("report") + case.run("status")
    assert SECRET not in everything
    lines = case.run("status").splitlines()
    assert lines[0].startswith("done") and len([line for line in lines if line.startswith(" ✓")]) == len(steps)


@pytest.mark.parametrize("case", [1], indirect=True)
def test_killed_and_resumed(case, browser):
    """Both attempts are told of; what the first has recorded is not lost."""
    case.kill_at("cutover.draining")
    interrupted, page = case.report("report")
    assert interrupted["outcome"] == "interrupted" and interrupted["ready"]["answer"] == "no" and interrupted["timeline"]["steps"][-1]["ok"] is None
    looks_well(browser, page)
    assert "cut short" in case.run("status") and "Interrupted" in page_text(browser, page)
    done, page = case.report("resume")
    attempts, steps = done["timeline"]["attempts"], {s["state"]: s for s in done["timeline"]["steps"]}
    assert [(a["attempt"], a["state"]) for a in attempts] == [(1, states()[0]), (2, "draining")] and "@" in attempts[1]["by"] and attempts[1]["offset_ms"] > 0
    assert steps["draining"]["resumed"] == [attempts[1]] and steps["draining"]["attempt"] == 2 and steps["marking"]["attempt"] == 1 and steps["deciding"]["attempt"] == 2
    assert steps["draining"]["offset_ms"] < attempts[1]["offset_ms"] < steps["draining"]["offset_ms"] + steps["draining"]["elapsed_ms"]
    assert done["outcome"] == "done" and done["final"]["lsn"] and done["pause"]["poolers"][0]["held_ms"] >= attempts[1]["offset_ms"] - steps["freezing"]["offset_ms"]
    looks_well(browser, page)
    assert "in 2 attempts" in page_text(browser, page)
    events = [row[0] for row in case.s.target("SELECT event FROM crossfade.audit WHERE cutover_id <> '' ORDER BY seq")]
    assert events.count("cutover.resumed") == 1
    # what was compared behind it is told with it
    assert done["verdicts"]["before"]["verdict"] == "PASS" and done["verdicts"]["after"] is None
    case.compare()
    later, page = case.report("report")
    assert later["verdicts"]["after"]["verdict"] == "PASS" and later["verdicts"]["after"]["finished_at"] > done["timeline"]["began_at"]
    looks_well(browser, page)


def test_killed_twice_and_aborted(case, browser):
    case.kill_at("cutover.verifying")
    aborted, page = case.report("abort", expected=11)
    assert aborted["outcome"] == "aborted" and aborted["ready"]["answer"] == "unknown" and aborted["decision"] == "aborted"
    assert [s["state"] for s in aborted["timeline"]["steps"]][-1] == "aborting" and len(aborted["timeline"]["attempts"]) == 2
    looks_well(browser, page)
    # an aborted one, with why
    case.configure(on_verified=["exit 3"])
    failed, page = case.report("run", "--execute", expected=11)
    step = next(s for s in failed["timeline"]["steps"] if s["ended"] == "failed")
    assert step["state"] == "deciding" and step["ms"] > 0 and "exit code 3" in failed["reason"] and [i["ok"] for i in step["inside"]] == [False]
    looks_well(browser, page)
    assert "exit code 3" in page_text(browser, page)
    # each has its own; that of an older version, whose records say less, can be told, too
    listed = json.loads(case.run("list", "--json"))["cutovers"]
    old, _ = case.report("report", listed[1]["id"])
    assert old["id"] == aborted["id"] and old["timeline"] == aborted["timeline"]
    case.s.target(f"UPDATE crossfade.cutover SET detail = detail - '{{attempt,ended,spent_us,wall_us,notes,verdict,verdict_scope,sequences,stragglers,resumed}}'::text[] WHERE cutover_id = '{listed[0]['id']}'")
    older, page = case.report("report", listed[0]["id"])
    assert older["outcome"] == "aborted" and [s["ok"] for s in older["timeline"]["steps"]][-2:] == [False, True] and len(older["timeline"]["attempts"]) == 1
    looks_well(browser, page)
    text = case.run("list")
    assert re.search(rf"^ {listed[0]['id']} +aborted", text, re.M) and "clients waited" in text


def test_hostile_names(case, browser):
    """In gates, in what was ended, in approvals' and roles' names: shown as they are, and no more than shown."""
    case.configure(grants="ignore")
    quoted = '"' + HOSTILE[:63].replace('"', '""') + '"'
    case.s.admin(f"CREATE ROLE {quoted} LOGIN", f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {quoted}", f"GRANT USAGE ON SCHEMA public TO {quoted}")
    try:
        with psycopg.connect(case.s.source_url, user=HOSTILE[:63], application_name=HOSTILE[:60]) as writer:
            writer.execute("UPDATE account SET moves = moves WHERE id = 1")
            done, page = case.report("run", "--execute")
            with contextlib.suppress(psycopg.OperationalError):
                writer.rollback()
    finally:
        case.s.admin(f"DROP OWNED BY {quoted}", f"DROP ROLE {quoted}")
    assert len(done["pause"]["stragglers"]) == 1 and "<script>" in done["pause"]["stragglers"][0]["application"]
    looks_well(browser, page)
    assert "<script>" in page_text(browser, page)
    with open(page, encoding="utf-8") as f:
        assert HOSTILE[:20] not in f.read()


def test_no_secrets(case, browser):
    """Passwords in URLs are masked; with compare.redact nothing that is quoted is shown."""
    hook = f'exit 3 # postgresql://u:{SECRET}@somewhere/db "quoted-{SECRET}"'
    case.configure(on_verified=[hook])
    case.s.pipeline.settings.setdefault("compare", {})["redact"] = ["public.account.moves"]
    case.s.pipeline.write()
    failed, page = case.report("run", "--execute", expected=11)
    assert failed["reason"].startswith("hook on_verified: exit 3 # postgresql:***@") and "exit code 3" in failed["reason"] and "somewhere" in failed["reason"]
    everything = json.dumps(failed) + page_text(browser, page) + case.run("status") + case.run("report", "--json")
    with open(page, encoding="utf-8") as f:
        assert SECRET not in everything + f.read()


def test_terminal(case):
    """What a person sees: within the width, with colours only where they may be."""
    log = os.path.join(case.folder, f"{case.s.name}-cutover.log")
    with Role("cutover run --execute", case.s.pipeline.config_of("cutover"), log) as process:
        process.start(failpoint="cutover.freezing:1:stop")
        wait_until(lambda: stopped(process.pid), 60, "it stands still")
        for columns in (50, 80, 140):
            text = on_terminal(case, columns, "status")
            plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
            assert "\x1b[" in text and max(map(len, plain.splitlines())) <= columns, plain
            assert "running" in plain and "▶ freezing" in plain and re.search(r"· marking +~[\d.]+ ms .*clients wait$", plain, re.M) and re.search(r"\d+ of \d+ steps, (about|at least) ", plain), plain
            if PICTURES:
                print(text)
        assert "\x1b[" not in on_terminal(case, 80, "status", NO_COLOR="1")
        assert max(map(len, on_terminal(case, 50, "list", NO_COLOR="1").splitlines())) <= 50
        process.signal(signal.SIGCONT)
        assert process.wait(90) == 0, process.log_tail(40)
    text = on_terminal(case, 80, "report", NO_COLOR="1")
    assert "Ready for cutover: over" in text and "writers were refused for" in text and "audit chain at" in text


def on_terminal(case, columns, *words, **env):
    """Of a command at a terminal of this width."""
    import fcntl
    import pty
    import struct
    import subprocess
    import termios

    from rig import find_crossfade
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen([find_crossfade(), "-c", case.s.pipeline.config_of("cutover"), "cutover", *words], stdin=subprocess.DEVNULL, stdout=theirs,
                               stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm", **({} if env else {"NO_COLOR": ""}), **env})
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # its end is an error, for a terminal
        while chunk := os.read(ours, 65536):
            said += chunk
    os.close(ours)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 0, errors.decode()
    return said.decode().replace("\r\n", "\n")
