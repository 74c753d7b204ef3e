"""What a report says beyond tables: how far the journal reached at the fence, how long query pairs took on both sides, what partitions come to."""

import json
import os

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.browser import Browser
from rig.comparing import compare
from rig.kafka import Kafka
from rig.mariadb import MariaDB
from rig.scenario import scenario

PICTURES = os.environ.get("CF_PICTURES")
TABLES = """CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 300) i;
    CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT i, 'b' || i FROM generate_series(1, 50) i"""
PARTS = """CREATE TABLE log (id int, at timestamptz, v text, amount float8 DEFAULT 0, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-01-02 00:00+00');
    CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2026-01-02 00:00+00') TO ('2026-01-03 00:00+00');
    CREATE TABLE log_rest PARTITION OF log DEFAULT;
    INSERT INTO log SELECT i, timestamptz '2026-01-01 00:00+00' + i * interval '15 minutes', 'v' || i FROM generate_series(0, 383) i;
    CREATE TABLE spread (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
    CREATE TABLE spread_0 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE spread_1 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO spread SELECT i, 's' || i FROM generate_series(1, 200) i;
    CREATE TABLE plain (id int PRIMARY KEY, v text); INSERT INTO plain SELECT i, 'p' || i FROM generate_series(1, 20) i"""
PLAIN = """CREATE TABLE log (id int, at timestamptz, v text, amount float8, PRIMARY KEY (id, at)); CREATE TABLE spread (id int PRIMARY KEY, v text);
    CREATE TABLE plain (id int PRIMARY KEY, v text)"""
BY_DAY = {"public.log_1": 96, "public.log_2": 96, "public.log_rest": 192}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("parts") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="browser", scope="module")
def fixture_browser():
    with Browser() as browser:
        yield browser


def passing(p, *words):
    """The report of a comparison that passed: on a machine that does much else a fence takes more than one try."""
    return wait_until(lambda: (lambda report: report if report["verdict"] == "PASS" else None)(compare(p, *words, code=(0, 3))), 240, "a PASS")


