"""Cutovers that the world is against: sessions and servers that go away, writers that triggers do not stop, changes that no stream tells of."""

import json
import os
import signal
import threading

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.oracle import assert_equal
from rig.privileges import OWNER, as_role
from rig.procs import Role
from rig.scenario import scenario
from rig.way_back import refusals

SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 30000, "drain_timeout_s": 60, "straggler_grace_ms": 300, "freeze_timeout_ms": 4000}
SIMPLE = "CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE u (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1); INSERT INTO u VALUES (1, 1)"
PARTITIONED = """CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (100);
    CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (100) TO (200); INSERT INTO t VALUES (1, 1), (150, 1)"""


class Cut:
    """A scenario whose two sides are proven equal, and a cutover of it."""

    def __init__(self, folder, made):
        self.s, self.folder = made, str(folder)

    def compare(self, expected=0):
        done = self.s.pipeline.run("compare", "run", "--json")
        assert done.returncode == expected, f"exit code {done.returncode}\n{refusals(done.stdout)}\n{done.stdout[-3000:]}{done.stderr}"

    def run(self, *words, expected=0):
        done = self.s.pipeline.run("cutover", *words, "--json")
        assert done.returncode == expected, f"exit code {done.returncode}\n{refusals(done.stdout)}\n{done.stdout[-3000:]}{done.stderr}"
        return json.loads(done.stdout)

    def at(self, point, event, expected):
        """Runs a cutover; event() happens while it stands still at the point. Returns the report."""
        log = os.path.join(self.folder, f"{self.s.name}-cutover.log")
        with Role("cutover run --execute --json", self.s.pipeline.config_of("cutover"), log) as process:
            process.start(failpoint=f"{point}:1:stop")
            wait_until(lambda: stopped(process.pid), 60, "it stands still")
            event()
            process.signal(signal.SIGCONT)
            code = process.wait(60)
            assert code == expected, f"exit code {code}\n{process.log_tail(40)}"
            return process.log_tail(80)

    def serves(self):
        try:
            self.s.source("UPDATE t SET v = v")
            return True
        except psycopg.errors.ReadOnlySqlTransaction:
            return False


def stopped(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("hostile-cutover") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="cut")
def fixture_cut(servers, request):
    with scenario(*servers, getattr(request, "param", SIMPLE), more={"cutover": SETTINGS}) as made:
        made.start()
        cut = Cut(servers[0], made)
        cut.compare()
        yield cut


