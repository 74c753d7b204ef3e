"""compare run: no false differences under load, true ones told exactly, and nothing left behind however it ends."""

import json
import os
import signal
import subprocess

import psycopg
import pytest

from rig import Load, Pipeline, Postgres, Process, Workdir, comparing, wait_until
from rig.load import load_simshop
from rig.postgres import copy_schema
from rig.procs import find_crossfade
from rig.scenario import count, scenario, seed

SMALL = """CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text);
    INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 1000) i; INSERT INTO b SELECT i, 'b' || i FROM generate_series(1, 1000) i"""


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("compare") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def compare(p, *words, code=0, timeout=180):
    return comparing.compare(p, *words, code=code, timeout=timeout)


def assert_nothing_left(source_url):
    with psycopg.connect(source_url, autocommit=True) as connection:
        def gone():
            rows = connection.execute("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'crossfade_compare%' UNION ALL"
                                      " SELECT 'lock' FROM pg_locks WHERE locktype = 'advisory'").fetchall()
            return not rows
        wait_until(gone, 10, "no slot and no lock of a comparison are left")


def told(report):
    return sorted((t["table"], d["kind"], tuple(d["key"].items()), tuple((c["name"], c["source"], c["target"]) for c in d["columns"]
                                                                         if d["kind"] == "changed"))
                  for t in report["tables"] for d in t["differences"])


def test_no_false_differences_under_load(servers):
    folder, source, target = servers
    shop, copy = source.create_db("shop"), target.create_db("shop")
    load_simshop(shop)
    copy_schema(shop, copy)
    with Pipeline(folder, shop, copy) as p, Load(shop, folder, clients=4, seed=seed()) as load:
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        fences, acked = set(), len(load.acked)
        for _ in range(count(20, 100)):
            report = compare(p)
            assert report["verdict"] == "PASS" and report["scope"] == "full"
            assert report["summary"]["passed"] == report["summary"]["tables"] > 20
            assert report["summary"]["rows_source"] == report["summary"]["rows_target"] > 1000
            assert report["fence"]["id"] not in fences
            fences.add(report["fence"]["id"])
            assert os.path.samefile(os.path.join(p.report_dir, "latest"), os.path.join(p.report_dir, str(report["fence"]["id"])))
        assert len(load.acked) > acked + 100, "the load stood still"
        with psycopg.connect(copy, autocommit=True) as rogue:
            rogue.execute("SET session_replication_role = replica")
            changed = rogue.execute("UPDATE simshop_dw.dim_campaigns SET budget = budget + 0.01 WHERE campaign_key ="
                                    " (SELECT min(campaign_key) FROM simshop_dw.dim_campaigns) RETURNING campaign_key, budget").fetchone()
            deleted = rogue.execute("DELETE FROM simshop_dw.dim_date WHERE date_key = (SELECT max(date_key) FROM simshop_dw.dim_date)"
                                    " RETURNING date_key").fetchone()
            rogue.execute("INSERT INTO simshop_dw.dim_geography (geography_key, level, name, country) VALUES (-1, 'x', 'y', 'zz')")
        report = compare(p, code=1)
        assert told(report) == [
            ("dim_campaigns", "changed", (("campaign_key", str(changed[0])),), (("budget", str(changed[1] - type(changed[1])("0.01")), str(changed[1])),)),
            ("dim_date", "missing", (("date_key", str(deleted[0])),), ()),
            ("dim_geography", "extra", (("geography_key", "-1"),), ())]
        assert report["summary"]["failed"] == 3
        with psycopg.connect(copy, autocommit=True) as connection:
            verdicts = connection.execute("SELECT verdict, scope, fence_id FROM crossfade.verdict ORDER BY id").fetchall()
        assert [v for v, _, _ in verdicts] == ["PASS"] * count(20, 100) + ["FAIL"]
        assert {s for _, s, _ in verdicts} == {"full"}
        load.stop()
        p.wait_caught_up()
    assert_nothing_left(shop)


def test_part_of_the_tables(servers):
    folder, source, target = servers
    with scenario(folder, source, target, SMALL) as s:
        s.start()
        s.target("UPDATE b SET v = 'rogue' WHERE id = 5")
        assert compare(s.pipeline, "--table", "public.a")["scope"] == "part"
        report = compare(s.pipeline, code=1)
        assert told(report) == [("b", "changed", (("id", "5"),), (("v", "b5", "rogue"),))]
        assert {t["table"]: {r["column"]: r["rule"].partition(":")[0] for r in t["rules"]} for t in report["tables"]}["b"] == {"id": "integer", "v": "text"}
        assert compare(s.pipeline, "--table", "public.nosuch", code=3)["verdict"] == "INCONCLUSIVE"
        assert "table" in compare(s.pipeline, "--table", "a.b.c", code=2)
        done = s.pipeline.run("compare", "run")
        assert done.returncode == 1 and "b5 -> rogue" in done.stdout and "report.html" in done.stdout
        assert s.target("SELECT scope, verdict FROM crossfade.verdict ORDER BY id LIMIT 2") == [("public.a", "PASS"), ("full", "FAIL")]


