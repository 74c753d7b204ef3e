"""Reports as they are looked at: in a real browser in light, dark, narrow, printed and without scripts, at 1,000 tables; as JSON, as JUnit.
Names and values that try to get out of their place stay in it; redacted values are nowhere."""

import contextlib
import json
import os
import socket
import subprocess
import threading
import xml.etree.ElementTree

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.browser import Browser
from rig.comparing import SCHEMA_FILE, compare
from rig.forms import BUILD
from rig.json_schema import check_schema
from rig.scenario import scenario

HOSTILE = "<script>document.title='owned'</script>\"'><img src=\"{url}\" onerror=\"document.title='owned'\">]]>&amp;\x01\x1b[31m‮x"
SCHEMA = """
    CREATE TABLE users (id int PRIMARY KEY, email text, phone text, age int, made text GENERATED ALWAYS AS (email || '!') STORED);
    CREATE TABLE plain (id int PRIMARY KEY, v text);
    CREATE TABLE bag (v text, w text);
    ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE TABLE "<b>""q'"" ]]>&" ("<i>" int PRIMARY KEY, "a.b" text);
"""
PICTURES = os.environ.get("CF_PICTURES")
HISTORY_SCHEMA = os.path.join(os.path.dirname(SCHEMA_FILE), "history.schema.json")


