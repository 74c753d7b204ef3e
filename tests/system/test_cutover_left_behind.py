"""What logical replication leaves behind: each of it refuses a cutover with a message that says what to do, and the cutover is done once that was done."""

import contextlib
import json
import os
import signal
import time

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.cutting import refusals
from rig.privileges import CUTOVER, OWNER
from rig.procs import Role
from rig.scenario import count, scenario

SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 30000, "straggler_grace_ms": 500, "prepare_timeout_s": 120, "schema_ignore": ["*"]}  # the gate schema has tests of its own
TABLES = """CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, n int);
CREATE TABLE "odd ""Table" (id serial PRIMARY KEY, v text);
CREATE SEQUENCE free INCREMENT BY 5; CREATE SEQUENCE down INCREMENT BY -3 MINVALUE -1000 MAXVALUE 1000 START 500 CACHE 10;
CREATE SEQUENCE "odd ""Seq" CYCLE MAXVALUE 9; CREATE SEQUENCE unused START 77"""


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("left-behind") as folder, Postgres(folder, "source") as source, Postgres(folder, "target", settings={"autovacuum": "off"}) as target:
        yield folder, source, target


class Moving:
    """A scenario and its cutover."""

    def __init__(self, s):
        self.s = s

    def compare(self):
        self.s.wait()
        done = self.s.pipeline.run("compare", "run", "--json")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr

    def run(self, *words, expected=0):
        done = self.s.pipeline.run("cutover", *words, "--json", timeout=300)
        report = json.loads(done.stdout)
        assert done.returncode == expected, f"{words}: exit code {done.returncode}: {report.get('reason')}\n{refusals(done.stdout)}\n{done.stderr[-3000:]}"
        return report

    def configure(self, **more):
        self.s.pipeline.settings["cutover"] = {**SETTINGS, **more}
        self.s.pipeline.write()

    def refused(self, *gates):
        """By exactly these, before anything was changed; the first one, as the report has it."""
        report = self.run("run", "--execute", expected=10)
        found = {g["name"]: g for g in report["gates"] if g["verdict"] == "refused"}
        assert sorted(found) == sorted(gates), found
        assert self.s.target("SELECT count(*) FROM crossfade.cutover") == [(0,)] and self.s.admin("SELECT count(*) FROM crossfade.decision") == [(0,)]
        return found[gates[0]]

    def mend(self, gate, side=None):
        """Runs what the gate says, as an administrator does."""
        (side or self.s.target)(*[line for line in gate["statements"].split("\n") if line])

    def done(self):
        report = self.run("run", "--execute")
        assert report["outcome"] == "done" and report["verdict"] == "PASS", report
        return report

    @contextlib.contextmanager
    def process(self, failpoint=None):
        log = os.path.join(self.s.pipeline.folder, f"{self.s.name}-cutover.log")
        with Role("cutover run --execute", self.s.pipeline.config_of("cutover"), log) as process:
            yield process.start(failpoint=failpoint)
            assert not process.sanitizer_reports(), process.log_tail(100)


@contextlib.contextmanager
def moving(servers, schema, rows="", tables=("public.*",), **cutover):
    with scenario(*servers, schema, more={"cutover": {**SETTINGS, **cutover}, "compare": {"deadline_ms": 120000}}, tables=tables) as s:
        if rows:
            s.source(rows)
        s.start()
        m = Moving(s)
        m.compare()
        yield m


def next_values(run, *names):
    return [run(f"SELECT nextval('{name}')")[0][0] for name in names]


