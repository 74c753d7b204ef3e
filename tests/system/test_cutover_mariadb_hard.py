"""Cutover to MariaDB where others stand in the way: writers that hide, readers of a table that is to be altered, a host that is gone with its lock; and
sequences of every kind."""

import json
import os
import signal

import pytest

from rig import Postgres, Workdir, wait_until
from rig.cutting import states, stopped, strike
from rig.mariadb import ROLE, MariaDB
from rig.procs import Role
from rig.scenario import FULL
from test_cutover_mariadb import STRICT, Move

LOCKS = "wait/lock/metadata/sql/mdl"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    settings = {**STRICT, "performance-schema": "ON"}
    with Workdir("cutover-mariadb-hard") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target", settings) as target:
        yield folder, source, target


def held(move):
    """The gate rogue_writers as it is now."""
    done = move.run("cutover", "plan", "--json")
    return {gate["name"]: gate for gate in json.loads(done.stdout)["gates"]}["rogue_writers"]


def test_writers_that_hide(servers):
    """Sessions without a default database or in another one, with and without performance_schema; XA transactions that were prepared."""
    with Move(servers, "hidden") as move:
        move.compare()
        target = move.target
        target.sql("CREATE DATABASE elsewhere")
        target.sql("CREATE TABLE elsewhere.t (id int PRIMARY KEY)")

        def locks(enabled):
            target.sql(f"UPDATE performance_schema.setup_instruments SET ENABLED = '{enabled}' WHERE NAME = '{LOCKS}'")

        ours, others = "INSERT INTO hidden.ledger (nonce, amount) VALUES ('rogue', 1)", "INSERT INTO elsewhere.t VALUES (1)"
        for table in ("metadata_locks", "threads", "setup_instruments"):
            target.sql(f"GRANT SELECT ON performance_schema.{table} TO {ROLE}@'%'")
        for seen in (False, True):
            locks("YES" if seen else "NO")
            for database, statement in ((None, ours), (None, others), ("elsewhere", ours), ("elsewhere", others)):
                with target.connect(database) as rogue, rogue.cursor() as cursor:
                    cursor.execute("BEGIN")
                    cursor.execute(statement)
                    gate = held(move)
                    if (statement == ours) if seen else database is None:
                        assert gate["verdict"] == "refused" and "user=root" in gate["hint"] and gate["measured"].startswith("1 writing"), (seen, database, statement, gate)
                    else:
                        assert gate["verdict"] == "ok" and ("1 in sessions of other databases" in gate["measured"]) == (not seen), (seen, database, statement, gate)
                    cursor.execute("ROLLBACK")
        with target.connect("elsewhere") as rogue, rogue.cursor() as cursor:
            for statement in ("XA START 'foreign', 'one'", ours, "XA END 'foreign', 'one'", "XA PREPARE 'foreign', 'one'"):
                cursor.execute(statement)
        wait_until(lambda: held(move)["verdict"] == "refused", 30, "the prepared one has no session any more")
        assert "prepared XA foreignone" in held(move)["hint"]
        target.sql("XA ROLLBACK 'foreign', 'one'")
        assert held(move)["verdict"] == "ok" and held(move)["measured"].startswith("0 writing")
        assert move.cutover("run", "--execute")["outcome"] == "done"


def at(move, point, event, code):
    """A cutover that stands still at the point while something happens, and goes on."""
    log = os.path.join(str(move.folder), f"{move.name}-{point}-{code}.log")
    with Role("cutover run --execute --json", move.pipeline.config_of("cutover"), log) as process:
        process.start(failpoint=f"{point}:1:stop")
        wait_until(lambda: not process.running or stopped(process.pid), 120, f"it stands still at {point}")
        event()
        process.signal(signal.SIGCONT)
        process.assert_exit(code, 180)
        assert not process.sanitizer_reports(), process.log_tail(100)
        return process.log_text()