class Listener:
    """Counts whoever connects: nobody should."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url, self.calls = f"http://127.0.0.1:{self.socket.getsockname()[1]}/x", 0
        self.thread = threading.Thread(target=self.listen, daemon=True)

    def listen(self):
        with contextlib.suppress(OSError):
            while True:
                self.socket.accept()[0].close()
                self.calls += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("report") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="browser", scope="module")
def fixture_browser():
    with Browser() as browser:
        yield browser


def fits(browser, path, **how):
    """Nothing but the page was fetched, nothing went wrong in it, and no text reaches out of its place."""
    browser.open(path, **how)
    if PICTURES:  # to be looked at
        name = "-".join([os.path.basename(os.path.dirname(path)), *(f"{k}-{v}" for k, v in how.items())])
        browser.picture(os.path.join(PICTURES, f"{name}.png"))
    assert browser.requests == [f"file://{os.path.realpath(path)}"] and not browser.errors, (browser.requests, browser.errors)
    assert not browser.overflows(), f"{how}: {browser.overflows()}"
    title = browser.run("document.title")
    assert "owned" not in title and browser.run("document.querySelectorAll('script').length") == 1, title
    assert browser.run("document.querySelectorAll('img, iframe, link, object, embed').length") == 0


def test_thousand_tables(browser):
    with Workdir("pages") as folder:
        done = subprocess.run([os.path.join(BUILD, "tests", "report-pages"), folder, "1000"], stdout=subprocess.PIPE, check=True, timeout=300)
        pages = json.loads(done.stdout)["folder"]
        page = os.path.join(pages, "report.html")
        papers = set()
        for how in ({"media": "print", "width": 703}, {"scheme": "dark", "width": 380}, {}):
            fits(browser, page, **how)
            papers.add(browser.run("getComputedStyle(document.body).backgroundColor"))
        assert len(papers) == 3, "paper, night and day"

        # what differs stands on top; sorting, searching and the buttons work
        verdicts = "[...document.querySelectorAll('#all-tables tbody tr')].filter(r => !r.hidden).map(r => r.dataset.verdict)"
        first = browser.run(verdicts)
        assert len(first) == 1000 and first == sorted(first, key=["FAIL", "INCONCLUSIVE", "PASS"].index)
        rows = "[...document.querySelectorAll('#all-tables tbody tr')].map(r => +r.cells[2].textContent.replaceAll(',', ''))"
        before = browser.run(rows)
        browser.run("document.querySelectorAll('#all-tables th button')[2].click()")
        assert browser.run(rows) == sorted(before, reverse=True)
        browser.run("document.querySelectorAll('#all-tables th button')[2].click()")
        assert browser.run(rows) == sorted(before)
        browser.run("document.querySelectorAll('#all-tables th button')[2].click()")
        assert browser.run(rows) == before
        browser.run("document.querySelector('.tools [data-verdict=FAIL]').click()")
        assert set(browser.run(verdicts)) == {"FAIL"}
        browser.run("(() => { const s = document.getElementById('search'); s.value = 'TABLE_0102'; s.dispatchEvent(new Event('input')); })()")
        assert browser.run(verdicts) == ["FAIL"] and browser.run("document.getElementById('shown').textContent") == "1 of 1000"
        assert browser.pdf().startswith(b"%PDF")

        # the journal's offsets, what partitions came to, and how long query pairs took
        assert browser.run("document.querySelectorAll('#journal tbody tr').length") == 20 and "2980 more partitions" in browser.run("document.getElementById('journal').textContent")
        assert browser.run("document.querySelectorAll('#partitions ~ details')[0].querySelectorAll('tbody tr').length") == 60
        assert browser.run("document.querySelectorAll('#pair-times tbody svg').length") == 4

        # without scripts: all rows, and nothing that would need one
        browser.open(page, scripts=False)
        assert browser.run(verdicts) == first and browser.run("getComputedStyle(document.querySelector('.tools')).display") == "none"

        with open(os.path.join(pages, "report.json"), "rb") as f, open(SCHEMA_FILE, encoding="utf-8") as schema:
            check_schema(json.load(schema), json.loads(f.read().decode("utf-8")))
        suites = xml.etree.ElementTree.parse(os.path.join(pages, "report.xml")).getroot()
        assert suites.find("testsuite[@name='tables']").get("tests") == "1000"


def test_ten_thousand_tables():
    """Of a journal with 30,000 partitions the report says how many, and lists the furthest: its size is that of the tables."""
    with Workdir("pages") as folder:
        done = subprocess.run([os.path.join(BUILD, "tests", "report-pages"), folder, "10000"], stdout=subprocess.PIPE, check=True, timeout=300)
        pages = json.loads(done.stdout)["folder"]
        with open(os.path.join(pages, "report.json"), "rb") as f:
            reach = json.loads(f.read().decode("utf-8"))["fence"]["journal"]
        assert (reach["topics"], reach["partitions"], reach["more"], len(reach["offsets"])) == (10000, 30000, True, 1000)
        assert reach["offsets"][0]["next_offset"] == 123456789
        with open(os.path.join(pages, "report.html"), encoding="utf-8") as f:
            section = f.read().split('id="journal"')[1].split("</details>")[0]
        assert "10000 topics, 30000 partitions" in section and "29980 more partitions" in section and len(section) < 10000
        assert os.path.getsize(os.path.join(pages, "report.html")) < 24 << 20


def suites_of(path):
    """{suite: {case: its element}}"""
    root = xml.etree.ElementTree.parse(path).getroot()
    for suite in root:
        for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(word)) == len(suite.findall(f"testcase/{tag}")), suite.attrib
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
    return {suite.get("name"): {case.get("name"): case for case in suite} for suite in root}


def spoil(target_url, hostile):
    with psycopg.connect(target_url, autocommit=True) as rogue:
        rogue.execute("SET session_replication_role = replica")
        rogue.execute("UPDATE users SET email = %s WHERE id = 3", (f"secret-{hostile}",))
        rogue.execute("UPDATE users SET phone = NULL WHERE id = 4")
        rogue.execute("DELETE FROM users WHERE id = 5")
        rogue.execute("INSERT INTO users VALUES (900, 'secret-extra', '+900', 1)")
        rogue.execute("INSERT INTO bag VALUES ('secret-bag', 'w')")
        rogue.execute("""UPDATE "<b>""q'"" ]]>&" SET "a.b" = %s""", (hostile,))


CHECKS = {
    "redact": ["email", "public.users.phone", "*.bag.v", "query.ages.total"],
    "report_formats": ["html", "json", "junit"],
    "queries": [{"name": "ages", "source_sql": "SELECT sum(age) AS total FROM users"},
                {"name": "mails", "source_sql": "SELECT id, email FROM users", "key": "id"},
                {"name": "bad <b>", "source_sql": "SELECT email::int AS n FROM users"}],
    "aggregates": [{"table": "public.users", "columns": ["email"], "measures": ["count", "min", "max", "top"]}],
    "samples": [{"table": "public.users", "rows": 50}],
    "counts": [{"table": "public.users", "column": "email", "by": "value"}],
    "contracts": [{"table": "public.users", "contract": {"email": [{"enum": ["none"]}], "phone": "not_null"}}],
    "rules": [{"name": "no mail", "sql": "SELECT id, email FROM public.users WHERE id < 4"}],
}


def test_hostile_and_redacted(servers, browser):
    folder, source, target = servers
    with Listener() as listener, scenario(folder, source, target, SCHEMA, more={"compare": CHECKS, "cutover": {"clean_for": "1h"}}) as s:
        hostile = HOSTILE.format(url=listener.url)
        with psycopg.connect(s.source_url, autocommit=True) as shop:
            shop.execute("INSERT INTO users SELECT i, 'secret-' || i, 'secret+' || i, i * 1000003 FROM generate_series(1, 50) i")
            shop.execute("INSERT INTO bag VALUES ('secret-b', 'w')")
            shop.execute("""INSERT INTO "<b>""q'"" ]]>&" VALUES (1, 'x')""")
        s.start()
        compare(s.pipeline, "--level", "digests")
        spoil(s.target_url, hostile)
        junit = os.path.join(s.pipeline.folder, "given.xml")
        report = compare(s.pipeline, "--junit", junit, code=1)
        terminal = s.pipeline.run("compare", "run", "--verbose", timeout=300)
        assert terminal.returncode == 1, terminal.stderr

        # redacted: nowhere; still it is told that they differ, and how often
        texts = {"terminal": terminal.stdout + terminal.stderr, "json": json.dumps(report, ensure_ascii=False)}
        for name in ("report.html", "report.json", "report.xml"):
            with open(os.path.join(report["report_dir"], name), encoding="utf-8") as f:
                texts[name] = f.read()
        with open(junit, encoding="utf-8") as f:
            texts["given"] = f.read()
        for where, text in texts.items():
            assert "secret" not in text and "+900" not in text and str(1275 * 1000003) not in text, f"{where}: {text[max(0, text.find('secret') - 300):][:600]}"
            assert "[redacted " in text, where
        tables = {t["table"]: t for t in report["tables"]}
        users = {d["key"]["id"]: {c["name"]: c for c in d["columns"]} for d in tables["users"]["differences"]}
        assert set(users) == {"3", "4", "5", "900"}
        changed, null = users["3"]["email"], users["4"]["phone"]
        assert changed["source"] != changed["target"] and null["source"] != null["target"] and null["target"].startswith("[redacted ")
        assert users["5"]["email"]["target"] is None and users["5"]["age"]["source"] == "5000015", "what is not redacted is shown"
        marks = [c[side] for row in users.values() for n, c in row.items() for side in ("source", "target") if n in ("email", "phone") and c[side]]
        assert len(set(marks)) == len(marks), "a mark says nothing beyond its row"
        assert tables["users"]["left_out"] == [{"column": "made", "why": "generated on the source and the target"}]

        # the fence, and what a cutover waits for
        fence, gates = report["fence"], {g["gate"]: g for g in report["readiness"]["gates"]}
        assert fence["offset"] is not None and fence["reached_at"] and fence["lag_ms"] > 0
        assert not report["readiness"]["ready"] and not gates["verdict"]["met"] and not gates["clean_window"]["met"] and gates["dead_letters"]["met"]

        # JUnit: FAIL, INCONCLUSIVE and PASS, and every name as it is
        cases = suites_of(junit)
        assert cases["tables"]["public.users"].find("failure") is not None and cases["tables"]["public.plain"].find("failure") is None
        assert cases["tables"]["public.<b>\"q'\" ]]>&"].find("failure") is not None
        assert cases["query"]["bad <b>"].find("error") is not None and cases["query"]["ages"].find("failure") is not None
        assert cases["sample"] and cases["aggregate"] and cases["count"] and cases["contract"]
        suites_of(os.path.join(report["report_dir"], "report.xml"))

        # in the browser: text is text, and nobody was called
        page = os.path.join(report["report_dir"], "report.html")
        for how in ({}, {"scheme": "dark", "width": 380}, {"media": "print", "width": 703}):
            fits(browser, page, **how)
        browser.open(page)
        shown = browser.run("document.body.textContent")
        assert "<script>document.title='owned'</script>" in shown and "␁" in shown and "[U+202E]" in shown
        assert listener.calls == 0

        window(s, browser)


def window(s, browser):
    """compare watch keeps its runs with their lag; history shows them as JSON and as a page, and so does the next report."""
    s.pipeline.settings["compare"]["watch"] = {"digests": "1h", "counts": "1h"}
    s.pipeline.write()
    done = s.pipeline.run("compare", "watch", "--once", timeout=300)
    assert done.returncode == 1, done.stderr
    told = s.pipeline.run("compare", "history", "--json", timeout=120)
    assert told.returncode == 0, told.stderr
    with open(HISTORY_SCHEMA, encoding="utf-8") as f:
        check_schema(json.load(f), json.loads(told.stdout))
    runs = json.loads(told.stdout)["runs"]
    assert {r["verdict"] for r in runs} == {"FAIL"} and all(r["lag_ms"] > 0 for r in runs)
    page = os.path.join(s.pipeline.folder, "window.html")
    written = s.pipeline.run("compare", "history", "--html", page, timeout=120)
    assert written.returncode == 0, written.stderr
    fits(browser, page)
    assert browser.run("document.querySelectorAll('.strip').length") == 2 and browser.run("document.querySelectorAll('.strip rect').length") == len(runs)
    report = compare(s.pipeline, "--level", "counts", code=1)
    assert len(report["window"]["windows"]) == 2 and len(report["window"]["runs"]) == len(runs)
    fits(browser, os.path.join(report["report_dir"], "report.html"))


def test_redaction_of_shadow_queries(servers, browser):
    folder, source, target = servers
    queries = [{"name": "one", "sql": "SELECT * FROM plain WHERE v = 'secret-1' OR v = $1 /* secret */", "params": [["secret-7"], ["secret-8"]]},
               {"name": "bad", "sql": "SELECT ('secret' || id)::int FROM plain ORDER BY id"}]
    shadow = {"queries": queries, "samples": 8, "rate": 0, "min_coverage": 0, "latency_regression": "0"}
    with scenario(folder, source, target, SCHEMA, more={"compare": {"redact": ["public.plain.v"], "shadow": shadow}}) as s:
        with psycopg.connect(s.source_url, autocommit=True) as shop:
            shop.execute("INSERT INTO plain SELECT i, 'secret-' || i FROM generate_series(1, 20) i")
        s.start()
        s.pipeline.wait_caught_up()
        with psycopg.connect(s.target_url, autocommit=True) as rogue:
            rogue.execute("SET session_replication_role = replica")
            rogue.execute("UPDATE plain SET v = 'changed' WHERE id = 1")
        junit = os.path.join(s.pipeline.folder, "shadow.xml")
        done = s.pipeline.run("compare", "shadow", "--json", "--junit", junit, timeout=300)
        assert done.returncode == 1, done.stderr
        report = json.loads(done.stdout)
        terminal = s.pipeline.run("compare", "shadow", "--verbose", timeout=300)
        page = os.path.join(report["report_dir"], "report.html")
        texts = [done.stdout, terminal.stdout + terminal.stderr]
        for path in (page, junit):
            with open(path, encoding="utf-8") as f:
                texts.append(f.read())
        for text in texts:
            assert "secret" not in text, text[-3000:]
            assert "plain" in text
        cases = suites_of(junit)["shadow"]
        assert sorted(c.find("failure") is not None for c in cases.values()) == [False, True]
        for how in ({}, {"scheme": "dark", "width": 380}, {"media": "print", "width": 703}):
            fits(browser, page, **how)
        assert browser.run("document.querySelectorAll('svg.latency .of-source').length") >= 1