def test_sequences(servers):
    rows = """INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 20); INSERT INTO "odd ""Table" (v) SELECT 'y' FROM generate_series(1, 3);
        SELECT nextval('free'), nextval('free'), nextval('down'), nextval('"odd ""Seq"'); SELECT setval('unused', 200, false)"""
    with moving(servers, TABLES, rows) as m:
        s = m.s
        with psycopg.connect(s.source_url, autocommit=True) as session:  # it has cached ten values, and hands them out until the end
            handed = [session.execute("SELECT nextval('down')").fetchone()[0] for _ in range(4)]
            s.target("DROP SEQUENCE free", 'ALTER TABLE "odd ""Table" ALTER id DROP DEFAULT, ALTER id TYPE int', 'DROP SEQUENCE "odd ""Table_id_seq"')
            gate = m.refused("sequences")
            assert "2 are missing" in gate["measured"] and "CREATE SEQUENCE public.free AS bigint INCREMENT BY 5" in gate["statements"], gate
            m.mend(gate)
            m.mend(m.refused("grants", "sequences"))  # made by an administrator, they are his
            m.mend(m.refused("sequences"))  # one that belongs to no column has an owner of its own
            assert m.run("plan")["outcome"] == "planned"
            s.target("ALTER SEQUENCE down INCREMENT BY 3 NO MINVALUE MAXVALUE 900", 'ALTER SEQUENCE "odd ""Seq" NO CYCLE', "ALTER SEQUENCE unused AS smallint",
                     "ALTER TABLE t ALTER id DROP IDENTITY")
            gate = m.refused("sequences")
            assert "1 are missing, 3 differ" in gate["measured"], gate
            for wanted in ('ALTER SEQUENCE public.down INCREMENT BY -3 MINVALUE -1000 MAXVALUE 1000', 'ALTER SEQUENCE public."odd ""Seq" CYCLE', "unused AS bigint",
                           "ALTER TABLE public.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME public.t_id_seq"):
                assert wanted in gate["statements"], (wanted, gate)
                assert wanted in gate["hint"] or "more statements" in gate["hint"], gate
            m.mend(gate)
            s.target("SELECT setval('free', 5000)")  # somebody has used it: it does not go back
            report = m.done()
            assert report["sequences_set"] == 6 and report["sequences_kept"] == 1, report
            handed += [session.execute("SELECT nextval('down')").fetchone()[0] for _ in range(6)]
        assert next_values(s.target, "free", "unused") == [5005, 200]
        assert next_values(s.target, "down")[0] < min(handed) and next_values(s.target, '"odd ""Seq"') == [2]
        assert s.target("INSERT INTO t (v) VALUES ('new') RETURNING id") == [(21,)]
        assert next_values(s.target, '"odd ""Table_id_seq"') == [4]


KINDS = """CREATE SEQUENCE down INCREMENT BY -3 MINVALUE -1000 MAXVALUE 1000 START 500; CREATE SEQUENCE spent MAXVALUE 7; CREATE SEQUENCE spent_down INCREMENT BY -4 MINVALUE -10 START -1;
CREATE SEQUENCE spent_big INCREMENT BY 5 START 9223372036854775806; CREATE SEQUENCE ring MAXVALUE 9 CYCLE; CREATE SEQUENCE ring_end MAXVALUE 9 CYCLE;
CREATE SEQUENCE ring_down INCREMENT BY -2 MINVALUE -9 MAXVALUE -1 CYCLE; CREATE SEQUENCE fresh_down INCREMENT BY -1;
CREATE TABLE narrow (id smallint GENERATED BY DEFAULT AS IDENTITY (START 32766) PRIMARY KEY, v int);
CREATE TABLE back (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT BY -1 MINVALUE -2 MAXVALUE 5 START 5 CYCLE) PRIMARY KEY, v int)"""
USED = """SELECT nextval('down'), nextval('down'); SELECT nextval('spent') FROM generate_series(1, 7); SELECT nextval('spent_down') FROM generate_series(1, 3); SELECT nextval('spent_big');
SELECT nextval('ring') FROM generate_series(1, 8); SELECT nextval('ring_end') FROM generate_series(1, 9); SELECT nextval('ring_down') FROM generate_series(1, 3);
INSERT INTO narrow (v) VALUES (1), (2); INSERT INTO back (v) SELECT 1 FROM generate_series(1, 7)"""


def handed_out(run, name):
    """The next three values; None: an error, it has none left."""
    values = []
    for _ in range(3):
        try:
            values.append(run(f"SELECT nextval('{name}')")[0][0])
        except psycopg.errors.SequenceGeneratorLimitExceeded:
            values.append(None)
    return values


def test_sequences_of_every_kind(servers):
    """Downwards, at their end, round and round: each goes on where the source would have."""
    names = ("down", "spent", "spent_down", "spent_big", "ring", "ring_end", "ring_down", "fresh_down", "narrow_id_seq", "back_id_seq")
    with moving(servers, KINDS, USED) as m:
        for name in ("ring", "ring_end", "ring_down"):  # the rings on the target stand further on, or are at another place
            m.s.target(f"SELECT nextval('{name}'), nextval('{name}')")
        m.done()
        for name in names:
            assert handed_out(m.s.target, name) == handed_out(m.s.admin, name), name