def test_a_reader_of_the_table_whose_counter_is_set(servers):
    """It keeps the table open in a transaction: the cutover waits for a moment at a time, in which others go on, and says who it was."""
    with Move(servers, "reader", step_timeout_ms=6000) as move, move.writer() as writer:
        move.compare()
        wait_until(lambda: len(writer.acked) > 3, 60, "it writes")
        used = "SELECT nextval('ledger_id_seq')"  # and no row with it: the table's counter alone does not come there
        with move.target.connect("reader") as reader, reader.cursor() as cursor:
            def read():
                move.source.sql(used, db="reader")
                cursor.execute("BEGIN")
                cursor.execute("SELECT count(*) FROM ledger")

            said = at(move, "cutover.sequencing", read, 11)
            assert "a session has the table open in a transaction" in said and "user=root" in said, said[-3000:]
            assert move.serves() and move.decision() == "aborted"
            cursor.execute("ROLLBACK")
        number = len(writer.acked)
        wait_until(lambda: len(writer.acked) > number + 3, 60, "it writes again")
        writer.stop()
        move.source.sql(used, db="reader")
        with move.target.connect("reader") as reader, reader.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT count(*) FROM ledger")
            log = os.path.join(str(move.folder), "reader-goes.log")
            with Role("cutover run --execute --json", move.pipeline.config_of("cutover"), log) as process:
                process.start()
                waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%' AND INFO LIKE 'ALTER TABLE%'"
                wait_until(lambda: not process.running or int(move.target.sql(waiting)[0][0]) > 0, 120, "it waits for the reader")
                assert process.running, process.log_tail()
                cursor.execute("ROLLBACK")
                process.assert_exit(0, 120)
        move.assert_ledger(writer.acked)


KINDS = """CREATE SEQUENCE down INCREMENT BY -3 MINVALUE -1000 MAXVALUE 1000 START 500; SELECT nextval('down'), nextval('down');
    CREATE SEQUENCE spent MAXVALUE 7; SELECT nextval('spent') FROM generate_series(1, 7);
    CREATE SEQUENCE spent_down INCREMENT BY -4 MINVALUE -10 START -1; SELECT nextval('spent_down') FROM generate_series(1, 3);
    CREATE SEQUENCE spent_big INCREMENT BY 5 START 9223372036854775806; SELECT nextval('spent_big');
    CREATE SEQUENCE ring MAXVALUE 9 CYCLE; SELECT nextval('ring') FROM generate_series(1, 8);
    CREATE SEQUENCE ring_end MAXVALUE 9 CYCLE; SELECT nextval('ring_end') FROM generate_series(1, 9);
    CREATE SEQUENCE ring_down INCREMENT BY -2 MINVALUE -9 MAXVALUE -1 CYCLE; SELECT nextval('ring_down') FROM generate_series(1, 3);
    CREATE SEQUENCE fresh START 77; CREATE SEQUENCE fresh_down INCREMENT BY -1;
    CREATE TABLE narrow (id smallint GENERATED BY DEFAULT AS IDENTITY (START 32700) PRIMARY KEY, v int)"""
NAMES = ("down", "spent", "spent_down", "spent_big", "ring", "ring_end", "ring_down", "fresh", "fresh_down")


def handed_out(ask):
    """The next three values; None: an error, it has none left."""
    values = []
    for _ in range(3):
        try:
            values.append(int(ask()))
        except Exception as error:  # pylint: disable=broad-except  # of either driver
            assert "run out" in str(error) or "reached m" in str(error), error
            values.append(None)
    return values


def test_sequences_of_every_kind(servers):
    """The gate has statements for what is missing or otherwise; each goes on where the source would have, also downwards, at its end, or round and round."""
    with Move(servers, "kinds", KINDS, schema_ignore=["*"]) as move:
        move.compare()

        def gate(expected):
            return move.plan(expected=expected)["sequences"]

        for name in NAMES:
            move.target.sql(f"DROP SEQUENCE IF EXISTS {name}", db="kinds")
        found = gate(10)
        assert found["verdict"] == "refused" and f"{len(NAMES)} are missing" in found["measured"], found
        for statement in found["statements"].splitlines():
            move.target.sql(statement.rstrip(";"), db="kinds")
        assert gate(0)["verdict"] == "ok"
        # Another step, a narrower range, no ring: the gate's own statement mends it.
        for statement in ("ALTER SEQUENCE down INCREMENT BY -1", "ALTER SEQUENCE spent MAXVALUE 6", "ALTER SEQUENCE ring NOCYCLE"):
            move.target.sql(statement, db="kinds")
        found = gate(10)
        assert "3 differ" in found["measured"], found
        for statement in found["statements"].splitlines():
            move.target.sql(statement.rstrip(";"), db="kinds")
        # The rings on the target were used: they must go back.
        for name in ("ring", "ring_end", "ring_down"):
            move.target.sql(f"SELECT NEXTVAL({name})", db="kinds")
        # A column whose type ends, and columns that AUTO_INCREMENT cannot serve.
        move.source.sql("SELECT setval('narrow_id_seq', 32767)", db="kinds")
        found = gate(10)
        assert "1 cannot go on" in found["measured"] and "its type ends at 32767" in found["hint"], found
        move.source.sql("ALTER SEQUENCE narrow_id_seq CYCLE", db="kinds")
        assert "cycles, AUTO_INCREMENT does not" in gate(10)["hint"]
        move.source.sql("ALTER SEQUENCE narrow_id_seq INCREMENT BY -1 MINVALUE 1 NO CYCLE RESTART 32000", db="kinds")
        found = gate(10)
        assert "counts down" in found["hint"] and "CREATE SEQUENCE `kinds`.`narrow_id_seq` START WITH" in found["hint"], found
        move.target.sql(found["statements"].splitlines()[0].rstrip(";"), db="kinds")
        move.target.sql("ALTER TABLE narrow MODIFY id smallint NOT NULL DEFAULT NEXTVAL(narrow_id_seq)", db="kinds")
        move.compare()
        assert move.cutover("run", "--execute")["outcome"] == "done"
        for name in (*NAMES, "narrow_id_seq"):
            there = handed_out(lambda name=name: move.target.sql(f"SELECT NEXTVAL({name})", db="kinds")[0][0])
            here = handed_out(lambda name=name: move.source.value(f"SELECT nextval('{name}')", db="kinds"))
            assert there == here, name