@pytest.mark.parametrize("point", ["compare.held", "compare.cut", "compare.reached"])
@pytest.mark.parametrize("action", ["error", "kill"])
def test_ends_anywhere(servers, point, action):
    """Whatever ends a comparison in the middle: the pipeline goes on, nothing is left, the next one passes."""
    folder, source, target = servers
    with scenario(folder, source, target, SMALL, more={"compare": {"deadline_ms": 2000}}) as s:
        s.start()
        done = subprocess.run([find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "run"], capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, CROSSFADE_FAILPOINT=f"{point}:1:{action}"), check=False)
        assert done.returncode == (4 if action == "error" else -signal.SIGKILL), done.stderr
        s.source("UPDATE a SET v = 'on'")
        s.assert_equal(timeout=20)
        assert_nothing_left(s.source_url)
        assert compare(s.pipeline)["verdict"] == "PASS"


def test_interrupted(servers):
    folder, source, target = servers
    with scenario(folder, source, target, SMALL) as s, psycopg.connect(s.source_url) as long:
        s.start()
        long.execute("UPDATE a SET v = 'long' WHERE id = 1")  # the snapshot waits for it
        with Process("compare", [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "run"], os.path.join(str(folder), "interrupted.log")) as run:
            run.start()
            wait_until(lambda: s.source("SELECT count(*) FROM pg_stat_replication_slots, pg_replication_slots r WHERE r.slot_name LIKE 'crossfade_compare%'")[0][0],
                       20, "the temporary slot is being made")
            run.signal(signal.SIGINT)
            assert run.wait(15) == 4
        assert_nothing_left(s.source_url)
        long.rollback()
        s.source("UPDATE a SET v = 'on'")
        s.assert_equal(timeout=20)


def test_long_transaction_and_missing_apply_are_inconclusive(servers):
    folder, source, target = servers
    with scenario(folder, source, target, SMALL, more={"compare": {"deadline_ms": 1500}}) as s:
        s.start()
        with psycopg.connect(s.source_url) as long:
            long.execute("UPDATE a SET v = 'long' WHERE id = 1")
            pid = long.info.backend_pid
            report = compare(s.pipeline, code=3)
            assert "waiting for 1 transactions" in report["reason"] and f"pid {pid}" in report["reason"]
            long.rollback()
        s.apply.terminate()
        report = compare(s.pipeline, code=3)
        assert "Do capture and apply run" in report["reason"]
        s.apply.start()
        s.capture.terminate()
        assert compare(s.pipeline, code=3)["tables"] == []
        s.capture.start()
        assert compare(s.pipeline)["verdict"] == "PASS"
        assert_nothing_left(s.source_url)


def test_another_comparison_runs(servers):
    folder, source, target = servers
    with scenario(folder, source, target, SMALL) as s:
        s.start()
        with psycopg.connect(s.source_url, autocommit=True, application_name="the other one") as other:
            other.execute("SELECT pg_advisory_lock(hashtextextended('crossfade.compare:' || %s, 0))", [s.pipeline.name])
            text = compare(s.pipeline, code=4)
            assert f"pid {other.info.backend_pid}" in text and "the other one" in text
        assert compare(s.pipeline)["verdict"] == "PASS"


def test_truncated_under_the_snapshot(servers):
    """TRUNCATE empties a table for older snapshots too: that must not look like a difference, nor like an equal table."""
    folder, source, target = servers
    with scenario(folder, source, target, SMALL) as s:
        s.start()
        with Process("compare", [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "run", "--json"], os.path.join(str(folder), "truncated.log"),
                     env={"CROSSFADE_FAILPOINT": "compare.reached:1:stop"}) as run:
            run.start()
            wait_until(lambda: open(f"/proc/{run.pid}/stat").read().rpartition(")")[2].split()[0] == "T", 30, "compare stands at the fence")
            s.source("TRUNCATE a")
            run.signal(signal.SIGCONT)
            assert run.wait(30) == 3
        report = json.loads(run.log_text())
        assert {t["table"]: t["verdict"] for t in report["tables"]} == {"a": "INCONCLUSIVE", "b": "PASS"}
        s.assert_equal()
        assert compare(s.pipeline)["verdict"] == "PASS"


def test_role_without_rights_to_create(servers):
    """Control tables that are there already are enough."""
    folder, source, target = servers
    with scenario(folder, source, target, SMALL) as s:
        s.start()
        for url in (s.source_url, s.target_url):
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'comparer') THEN CREATE ROLE comparer LOGIN REPLICATION; END IF; END$$")
                admin.execute("GRANT USAGE ON SCHEMA public, crossfade TO comparer")
                admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO comparer")
                admin.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA crossfade TO comparer")
        for side, url in (("source", s.source_url), ("target", s.target_url)):
            where = psycopg.conninfo.conninfo_to_dict(url)
            s.pipeline.settings[side]["url"] = f"postgresql://comparer@{where['host']}:{where['port']}/{where['dbname']}"
        s.pipeline.write()
        assert compare(s.pipeline)["verdict"] == "PASS"