def test_a_column_of_the_target_has_its_own_sequence(servers):
    """Found by the column, whatever its name; an aborted cutover leaves it where it was set, and the next one does not go back."""
    with moving(servers, "CREATE TABLE t (id serial PRIMARY KEY, v text)", "INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 20)") as m:
        m.s.target("ALTER SEQUENCE t_id_seq RENAME TO renamed")
        with m.process("cutover.verifying:1:error") as process:
            assert process.wait(120) == 11, process.log_tail()
        assert m.s.target("SELECT last_value, is_called FROM renamed") == [(20, True)]
        m.s.source("INSERT INTO t (v) VALUES ('more')")
        with m.process("cutover.finishing") as process:  # clients are on the target already
            process.assert_exit(-signal.SIGKILL, 120)
        assert m.run("status")["stands"] == "interrupted" and m.run("resume")["outcome"] == "done"
        assert next_values(m.s.target, "renamed") == [22]


def test_ten_thousand_sequences(servers):
    """In proportion to a yardstick: as many setval() in one statement on the server."""
    number = count(10000, 10000)
    make = f"SELECT 'CREATE SEQUENCE s' || i FROM generate_series(1, {number}) i"
    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY)", more={"cutover": SETTINGS, "compare": {"deadline_ms": 120000}}) as s:
        for run in (s.source, s.target):
            run(f"DO $$ DECLARE q text; BEGIN {'SET LOCAL ROLE ' + OWNER + ';' if run == s.target else ''} FOR q IN {make} LOOP EXECUTE q; END LOOP; END $$")
        s.target(f"GRANT USAGE ON SCHEMA public TO {OWNER}")
        s.source(f"SELECT sum(setval('s' || i, i)) FROM generate_series(1, {number // 2}) i")
        s.start()
        m = Moving(s)
        m.compare()
        began = time.monotonic()
        s.target(f"SELECT sum(setval('s' || i, 1)) FROM generate_series(1, {number}) i")
        yardstick_s = time.monotonic() - began
        s.target(f"SELECT sum(setval('s' || i, 1, false)) FROM generate_series(1, {number}) i")
        report = m.done()
        took_s = {step["state"]: step["ms"] for step in report["steps"]}["sequencing"] / 1000
        print(f"{number} sequences: {took_s:.2f} s, {took_s / yardstick_s:.1f} times setval() alone ({yardstick_s:.2f} s)")
        assert report["sequences_set"] == number
        assert s.target(f"SELECT count(*) FROM generate_series(1, {number}) i WHERE coalesce(pg_sequence_last_value(('s' || i)::regclass), 0)"
                        f" <> CASE WHEN i <= {number // 2} THEN i ELSE 0 END") == [(0,)]
        assert took_s < 60