@pytest.mark.parametrize("victim", ["source", "target", "capture", "apply"])
def test_killed_while_it_goes_on(servers, victim):
    """A database or a role dies at a state and comes back: the cutover ends done, or with the source serving; the ledger is exact."""
    with Move(servers, f"on_{victim}") as move, move.writer() as writer:
        move.clean = False  # apply loses its server in the middle of whatever it does
        move.compare()
        roles = {"capture": move.pipeline.capture, "apply": move.pipeline.apply}
        killed = {"source": move.source, "target": move.target}
        points = [f"cutover.{state}" for state in states() if state not in ("aborting", "waiting", "reading")] if FULL else ["cutover.marking", "cutover.deciding", "cutover.switching"]
        for point in points:
            log = os.path.join(str(move.folder), f"{move.name}-{point}.log")
            with Role("cutover run --execute --json", move.pipeline.config_of("cutover"), log) as process:
                code = strike(process, point, [role for name, role in roles.items() if name == victim], [server for name, server in killed.items() if name == victim],
                              kill=False, everyone=roles.values())
                assert not process.sanitizer_reports(), process.log_tail(100)
                if code not in (0, 11):
                    code = move.run("cutover", "resume", "--json").returncode
                assert code in ((0,) if point in ("cutover.switching", "cutover.finishing") else (0, 11)), f"{point}\n{process.log_tail()}"
            assert move.serves() == (code == 11) and move.decision() == ("switched" if code == 0 else "aborted"), point
            print(f"{point}: {code}")
            if code == 0:
                move.assert_ledger(writer.acked)
            move.reset()
            for role in roles.values():
                role.wait_for(lambda status: status["phase"] == "streaming", 60, "it works again")
            before = len(writer.acked)
            wait_until(lambda least=before: len(writer.acked) > least + 3, 60, "it writes again")
        writer.stop()
        move.pipeline.wait_caught_up()
        move.assert_ledger(writer.acked)
        assert move.run("audit", "verify").returncode == 0


def test_a_host_that_is_gone_with_the_lock(servers):
    """The server still has its session, which says nothing more: whoever comes next ends it, and puts the source back."""
    with Move(servers, "gone", pause_budget_ms=20000, hook_timeout_ms=1000) as move:
        move.compare()
        log = os.path.join(str(move.folder), "gone.log")
        with Role("cutover run --execute --json", move.pipeline.config_of("cutover"), log) as process:
            process.start(failpoint="cutover.marking:1:stop")
            wait_until(lambda: stopped(process.pid), 120, "it stands still")
            second = move.run("cutover", "resume", "--json")
            assert second.returncode not in (0, 10, 11) and "running right now" in second.stdout, second.stdout
            report = []

            def ended():
                done = move.run("cutover", "resume", "--json")
                if done.returncode == 11:
                    report.append(json.loads(done.stdout))
                return report

            wait_until(ended, 180, "the lock is free")
            assert report[0]["outcome"] == "aborted" and move.serves() and move.decision() == "aborted"
            process.signal(signal.SIGCONT)  # it was only asleep: it must see that it was ended
            assert process.wait(120) in (11, 12), process.log_tail()
            assert move.serves() and move.decision() == "aborted"
        assert move.run("audit", "verify").returncode == 0
        assert move.cutover("run", "--execute")["outcome"] == "done"
