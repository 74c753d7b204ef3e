"""compare watch: a window goes on through restarts of everything, alerts come, a mismatch breaks it; history and the cutover's gate tell."""

import os
import resource

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.mariadb import MariaDB
from rig.window import SECRET, Hook, clean_window, complete, history, wait_runs, watcher

SCHEMA = "CREATE TABLE a (id int PRIMARY KEY, v text)"
ROWS = "INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 500) i"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("watch") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def databases(servers, name):
    _, source, target = servers
    urls = source.create_db(name), target.create_db(name)
    for url in urls:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA)
    with psycopg.connect(urls[0], autocommit=True) as connection:
        connection.execute(ROWS)
    return urls


def test_window_goes_on_through_everything(servers):
    folder, source, target = servers
    shop, copy = databases(servers, "window")
    with Hook(busy=2) as hook:
        more = {"compare": {"watch": {"digests": "1s", "webhook": hook.url, "webhook_secret": SECRET}}, "cutover": {"clean_for": "1s"}}
        with complete(Pipeline(folder, shop, copy, name="window", tables=["public.*"], more=more)) as p, watcher(p) as watch:
            watch.start()
            told = wait_runs(p, watch, lambda runs: len(runs) >= 3, "three runs")
            assert {r["verdict"] for r in told["runs"]} == {"PASS"} and all(r["whole"] and r["rows"] == 500 for r in told["runs"])
            assert told["windows"][0]["clean_runs"] == len(told["runs"])
            wait_until(lambda: "clean" in hook.events(), 60, "the alert that all has been clean for long enough")
            # its own end, in whatever way, and restarts of both servers and of both roles
            watch.kill9()
            watch.start()
            target.restart()
            source.restart()
            before = len(history(p)["runs"])
            told = wait_runs(p, watch, lambda runs: len([r for r in runs[:len(runs) - before] if r["verdict"] == "PASS"]) >= 2, "PASS after the restarts")
            assert not any(r["verdict"] == "FAIL" for r in told["runs"])
            # a rogue writer: one alert, the window is over, the gate refuses
            with psycopg.connect(copy, autocommit=True) as rogue:
                rogue.execute("UPDATE a SET v = 'rogue' WHERE id = 7")
            told = wait_runs(p, watch, lambda runs: len([r for r in runs if r["verdict"] == "FAIL"]) >= 2, "two runs that fail")
            assert told["windows"][0]["clean_since"] is None and told["windows"][0]["clean_runs"] == 0
            assert "public.a" in told["runs"][0]["reason"] and told["runs"][0]["differences"] == 1
            assert clean_window(p) == "refused"
            with psycopg.connect(copy, autocommit=True) as rogue:
                rogue.execute("UPDATE a SET v = 'a7' WHERE id = 7")
            told = wait_runs(p, watch, lambda runs: runs[0]["verdict"] == runs[1]["verdict"] == "PASS", "two runs that pass")
            assert 2 <= told["windows"][0]["clean_runs"] < told["windows"][0]["passed"]
            wait_until(lambda: hook.events().count("recovered") >= 1, 60, "the alert that all is well")
            assert hook.events().count("mismatch") == 1 and all(signed for _, signed in hook.alerts)
            assert "token-abc" not in watch.log_text() and SECRET not in watch.log_text()
            watch.terminate()
            assert watch.exit_code == 0, watch.log_tail()


def test_stop_on_mismatch_and_once(servers):
    folder, _, _ = servers
    shop, copy = databases(servers, "once")
    with complete(Pipeline(folder, shop, copy, name="once", tables=["public.*"], more={"compare": {"watch": {"digests": "1h", "on_mismatch": "stop"}}})) as p:
        assert p.run("compare", "watch", "--once").returncode == 0
        assert p.run("compare", "watch", "--once").returncode == 0
        with psycopg.connect(copy, autocommit=True) as rogue:
            rogue.execute("DELETE FROM a WHERE id = 3")
        done = p.run("compare", "watch", "--once")
        assert done.returncode == 1 and "mismatch" in done.stderr
        told = history(p)
        assert [r["verdict"] for r in told["runs"]] == ["FAIL", "PASS", "PASS"] and told["windows"][0]["every_s"] == 3600
        assert "1 differences" in p.run("compare", "history").stdout
        with psycopg.connect(copy, autocommit=True) as rogue:
            rogue.execute("INSERT INTO a VALUES (3, 'a3')")
        done = p.run("compare", "watch", "--once")
        assert done.returncode == 0 and "recovered" in done.stderr, "what an earlier watch has found ends no later one"
        p.settings["cutover"] = {"clean_for": "1s"}
        p.write()
        wait_until(lambda: clean_window(p) == "ok", 60, "the gate is open")
        p.settings["compare"]["watch"]["changed"] = "1h"
        p.write()
        assert clean_window(p) == "refused", "a level that never ran is not clean"
        p.settings["target"]["url"] = p.settings["target"]["url"].replace("/once", "/nowhere")
        p.write()
        done = p.run("compare", "watch", "--once")
        assert done.returncode == 4 and "nowhere" in done.stderr, "once is once, also when it cannot be"