@pytest.mark.parametrize("victim", ["source sessions", "target sessions", "target"])
def test_who_goes_away_leaves_the_source_serving(cut, victim):
    s = cut.s

    def event():
        if victim == "target":
            s.target_server.kill9()
        else:
            (s.admin if victim == "source sessions" else s.target)(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'crossfade cutover%'")

    cut.at("cutover.draining", event, 11)
    assert cut.serves() and s.admin("SELECT state FROM crossfade.decision") == [("aborted",)]
    if victim == "target":  # nobody could write it down there: the next one finds the decision
        s.target_server.start()
        s.wait()
        assert cut.run("run", "--execute", expected=11)["outcome"] == "aborted"
    assert cut.run("run", "--execute")["outcome"] == "done" and not cut.serves()


def test_straggler_that_may_not_be_ended(cut):
    """The writer is a superuser, we are not: the cutover gives up, nothing of it stays in the way of other writers."""
    s = cut.s
    for point in ("cutover.arming", "cutover.freezing"):
        with psycopg.connect(s.source_url) as writer:
            log = cut.at(point, lambda: writer.execute("UPDATE t SET v = 5"), 11)
            assert "superuser" in log, log
            s.source("SET lock_timeout = '3s'; UPDATE t SET v = 6 WHERE id = 77", "UPDATE u SET v = 7")
            writer.commit()
    assert cut.run("run", "--execute")["outcome"] == "done"


def test_settings_of_roles_and_databases_do_not_reach_a_cutover(servers, cut):
    for server in servers[1:]:
        for setting in ("synchronous_commit = off", "statement_timeout = '200ms'", "lock_timeout = '100ms'", "idle_session_timeout = '1s'",
                        "idle_in_transaction_session_timeout = '1s'", "default_transaction_isolation = 'serializable'"):
            server.sql(f"ALTER DATABASE {cut.s.name} SET {setting}")
    with psycopg.connect(cut.s.source_url, options="-c idle_in_transaction_session_timeout=0 -c lock_timeout=0") as reader:
        reader.execute("LOCK TABLE t IN SHARE MODE")  # in the way of arming, but no writer: waited for
        timer = threading.Timer(2, reader.rollback)
        timer.start()
        report = cut.run("run", "--execute")
        timer.join()
    assert report["outcome"] == "done" and report["stragglers"] == ""


def test_maintenance_is_nobodys_straggler(cut):
    s, done = cut.s, {}
    s.source("INSERT INTO t SELECT i, 1 FROM generate_series(2, 100000) i")  # a minute of vacuuming: longer than a cutover on a busy machine

    def vacuum():
        try:
            with psycopg.connect(s.source_url, autocommit=True) as connection:
                connection.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
                connection.execute("VACUUM t")
        except psycopg.Error as error:
            done["error"] = error

    thread = threading.Thread(target=vacuum)

    def event():
        thread.start()
        wait_until(lambda: s.source("SELECT count(*) FROM pg_stat_progress_vacuum")[0][0] == 1, 20, "it vacuums")

    cut.at("cutover.freezing", event, 0)
    assert "error" not in done and s.source("SELECT count(*) FROM pg_stat_progress_vacuum") == [(1,)]
    s.admin("SELECT pg_cancel_backend(pid) FROM pg_stat_progress_vacuum")
    thread.join()


@pytest.mark.parametrize("write", ["ALTER TABLE t DISABLE TRIGGER USER; INSERT INTO t VALUES (77, 7)",
                                   "ALTER TABLE t DISABLE TRIGGER USER; INSERT INTO t VALUES (77, 7); ALTER TABLE t ENABLE TRIGGER USER",
                                   "SET session_replication_role = replica; SET application_name = 'crossfade not at all'; INSERT INTO t VALUES (77, 7)"])
@pytest.mark.parametrize("point", ["cutover.sequencing", "cutover.deciding"])
def test_writers_that_no_trigger_stops(cut, write, point):
    cut.at(point, lambda: cut.s.admin(write), 11)  # a superuser: session_replication_role
    cut.s.source("ALTER TABLE t ENABLE TRIGGER USER")
    assert cut.serves()
    cut.s.assert_equal(ignore=())


@pytest.mark.parametrize("cut", [PARTITIONED], indirect=True)
def test_partition_that_is_made_behind_the_freeze(cut):
    cut.s.target("CREATE TABLE t_new PARTITION OF t FOR VALUES FROM (200) TO (300)")
    cut.at("cutover.deciding", lambda: cut.s.source("CREATE TABLE t_new PARTITION OF t FOR VALUES FROM (200) TO (300)", "INSERT INTO t_new VALUES (201, 1)"), 11)
    assert cut.serves()


@pytest.mark.parametrize("cut, change", [
    (PARTITIONED, "TRUNCATE t_high"), (PARTITIONED, "DROP TABLE t_high"), (PARTITIONED, "ALTER TABLE t DETACH PARTITION t_high"),
    (PARTITIONED, "CREATE TABLE more (id int PRIMARY KEY, v int); INSERT INTO more VALUES (250, 1); ALTER TABLE t ATTACH PARTITION more FOR VALUES FROM (200) TO (300)"),
    (PARTITIONED, "ALTER TABLE t DETACH PARTITION t_high; UPDATE t_high SET v = v + 1; ALTER TABLE t ATTACH PARTITION t_high FOR VALUES FROM (100) TO (200)"),
    (SIMPLE, "ALTER TABLE t ALTER v TYPE bigint USING v * 2; ALTER TABLE t ALTER v TYPE int")], indirect=["cut"])
def test_changes_that_no_stream_tells_of(cut, change):
    """After the last PASS, and behind the gates: the final comparison looks at the table all the same."""
    if "DETACH" in change and "ATTACH" not in change.replace("DETACH", ""):  # now it is a table of its own
        cut.s.source(change)
        assert cut.run("run", "--execute", expected=10)["outcome"] == "refused"
    else:
        assert '"verdict": "FAIL"' in cut.at("cutover.arming", lambda: cut.s.source(change), 11)
    cut.compare(expected=1)
    assert cut.serves()


def test_publication_without_shapes(servers):
    """One for all tables: what the stream does not tell of is not told by the publication's rows either."""
    with scenario(*servers, SIMPLE, name="wide", more={"cutover": SETTINGS}) as s:
        s.admin("CREATE PUBLICATION crossfade_wide FOR ALL TABLES WITH (publish_via_partition_root = true)")
        s.start()
        cut = Cut(servers[0], s)
        cut.compare()
        change = "ALTER TABLE t ALTER v TYPE bigint USING v * 2; ALTER TABLE t ALTER v TYPE int"
        assert '"verdict": "FAIL"' in cut.at("cutover.arming", lambda: s.source(change), 11)
        assert cut.serves()


def test_difference_that_a_part_has_found(cut):
    """A PASS of all tables is void once a comparison of one has failed, until all pass again."""
    cut.s.target("UPDATE u SET v = 7 WHERE id = 1")
    assert cut.s.pipeline.run("compare", "run", "--table", "public.u").returncode == 1
    gates = {gate["name"]: gate for gate in cut.run("run", "--execute", expected=10)["gates"]}
    assert "public.u" in gates["verdict"]["hint"] and cut.serves()
    cut.s.target("UPDATE u SET v = 1 WHERE id = 1")
    assert cut.s.pipeline.run("compare", "run", "--table", "public.u").returncode == 0
    assert cut.run("run", "--execute", expected=10)["outcome"] == "refused"
    cut.compare()
    assert cut.run("run", "--execute")["outcome"] == "done"


def test_vacuum_full_after_the_last_comparison(cut):
    cut.s.source("VACUUM FULL")
    assert cut.run("run", "--execute")["verdict_scope"].startswith("2 of 2 ")


def test_pass_over_an_earlier_journal_does_not_count(cut):
    cut.s.target("UPDATE crossfade.verdict SET lsn = '0/1'")
    assert cut.run("run", "--execute")["verdict_scope"].startswith("2 of 2 ")


@pytest.mark.parametrize("change, hint", [
    ("ALTER PUBLICATION {0} DROP TABLE u", "not captured: public.u"), ("ALTER PUBLICATION {0} SET (publish = 'insert, update')", "altered"),
    ("ALTER PUBLICATION {0} SET TABLE crossfade.marker, t, u WHERE (id > 5)", "altered"), ("CREATE TABLE later (id int PRIMARY KEY)", "not captured: public.later")])
def test_publication_that_leaves_something_out(cut, change, hint):
    s = cut.s
    (s.source if "CREATE TABLE" in change else s.admin)(change.format(f"crossfade_{s.name}"))
    gates = {gate["name"]: gate for gate in cut.run("run", "--execute", expected=10)["gates"]}
    assert hint in gates["publication"]["hint"] and cut.serves()
    if s.capture.running:  # it looks by itself every few seconds, too
        s.capture.terminate()
    s.capture.start()
    if "later" in change:
        s.assert_equal(ignore=("public.later",))
    else:
        s.capture.assert_exit(5, 30)
        assert "publication" in s.capture.log_tail()


def test_subscription_on_the_source(servers, cut):
    s = cut.s
    s.target("CREATE PUBLICATION upstream")
    s.admin(f"CREATE SUBSCRIPTION feed CONNECTION 'dbname={s.name} host=127.0.0.1 port={servers[2].port} user=postgres' PUBLICATION upstream")
    try:
        gates = {gate["name"]: gate for gate in cut.run("run", "--execute", expected=10)["gates"]}
        assert "feed" in gates["subscriptions"]["hint"]
    finally:
        s.admin("ALTER SUBSCRIPTION feed DISABLE")
    assert cut.run("run", "--execute")["outcome"] == "done"
    s.admin("DROP SUBSCRIPTION feed")
    assert_equal(s.source_url, s.target_url)


def gates_of(cut, *words, expected=10):
    return {gate["name"]: gate for gate in cut.run("plan", *words, expected=expected)["gates"]}


def refuses(cut, name, hint, *words):
    """This gate alone refuses, tells a value, a limit and what to do; nothing was changed."""
    gates = gates_of(cut, *words)
    assert [g["name"] for g in gates.values() if g["verdict"] != "ok"] == [name], gates
    assert hint in gates[name]["hint"] and gates[name]["measured"] and gates[name]["limit"], gates[name]
    assert cut.serves()


@pytest.mark.parametrize("side, gate, broken, hint, mended", [
    ("source", "replica_identity", "ALTER TABLE u REPLICA IDENTITY NOTHING", "public.u", "ALTER TABLE u REPLICA IDENTITY DEFAULT"),
    ("target", "indexes", "CREATE INDEX extra ON u (v); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'extra'::regclass", "extra", "DROP INDEX extra")])
def test_gates_of_the_schema(cut, side, gate, broken, hint, mended):
    run = cut.s.admin if side == "source" else lambda *sql: cut.s.target_server.sql("; ".join(sql), db=cut.s.name)
    assert gates_of(cut, expected=0)[gate]["verdict"] == "ok"
    run(broken)
    refuses(cut, gate, hint)
    run(mended)
    assert gates_of(cut, expected=0)[gate]["verdict"] == "ok"


def test_gates_of_sessions(cut):
    s = cut.s
    owner = as_role(s.source_url, OWNER) if s.pipeline.roles else s.source_url
    with psycopg.connect(owner) as writer:
        writer.execute("UPDATE u SET v = v")
        wait_until(lambda: s.admin("SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start < now() - interval '1.1 s'") == [(1,)], 30, "it is old")
        refuses(cut, "old_transactions", "pid=", "--cutover.max_transaction_age_s=1")
        assert gates_of(cut, expected=0)["old_transactions"]["verdict"] == "ok"
        writer.rollback()
    with psycopg.connect(s.target_url) as rogue:
        rogue.execute("UPDATE u SET v = v WHERE id = 77")
        refuses(cut, "rogue_writers", "pid=")
        rogue.rollback()
    assert gates_of(cut, expected=0)["rogue_writers"]["verdict"] == "ok"


def test_gate_of_shadow_queries(cut):
    assert "shadow_queries" not in gates_of(cut, expected=0)
    asked = "--compare.watch.shadow=1h"
    refuses(cut, "shadow_queries", "compare watch", asked)
    for verdict in ("FAIL", "PASS"):
        cut.s.target(f"""INSERT INTO crossfade.comparison (pipeline, level, every_s, started_at, finished_at, verdict, whole, tables, row_count, differences, held_us)
                         VALUES ('{cut.s.name}', 'shadow', 3600, now(), now(), '{verdict}', true, 1, 1, 0, 0)""")
        if verdict == "FAIL":
            refuses(cut, "shadow_queries", "report", asked)
    assert gates_of(cut, asked, expected=0)["shadow_queries"]["verdict"] == "ok"


def test_gate_of_the_slot(cut):
    s = cut.s
    s.capture.kill9()
    wait_until(lambda: s.slots() and s.admin("SELECT bool_or(active) FROM pg_replication_slots WHERE database = current_database()") == [(False,)], 30, "the slot is idle")
    gates = gates_of(cut)
    assert gates["slot"]["verdict"] == "refused" and "capture" in gates["slot"]["hint"] and "idle" in gates["slot"]["measured"]
    s.capture.start()