def fences(p):
    """All fences of the journal, the oldest first."""
    done = p.run("journal", "fences", timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def picture(browser, page, name):
    for how in ({}, {"scheme": "dark", "width": 380}, {"media": "print", "width": 703}):
        browser.open(page, **how)
        assert not browser.errors and not browser.overflows(), (how, browser.errors, browser.overflows())
        if PICTURES:
            browser.picture(os.path.join(PICTURES, "-".join([name, *(f"{k}-{v}" for k, v in how.items())]) + ".png"))
    browser.open(page)


@pytest.mark.parametrize("journal", ["lmdb", "kafka"])
def test_offsets_at_the_fence(servers, browser, journal):
    folder = servers[0]
    kafka = Kafka(folder, "kafka-parts") if journal == "kafka" else None
    try:
        how = {"journal": kafka.__enter__().url} if kafka else {}
        more = {"journal": {"partitions": 3}} if kafka else {}
        with scenario(*servers, TABLES, more={"compare": {"deadline_ms": 60000}, **more}, **how) as s:
            s.start(timeout=240)
            s.source("UPDATE b SET v = 'early' WHERE id < 4")
            while s.position()["fence_id"] < 110:  # one that lists all partitions lies behind the last records of b
                s.source("UPDATE a SET v = v || '!' WHERE id < 3")
                s.wait()
            report = passing(s.pipeline)
            reach = report["fence"]["journal"]
            assert (reach["kind"], reach["unread"], reach["more"]) == (journal, None, False)
            offsets = {(o["topic"], o["partition"]): o["next_offset"] for o in reach["offsets"]}
            assert [o["next_offset"] for o in reach["offsets"]] == sorted(offsets.values(), reverse=True)
            # what the fences themselves say, from the first one to this one
            expected = {}
            upto = [fence for fence in fences(s.pipeline) if fence["id"] <= report["fence"]["id"]]
            assert upto[-1]["lsn"] == report["fence"]["lsn"] and len(upto) > 100
            for position in (position for fence in upto for position in fence["positions"]):
                expected[position["stream"], position["partition"]] = position["next_offset"]
            assert offsets == expected
            topics = {topic for topic, _ in offsets}
            assert {f"{s.name}.public.a", f"{s.name}.public.b"} <= topics and len(topics) == reach["topics"] and len(offsets) == reach["partitions"]
            if kafka:
                assert len([p for topic, p in offsets if topic == f"{s.name}.public.a"]) == 3, "each partition"
            page = os.path.join(report["report_dir"], "report.html")
            picture(browser, page, f"offsets-{journal}")
            shown = browser.run("document.getElementById('journal').innerText")
            assert f"{s.name}.public.a" in shown and f"{max(offsets.values()):,}" in shown, shown
            # the same from a machine that the journal is not on: told, and no less a PASS
            url = s.pipeline.settings["journal"]["url"]
            s.pipeline.settings["journal"]["url"] = "lmdb:" + os.path.join(str(folder), "elsewhere")
            s.pipeline.write()
            away = passing(s.pipeline)
            assert "cannot be read from here" in away["fence"]["journal"]["unread"] and away["fence"]["journal"]["offsets"] == []
            browser.open(os.path.join(away["report_dir"], "report.html"))
            assert "cannot be read from here" in browser.run("document.getElementById('journal').innerText")
            s.pipeline.settings["journal"]["url"] = url
            s.pipeline.write()
    finally:
        if kafka:
            kafka.close()


def test_query_pairs_are_timed(servers, browser):
    queries = [{"name": "slow on the target", "source_sql": "SELECT count(*) AS n FROM a", "target_sql": "SELECT count(*) AS n FROM a, pg_sleep(0.4)"},
               {"name": "slow on the <b>source</b>", "source_sql": "SELECT count(*) AS n FROM b, pg_sleep(0.2)", "target_sql": "SELECT count(*) AS n FROM b"},
               {"name": "broken", "source_sql": "SELECT nothing FROM a"}]
    with scenario(*servers, TABLES, more={"compare": {"deadline_ms": 60000, "queries": queries, "samples": [{"table": "public.a", "rows": 5}]}}) as s:
        s.start(timeout=240)
        report = wait_until(lambda: (lambda r: r if r["checks"] else None)(compare(s.pipeline, code=3)), 240, "a fence")
        checks = {c["name"]: c for c in report["checks"]}
        slow, other = checks["slow on the target"], checks["slow on the <b>source</b>"]
        assert slow["verdict"] == other["verdict"] == "PASS"
        assert slow["target_ms"] >= 400 > slow["source_ms"] > 0, slow
        assert other["source_ms"] >= 200 and other["target_ms"] < other["source_ms"], other
        assert all(c["duration_ms"] >= max(c["source_ms"], c["target_ms"]) * 0.99 for c in (slow, other))
        for name, check in checks.items():
            if check["kind"] != "query" or name == "broken":
                assert check["source_ms"] is None and check["target_ms"] is None, check
        picture(browser, os.path.join(report["report_dir"], "report.html"), "pairs")
        rows = browser.run("[...document.querySelectorAll('#pair-times tbody tr')].map(r => [r.cells[1].textContent, r.querySelector('svg title').textContent])")
        assert [name for name, _ in rows] == ["slow on the target", "slow on the <b>source</b>"] and all("source" in words and "target" in words for _, words in rows)
        bars = browser.run("[...document.querySelectorAll('#pair-times tbody svg')].map(s => ['of-source', 'of-target'].map(c => s.querySelector('.' + c + ' rect').getBoundingClientRect().width))")
        assert bars[0][1] > bars[0][0] > 0 and bars[1][0] > bars[1][1] > 0, bars


def partitions_of(report, table):
    found = next(t for t in report["tables"] if t["table"] == table)
    return {p["partition"]: p for p in found["partitions"]}


@pytest.mark.parametrize("target_schema", [None, PLAIN], ids=["alike", "plain"])
def test_by_partition(servers, browser, target_schema):
    with scenario(*servers, PARTS, target_schema, more={"compare": {"chunk_rows": 100, "deadline_ms": 60000, "tolerance": {"public.log.amount": "0.01"}}}) as s:
        s.start(timeout=240)
        plain = passing(s.pipeline)
        assert all(t["partitions"] == [] for t in plain["tables"])
        s.target("SET session_replication_role = replica; UPDATE log SET amount = 0.001 WHERE id IN (1, 100, 300)")  # within the tolerance, in each partition
        for level in ("digests", "counts"):
            report = passing(s.pipeline, "--by-partition", "--level", level)
            assert report["scope"] == "full" and {t["table"] for t in report["tables"]} == {"log", "spread", "plain"}, "tables are compared whole"
            days = partitions_of(report, "log")
            assert {name: (p["rows_source"], p["rows_target"], p["verdict"]) for name, p in days.items()} == {name: (n, n, "PASS") for name, n in BY_DAY.items()}
            assert list(days) == sorted(days) and {p["method"] for p in days.values()} == ({"counts"} if level == "counts" else {"ranges"})
            assert partitions_of(report, "plain") == {}
            hashed = partitions_of(report, "spread")
            if target_schema is None:
                assert sum(p["rows_source"] for p in hashed.values()) == 200 and {p["verdict"] for p in hashed.values()} == {"PASS"}
            else:  # nothing tells which rows of the target are theirs: told, and the whole table passes
                assert {p["verdict"] for p in hashed.values()} == {"INCONCLUSIVE"} and all("by hash" in p["reason"] for p in hashed.values())
                assert any("2 of 2 partitions could not be compared" in note for note in next(t for t in report["tables"] if t["table"] == "spread")["notes"])
        assert s.target("SELECT scope FROM crossfade.verdict WHERE scope = 'full'"), "it opens the gate as it would without"
        # a row that moves to another day keeps the table's count; its partitions' tell
        s.target("SET session_replication_role = replica; UPDATE log SET at = at + interval '1 day' WHERE id = 3")
        counted = compare(s.pipeline, "--by-partition", "--level", "counts", code=1)
        log = next(t for t in counted["tables"] if t["table"] == "log")
        assert log["rows_source"] == log["rows_target"] == 384 and log["verdict"] == "FAIL" and "partition public.log_1" in log["reason"], log["reason"]
        assert {n: p["verdict"] for n, p in partitions_of(counted, "log").items()} == {"public.log_1": "FAIL", "public.log_2": "FAIL", "public.log_rest": "PASS"}
        assert compare(s.pipeline, "--level", "counts")["verdict"] == "PASS", "without it, nobody asks"
        # by the configuration, and with the rows
        s.pipeline.settings["compare"]["by_partition"] = True
        s.pipeline.write()
        failed = compare(s.pipeline, code=1)
        assert {n: (p["verdict"], p["differences"]) for n, p in partitions_of(failed, "log").items()} == {
            "public.log_1": ("FAIL", 1), "public.log_2": ("FAIL", 1), "public.log_rest": ("PASS", 0)}
        assert next(t for t in failed["tables"] if t["table"] == "log")["reason"].find("partition") < 0, "the whole table says it first"
        terminal = s.pipeline.run("compare", "run").stdout
        assert "public.log_1" in terminal and "public.log_rest" not in terminal
        picture(browser, os.path.join(failed["report_dir"], "report.html"), f"partitions-{'alike' if target_schema is None else 'plain'}")
        shown = browser.run("[...document.querySelectorAll('#partitions ~ details')][0].innerText")
        assert shown.index("public.log_1") < shown.index("public.log_rest"), "what differs stands on top"
        # what is there so as not to read all rows does not read them for this
        changed = compare(s.pipeline, "--changed", code=1)
        assert partitions_of(changed, "log") == {} and any("one by one" in note for note in next(t for t in changed["tables"] if t["table"] == "log")["notes"])
        for words in (("--changed",), ("--resume",), ("--partition", "public.*")):
            assert "--by-partition" in compare(s.pipeline, "--by-partition", *words, code=2)


def test_by_partition_on_mariadb(servers):
    folder, source, _ = servers
    with MariaDB(folder, "parts") as maria:
        copy = maria.create_db("parts")
        maria.sql("CREATE TABLE log (id int, at datetime(6), v longtext, amount double, PRIMARY KEY (id, at)) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", db="parts")
        by_partition(folder, source, copy, maria)


def by_partition(folder, source, copy, maria):
    shop = source.create_db("parts_maria")
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute(PARTS.split("CREATE TABLE spread ")[0])
    with Pipeline(folder, shop, copy, name="parts_maria", tables=["public.*"], more={"compare": {"deadline_ms": 60000, "by_partition": True}, "capture": {"heartbeat_interval_ms": 500}}) as p:
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 240, "the copy is complete")
        report = passing(p)
        assert {n: (x["rows_source"], x["rows_target"]) for n, x in partitions_of(report, "log").items() if n != "public.log_rest"} == {n: (k, k) for n, k in BY_DAY.items() if n != "public.log_rest"}
        maria.sql("DELETE FROM log WHERE id = 5", db="parts")
        failed = compare(p, code=1)
        assert partitions_of(failed, "log")["public.log_1"]["verdict"] == "FAIL" and partitions_of(failed, "log")["public.log_2"]["verdict"] == "PASS"