def test_large_objects(servers):
    with moving(servers, "CREATE TABLE t (id int PRIMARY KEY)") as m:
        m.s.source("SELECT lo_create(0), lo_create(0)")
        gate = m.refused("large_objects")
        assert gate["measured"] == "2 on the source" and "cutover.large_objects: ignore" in gate["hint"], gate
        m.configure(large_objects="ignore")
        assert m.run("plan")["outcome"] == "planned"
        m.configure()
        m.s.source("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
        m.done()


def test_unlogged_tables(servers):
    with moving(servers, 'CREATE TABLE t (id int PRIMARY KEY); CREATE UNLOGGED TABLE "a cache" (id int PRIMARY KEY); CREATE UNLOGGED TABLE nothing (id int)',
                'INSERT INTO "a cache" SELECT generate_series(1, 30); ANALYZE "a cache"', tables=("public.t",)) as m:
        gate = m.refused("unlogged_tables")
        assert '"a cache" (about 30 rows)' in gate["hint"] and "nothing" not in gate["hint"].replace("nothing of", "") and gate["measured"].startswith("1 "), gate
        m.configure(unlogged_tables="ignore")
        assert m.run("plan")["outcome"] == "planned"
        m.configure()
        m.s.source('TRUNCATE "a cache"')
        m.done()


def test_grants_and_owners(servers):
    _, source, target = servers
    names = ("reader", "odd \"Role")
    for name in names:
        source.sql(f"""DO $$ BEGIN IF to_regrole('{name.replace('"', '""').join('""')}') IS NULL THEN CREATE ROLE "{name.replace('"', '""')}" LOGIN; END IF; END $$""")
    with moving(servers, """CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE VIEW seen AS SELECT * FROM t; CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
            CREATE TYPE mood AS ENUM ('a', 'b')""") as m:
        s = m.s
        s.admin('GRANT SELECT, INSERT ON t TO reader WITH GRANT OPTION; GRANT UPDATE (v) ON t TO "odd ""Role"; GRANT USAGE ON SEQUENCE t_id_seq TO reader',
                'ALTER VIEW seen OWNER TO reader', "REVOKE EXECUTE ON FUNCTION f(int) FROM PUBLIC; GRANT EXECUTE ON FUNCTION f(int) TO reader; GRANT USAGE ON TYPE mood TO reader",
                f"GRANT {OWNER} TO {CUTOVER}", f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT SELECT ON TABLES TO reader")
        gate = m.refused("grants")
        lines = gate["statements"].strip().split("\n")
        assert lines[:2] == ['CREATE ROLE "odd ""Role";', 'CREATE ROLE "reader";'] or lines[:2] == ['CREATE ROLE "reader";', 'CREATE ROLE "odd ""Role";'], lines
        for wanted in ("GRANT SELECT ON TABLE public.t TO reader;", "GRANT INSERT ON TABLE public.t TO reader WITH GRANT OPTION;", 'GRANT UPDATE (v) ON TABLE public.t TO "odd ""Role";',
                       "GRANT USAGE ON SEQUENCE public.t_id_seq TO reader;", "ALTER VIEW public.seen OWNER TO reader;", "GRANT EXECUTE ON ROUTINE public.f(integer) TO reader;",
                       "GRANT USAGE ON TYPE public.mood TO reader;", f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT SELECT ON TABLES TO reader;"):
            assert wanted in lines, (wanted, lines)
        assert "2 roles are not there, 1 more than on the source" in gate["measured"], gate  # PUBLIC may still execute f there
        assert "CREATE ROLE" in gate["hint"] and "cutover.grants: ignore" in gate["hint"], gate
        m.configure(grants="ignore")
        assert m.run("plan")["outcome"] == "planned"
        m.configure()
        m.mend(gate)
        m.done()
    for server in (source, target):
        for name in names:
            server.sql('DROP ROLE IF EXISTS "{}"'.format(name.replace('"', '""')))


VIEWS = """CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE MATERIALIZED VIEW z AS SELECT id, v FROM t; CREATE UNIQUE INDEX ON z (id);
CREATE VIEW between AS SELECT * FROM z; CREATE MATERIALIZED VIEW a AS SELECT count(*) AS n FROM between;
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS one FROM t WITH NO DATA"""


def test_materialized_views(servers):
    with moving(servers, VIEWS, "INSERT INTO t SELECT i, 'v' FROM generate_series(1, 50) i; REFRESH MATERIALIZED VIEW z; REFRESH MATERIALIZED VIEW a") as m:
        s = m.s
        s.target(f"REVOKE {OWNER} FROM {CUTOVER}")
        gate = m.refused("materialized_views", "statistics")
        assert gate["statements"] == f"GRANT {OWNER} TO {CUTOVER};\n", gate
        m.mend(gate)
        m.configure(refresh_after=True)
        s.target("REFRESH MATERIALIZED VIEW z")  # stale and filled: taken CONCURRENTLY
        s.source("INSERT INTO t VALUES (51, 'later')")
        report = m.done()
        assert "3 on the target" in {g["name"]: g for g in report["gates"]}["materialized_views"]["measured"]
        assert s.target("SELECT count(*) FROM z") == [(51,)] and s.target("SELECT n FROM a") == [(51,)], "each behind what it reads"
        assert s.target("SELECT relispopulated FROM pg_class WHERE relname = 'unfilled'") == [(False,)]
        assert "2 materialized views refreshed" in report["prepared"] and "1 materialized views refreshed after the switch; 1 without a unique index left" in report["prepared"]
        assert s.target("SELECT count(*) FROM crossfade.audit WHERE event = 'cutover.prepared'") == [(1,)]


def test_views_are_left_to_others(servers):
    with moving(servers, VIEWS, "REFRESH MATERIALIZED VIEW z", materialized_views="ignore") as m:
        m.done()
        assert m.s.target("SELECT relispopulated FROM pg_class WHERE relname = 'z'") == [(False,)]


def test_statistics(servers):
    with moving(servers, """CREATE TABLE t (id int PRIMARY KEY, a int, b int); CREATE STATISTICS pair (dependencies) ON a, b FROM t;
            CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (1000); ALTER TABLE parts ADD PRIMARY KEY (id)""",
                "INSERT INTO t SELECT i, i % 10, i % 10 FROM generate_series(1, 5000) i; INSERT INTO parts SELECT generate_series(0, 999)") as m:
        assert "want ANALYZE" in {g["name"]: g for g in m.run("plan")["gates"]}["statistics"]["measured"]
        report = m.done()
        assert "3 tables analyzed" in report["prepared"], report["prepared"]
        assert m.s.target("SELECT count(*) FROM pg_stats_ext WHERE statistics_name = 'pair' AND dependencies IS NOT NULL") == [(1,)]
        assert m.s.target("SELECT count(*) FROM pg_stats WHERE tablename IN ('t', 'parts', 'part')") == [(5,)]


def test_killed_while_it_prepares(servers):
    """It is taken up again: what is done is not done twice, and what was left is done."""
    with moving(servers, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)",
                "INSERT INTO a SELECT generate_series(1, 3000); INSERT INTO b SELECT generate_series(1, 2000)", prepare_workers=1) as m:
        s = m.s

        # Apply's session tells the server of what it has written some seconds later: what comes behind an ANALYZE counts as changed since.
        wait_until(lambda: s.target("SELECT sum(n_tup_ins) FROM pg_stat_all_tables WHERE relname IN ('a', 'b')") == [(5000,)], 90, "the server's counts have what apply wrote")

        def waiting():
            return s.target("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'b'::regclass")[0][0]

        def analyze_waits(process):
            def waits():
                assert process.running, process.log_tail()
                return waiting() == 1
            wait_until(waits, 120, "ANALYZE of b waits")

        with psycopg.connect(s.target_url) as blocker:
            blocker.execute("LOCK TABLE b IN SHARE UPDATE EXCLUSIVE MODE")  # ANALYZE waits for it; a, the larger, comes before
            with m.process() as process:
                analyze_waits(process)
                assert s.target("SELECT state FROM crossfade.cutover ORDER BY seq DESC LIMIT 1") == [("preparing",)]
                process.kill9()
            wait_until(lambda: waiting() == 0, 60, "the server has noticed that its client is gone")
            before = s.target("SELECT last_analyze FROM pg_stat_all_tables WHERE relname = 'a'")
            with m.process() as process:  # and an abort from elsewhere ends it
                analyze_waits(process)
                assert m.run("abort", expected=11)["outcome"] == "aborted"
                process.assert_exit(11, 60)
            with m.process() as process:  # as does a signal
                analyze_waits(process)
                process.signal(signal.SIGTERM)
                process.assert_exit(11, 60)
            m.configure(prepare_workers=1, prepare_timeout_s=2)  # and its deadline
            report = m.run("run", "--execute", expected=11)
            assert "cutover.prepare_timeout_s" in report["reason"] or "statement timeout" in report["reason"], report["reason"]
            assert s.target("SELECT last_analyze FROM pg_stat_all_tables WHERE relname = 'a'") == before
            blocker.rollback()
        m.configure(prepare_workers=2)
        assert "1 tables analyzed" in m.done()["prepared"]


def test_caches(servers):
    with moving(servers, "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE rarely (id int PRIMARY KEY)", "INSERT INTO t SELECT i, 'v' FROM generate_series(1, 3000) i",
                warm_up="2s", prewarm=True) as m:
        assert "compare.shadow.queries" in m.refused("caches")["hint"]
        m.s.pipeline.settings["compare"]["shadow"] = {"queries": [{"name": "sum", "sql": "SELECT count(*) FROM t WHERE id > $1", "params": [["1"], ["5"]]},
                                                                  {"name": "wrong", "sql": "SELECT 1 / (count(*) - count(*)) FROM t"}]}
        m.configure(warm_up="2s", prewarm=True)
        assert "CREATE EXTENSION pg_prewarm" in m.refused("caches")["hint"]
        m.s.target("CREATE SCHEMA tools; CREATE EXTENSION pg_prewarm SCHEMA tools; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tools FROM PUBLIC")
        assert "GRANT EXECUTE" in m.refused("caches")["hint"]
        m.s.target(f"GRANT USAGE ON SCHEMA tools TO {CUTOVER}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tools TO {CUTOVER}")
        prepared = m.done()["prepared"]
        runs, failed = [int(word) for word in prepared.partition("pg_prewarm; ")[2].split() if word.isdigit()]
        assert "relations read by pg_prewarm" in prepared and runs > 9 and 0 < failed < runs, prepared
