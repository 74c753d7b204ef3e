"""compare watch, further: shadow queries beside the comparisons; whatever is killed, the window is what its rows say; the verdict's age under load."""

import datetime
import os
import re
import statistics

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.scenario import count, scenario
from rig.window import SECRET, Hook, clean_window, history, wait_runs, watcher
from rig.writer import Writer

TABLES = """CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 5000) i;
    CREATE FUNCTION nap() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(0.3)'; CREATE FUNCTION hasty() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(0.1)'"""
SHADOW = {"samples": 1, "rate": 20, "workers": 1, "min_coverage": 0, "latency_regression": "0", "rechecks": 1}
INCLUDED = {"counts": ("digests", "full"), "changed": ("digests", "full"), "digests": ("full",), "full": (), "shadow": ()}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("window") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def windows(told):
    return {w["level"]: w for w in told["windows"]}


def at(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def expected_clean(told, level):
    """(PASSes in a row, when the first of them began) of a level by the rule of docs/COMPARE.md, from the runs, which are newest first. Only for windows that no
    change of the journal has broken."""
    window = windows(told)[level]
    rows = [r for r in reversed(told["runs"]) if at(r["finished_at"]) <= at(window["last_at"])]
    counted, before = [], None
    for run in rows:
        own = run["level"] == level
        if own and run["verdict"] == "FAIL":
            counted = []
        if run["verdict"] != "PASS" or not (own or run["level"] in INCLUDED[level]):
            continue
        began = at(run["started_at"])
        if before and began - before[0] > 3 * max(datetime.timedelta(seconds=window["every_s"]), before[1] - before[0]):
            counted = []
        if own:
            counted.append(run["started_at"])
        before = began, at(run["finished_at"])
    return len(counted), counted[0] if counted else None


def agree(told):
    """What the history says of each window is what its rows say."""
    assert len(told["runs"]) < 1000, "all rows are seen"
    for level, window in windows(told).items():
        if window["stale"]:
            assert window["clean_since"] is None and window["clean_runs"] == 0, told
        else:
            assert (window["clean_runs"], window["clean_since"]) == expected_clean(told, level), (level, told)


def test_shadow_queries_run_beside(servers):
    """Their runs are kept, count for the window, alert and close the gate, for wrong answers as for slow ones; other levels need not wait for them."""
    folder, source, target = servers
    queries = [{"name": "row", "sql": "SELECT v FROM a WHERE id = $1", "params": [[7]]}, "SELECT nap()", "SELECT hasty()"]
    with Hook() as hook:
        more = {"compare": {"deadline_ms": 120000, "shadow": {**SHADOW, "queries": queries},
                            "watch": {"digests": "30d", "changed": "1s", "shadow": "1s", "webhook": hook.url, "webhook_secret": SECRET}}, "cutover": {"clean_for": "1s"}}
        with scenario(folder, source, target, TABLES, more=more) as s:
            s.start(timeout=240)
            p = s.pipeline
            with watcher(p) as watch:
                watch.start()

                def beside(runs):
                    shadows = [r for r in runs if r["level"] == "shadow"]
                    return len(shadows) >= 2 and any(x["started_at"] < r["started_at"] and r["finished_at"] < x["finished_at"] for x in shadows for r in runs if r["level"] == "changed")
                told = wait_runs(p, watch, beside, "a comparison from begin to end while shadow queries ran")
                assert {(r["verdict"], r["tables"], r["differences"], r["fence_id"], r["reason"]) for r in told["runs"] if r["level"] == "shadow"} == {("PASS", 3, 0, 0, None)}
                assert all(r["p95_ms"]["source"] > 0 and r["p95_ms"]["target"] > 0 for r in told["runs"] if r["level"] == "shadow")
                assert all(r["p95_ms"] is None for r in told["runs"] if r["level"] != "shadow")
                assert windows(told)["shadow"]["clean_runs"] >= 2 and windows(told)["shadow"]["every_s"] == 1
                # an answer that is wrong on the target
                s.target("SET session_replication_role = replica; UPDATE a SET v = 'rogue' WHERE id = 7")
                told = wait_runs(p, watch, lambda runs: any((r["level"], r["verdict"]) == ("shadow", "FAIL") for r in runs), "the wrong answer is seen")
                failed = [r for r in told["runs"] if (r["level"], r["verdict"]) == ("shadow", "FAIL")]
                assert failed[-1]["differences"] == 1 and windows(told)["shadow"]["clean_since"] is None
                written = re.search("report: (.*)$", failed[-1]["reason"]).group(1)
                assert os.path.exists(os.path.join(written, "report.html"))
                assert len([d for d in os.listdir(p.report_dir) if re.match(r"shadow-\d", d)]) <= len(failed) + 1, "reports are of what is no PASS"
                wait_until(lambda: ("mismatch", "shadow") in [(alert["event"], alert["level"]) for alert, _ in hook.alerts], 60, "the alert")
                assert clean_window(p) == "refused"
                s.target("SET session_replication_role = replica; UPDATE a SET v = 'a7' WHERE id = 7")
                wait_until(lambda: ("recovered", "shadow") in [(alert["event"], alert["level"]) for alert, _ in hook.alerts], 120, "the alert that all is well")
                assert watch.terminate() == 0
            kept = s.target("SELECT count(*) FROM crossfade.verdict WHERE scope = 'shadow'")[0][0]
            assert kept <= 200 + 1
            # a target that is slower; the same queries at a fence
            s.target("CREATE OR REPLACE FUNCTION hasty() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM pg_sleep(0.8)'")
            p.settings["compare"]["shadow"].update({"queries": ["SELECT hasty()"], "samples": 12, "latency_regression": "1.25"})
            p.settings["compare"]["watch"].update({"digests": 0, "changed": 0, "shadow": "continuous", "shadow_at": "fence"})
            p.write()
            done = p.run("compare", "watch", "--once", timeout=300)
            assert done.returncode == 1, done.stderr
            told = history(p)
            run = told["runs"][0]
            assert run["verdict"] == "FAIL" and "1 are slower" in run["reason"] and run["fence_id"] > 0 and windows(told)["shadow"]["every_s"] == 60, run
            assert run["p95_ms"]["target"] >= 800
            assert "queries" in p.run("compare", "history").stdout and f"p95 {run['p95_ms']['source']:.1f} -> {run['p95_ms']['target']:.1f} ms" in p.run("compare", "history").stdout
            p.settings["compare"]["shadow"] = {}
            p.write()
            done = p.run("compare", "watch", "--once")
            assert done.returncode == 2 and "there is no workload" in done.stderr


def compared(watch):
    """The fences of the runs that took place, from the log."""
    return [int(n) for n in re.findall(r" compared .*level=(?:counts|changed|digests) .*fence=(\d+)", watch.log_text()) if int(n) > 0]


def test_whatever_is_killed_the_window_is_what_its_rows_say(servers):
    """No run is kept twice; one that was made and is not kept was told in the log, and made again."""
    folder, source, target = servers
    more = {"compare": {"deadline_ms": 20000, "watch": {"counts": "3s", "changed": "1s", "digests": "30d"}}}
    with scenario(folder, source, target, TABLES, more=more) as s:
        s.start(timeout=240)
        p = s.pipeline
        watch, writes = watcher(p), [0]

        def statements(n):
            writes[0] = n
            yield f"UPDATE a SET v = 'w{n}' WHERE id = {n % 5000 + 1}"

        def kill_role(role):
            role.kill9()
            role.start()

        def kill_server(server):
            server.kill9()
            server.start()
        victims = {"watch": lambda: kill_role(watch), "capture": lambda: kill_role(p.capture), "apply": lambda: kill_role(p.apply), "target": lambda: kill_server(target),
                   "source": lambda: kill_server(source)}
        with watch, Writer(s.source_url, statements, reconnect=True, pause=0.02):
            watch.start()
            wait_runs(p, watch, lambda runs: {r["level"] for r in runs if r["verdict"] == "PASS"} == {"counts", "changed", "digests"}, "all levels have passed")
            for _ in range(count(1, 10)):
                for name, kill in victims.items():
                    before = len(history(p)["runs"])
                    kill()
                    told = wait_runs(p, watch, lambda runs, n=before: {r["level"] for r in runs[:len(runs) - n] if r["verdict"] == "PASS"} >= {"counts", "changed"},
                                     f"both levels pass again after kill -9 of {name}")
                    agree(told)
            assert watch.terminate() == 0, watch.log_tail()
        told = history(p)
        agree(told)
        assert {r["verdict"] for r in told["runs"]} <= {"PASS", "INCONCLUSIVE"}, [r for r in told["runs"] if r["verdict"] == "FAIL"]
        kept = s.target("SELECT fence_id FROM crossfade.comparison WHERE fence_id IS NOT NULL ORDER BY id")
        kept, logged = [row[0] for row in kept], compared(watch)
        assert len(set(kept)) == len(kept) and set(kept) <= set(logged), "no run is there twice, none that was not made"
        lost = len(logged) - len(kept)
        assert lost <= watch.log_text().count("compare_failed") + watch.log_text().count("started"), f"{lost} runs were made and neither kept nor told"
        assert kept == sorted(kept), "in the order of their fences"


def test_the_verdict_is_seconds_old_under_load(servers):
    folder, source, target = servers
    rows = count(100000, 1000000)
    more = {"compare": {"deadline_ms": 120000, "watch": {"digests": "30d", "changed": "2s"}}}
    with scenario(folder, source, target, f"CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, {rows}) i", more=more) as s:
        s.start(timeout=600)
        p = s.pipeline

        def statements(n):
            yield f"UPDATE a SET v = 'w{n}' WHERE id IN ({n % rows + 1}, {n * 7 % rows + 1}, {n * 13 % rows + 1})"
        with watcher(p) as watch, Writer(s.source_url, statements, pause=0.005):
            watch.start()
            told = wait_runs(p, watch, lambda runs: len([r for r in runs if (r["level"], r["verdict"]) == ("changed", "PASS")]) >= 8, "eight comparisons of what changed")
            runs = [r for r in reversed(told["runs"]) if (r["level"], r["verdict"]) == ("changed", "PASS")]
            # so old is the verdict at worst: from the begin of one PASS to the end of the next. The median, for a machine that stands still now and then
            ages = [(at(b["finished_at"]) - at(a["started_at"])).total_seconds() for a, b in zip(runs, runs[1:])]
            print("ages:", ages, "rows read:", [r["rows"] for r in runs])
            assert statistics.median(ages) < 15, ages
            assert not any(r["verdict"] == "FAIL" for r in told["runs"])
            built = [r["rows"] for r in runs if r["rows"] < rows / 2]
            assert len(built) >= len(runs) / 2 and any(built), "only what changed was read, and something had changed"
            watch.terminate()