def test_changed_keys_are_verified_again_at_once(servers):
    folder, _, _ = servers
    shop, copy = databases(servers, "changed")
    reports = os.path.join(str(folder), "changed-reports")  # folders have the numbers of fences, which other pipelines have as well
    more = {"compare": {"report_dir": reports, "deadline_ms": 120000, "watch": {"digests": "30d", "changed": "1s"}}, "capture": {"heartbeat_interval_ms": 500}}
    with complete(Pipeline(folder, shop, copy, name="changed", tables=["public.*"], more=more)) as p, watcher(p) as watch:
        watch.start()
        wait_runs(p, watch, lambda runs: {r["level"] for r in runs} == {"changed", "digests"}, "both levels")
        with psycopg.connect(copy, autocommit=True) as rogue, psycopg.connect(shop, autocommit=True) as writer:
            rogue.execute("CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := NEW.v || '!'; RETURN NEW; END $$")
            rogue.execute("CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION spoil()")
            rogue.execute("ALTER TABLE a ENABLE ALWAYS TRIGGER spoil")
            writer.execute("UPDATE a SET v = 'new' WHERE id = 8")
        told = wait_runs(p, watch, lambda runs: any(r["verdict"] == "FAIL" for r in runs), "the changed row is found")
        failed = [r for r in told["runs"] if r["verdict"] == "FAIL"]
        assert {(r["level"], r["differences"]) for r in failed} == {("changed", 1)}
        assert [w["clean_since"] is None for w in told["windows"] if w["level"] == "changed"] == [True]
        assert len([r for r in told["runs"] if r["level"] == "digests"]) == 1
        told = wait_runs(p, watch, lambda runs: len([r for r in runs if r["verdict"] == "FAIL"]) >= 3, "it goes on to differ")
        reported = ["report: " in r["reason"] for r in told["runs"] if r["verdict"] == "FAIL"]
        assert reported == [False] * (len(reported) - 1) + [True], "one report, of the first that differs (newest first)"
        assert not any(os.path.exists(os.path.join(reports, str(r["fence_id"]))) for r in told["runs"] if r["verdict"] == "PASS")


def test_history_of_two_weeks_stays_small_and_quick(servers):
    """20,160 runs of one level: pruned to what is kept, and the window is one statement that reads an index."""
    folder, _, _ = servers
    shop, copy = databases(servers, "weeks")
    with complete(Pipeline(folder, shop, copy, name="weeks", tables=["public.*"], more={"compare": {"watch": {"digests": "1m", "keep": "13d"}}})) as p:
        assert p.run("compare", "watch", "--once").returncode == 0
        with psycopg.connect(copy, autocommit=True) as connection:
            connection.execute("INSERT INTO crossfade.comparison (pipeline, level, every_s, started_at, finished_at, verdict, whole, tables, row_count, differences, held_us)"
                               " OVERRIDING SYSTEM VALUE SELECT 'weeks', 'digests', 60, at, at + interval '2 seconds', CASE WHEN i = 5000 THEN 'FAIL' ELSE 'PASS' END, true, 1, 500, 0, 3000"
                               " FROM (SELECT i, now() - interval '1 minute' * i AS at FROM generate_series(20160, 1, -1) i) x ORDER BY at")
            assert p.run("compare", "watch", "--once").returncode == 0
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            told = history(p)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3, "its own time; 0.03 s without sanitizers"
            assert len(told["runs"]) == 1000 and told["windows"][0]["failed"] == 1
            assert told["windows"][0]["clean_runs"] == 4999 + 1, told["windows"]  # the newest FAIL lies 5,000 minutes back; one was made since
            # a copy into another journal: its fences begin anew, and so does the window
            connection.execute("UPDATE crossfade.comparison SET fence_id = 5000")
            connection.execute("UPDATE crossfade.comparison SET fence_id = 3 WHERE id IN (SELECT id FROM crossfade.comparison ORDER BY id DESC LIMIT 101)")
            assert history(p)["windows"][0]["clean_runs"] == 101
            connection.execute("INSERT INTO crossfade.verdict (pipeline, scope, verdict, started_at) SELECT 'weeks', 'part', 'FAIL', now() FROM generate_series(1, 500)")
            assert p.run("compare", "run").returncode == 0
            assert connection.execute("SELECT count(*), max(id) - min(id) FROM crossfade.verdict").fetchone() == (200, 199), "the newest are kept, by compare's role"
            kept = connection.execute("SELECT count(*) FROM crossfade.comparison WHERE started_at < now() - interval '13 days' - interval '1 minute'").fetchone()[0]
            assert kept == 0
            assert connection.execute("SELECT pg_total_relation_size('crossfade.comparison')").fetchone()[0] < 8 << 20


def test_window_on_mariadb(servers):
    folder, source, _ = servers
    shop = source.create_db("maria")
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(ROWS)
    with MariaDB(folder, "maria") as maria:
        copy = maria.create_db("maria")
        maria.sql("CREATE TABLE a (id int PRIMARY KEY, v longtext) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", db="maria")
        with complete(Pipeline(folder, shop, copy, name="maria", tables=["public.*"], more={"compare": {"watch": {"digests": "1h"}}})) as p:
            assert p.run("compare", "watch", "--once").returncode == 0
            maria.sql("UPDATE a SET v = 'rogue' WHERE id = 7", db="maria")
            done = p.run("compare", "watch", "--once")
            assert done.returncode == 1 and "mismatch" in done.stderr
            told = history(p)
            assert [(r["verdict"], r["whole"]) for r in told["runs"]] == [("FAIL", True), ("PASS", True)]
            assert told["windows"][0]["clean_since"] is None and told["windows"][0]["passed"] == 1
            maria.sql("UPDATE a SET v = 'a7' WHERE id = 7", db="maria")
            assert p.run("compare", "watch", "--once").returncode == 0
            assert history(p)["windows"][0]["clean_runs"] == 1
