"""Rollback from MariaDB: what was written there after a cutover is on PostgreSQL again, nothing acknowledged is lost either way; who stays is ended, and kill -9 leaves one side serving."""

import json
import os
import shutil
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pymysql
import pytest

from rig import Pipeline, Postgres, Workdir, wait_until
from rig.cutting import states, stopped
from rig.mariadb import BINLOG, MariaDB
from rig.privileges import OWNER, as_role
from rig.scenario import FULL
from rig.way_back import WayBack
from test_cutover_mariadb import SOURCE

SETTINGS = {"lag_stable_ms": 200, "max_lag_ms": 30000, "drain_timeout_s": 60, "pause_budget_ms": 120000, "verdict_max_age_s": 3600,
            "straggler_grace_ms": 500, "reverse": "required"}
MARIADB = {**BINLOG, "sql-mode": "STRICT_TRANS_TABLES", "log-bin-trust-function-creators": 1, "binlog-row-metadata": "FULL",
           "sync-binlog": 1, "innodb-flush-log-at-trx-commit": 1}
FAR = {"TZ": "America/New_York"}  # of the server's machine: the server tells by it when a transaction began
CLOSED = 1792  # as a transaction that is read-only
DECIDED = ("cutover.switching", "cutover.finishing")
POINTS = [f"cutover.{state}" for state in states() if state not in ("aborting", "waiting", "reading")] + ["cutover.refusing", "cutover.decision_held", "cutover.way_back"]
SOME = ("cutover.arming", "cutover.refusing", "cutover.draining", "cutover.decision_held", "cutover.switching")
SIDES = ("postgres", "mariadb")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("rollback-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target", MARIADB, env=FAR) as target:
        target.sql("CREATE USER 'shop_app'@'%' IDENTIFIED BY 'app'")
        yield folder, source, target


class Writers:
    """One on each side that inserts into the ledger all the time; that of MariaDB, which nothing closes before the first cutover, from join() on.
    `acked`: (sent, acknowledged, side, nonce)."""

    def __init__(self, ways):
        self.ways, self.acked, self.unknown, self.failure = ways, [], set(), None
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = {side: threading.Thread(target=self._run, args=(side,), daemon=True) for side in SIDES}

    def __enter__(self):
        self._threads["postgres"].start()
        return self

    def join(self):
        if not self._threads["mariadb"].is_alive():
            self._threads["mariadb"].start()

    def stop(self):
        self._stop.set()
        for thread in self._threads.values():
            if thread.is_alive():
                thread.join(60)
        assert self.failure is None, self.failure

    def __exit__(self, *_):
        self.stop()

    def _run(self, side):
        connection = None
        while not self._stop.wait(0.01):
            nonce, sent = uuid.uuid4().hex, time.time()
            try:
                connection = connection or self.ways.connect(side)
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO ledger (nonce, amount) VALUES (%s, 1)", (nonce,))
                with self._lock:
                    self.acked.append((sent, time.time(), side, nonce))
            except psycopg.errors.ReadOnlySqlTransaction:
                pass
            except pymysql.MySQLError as error:
                if error.args[0] not in (CLOSED, 1205, 1213):  # its session was ended: it may have been committed
                    self.unknown.add(nonce)
                    connection = None
                    if error.args[0] not in (1053, 1317, 1927, 2006, 2013, 0):
                        self.failure = self.failure or error
            except psycopg.OperationalError:
                self.unknown.add(nonce)
                connection = None
            except BaseException as error:  # a mistake of the test
                self.failure = self.failure or error

    def seen(self, side, since):
        with self._lock:
            return [w for w in self.acked if w[2] == side and w[0] > since]

    def wait(self, side):
        since = time.time()
        wait_until(lambda: self.failure or len(self.seen(side, since)) > 5, 60, f"{side} takes writes")
        assert self.failure is None, self.failure

    def check(self, since, left):
        """Once the other side took a write, `left` took none any more."""
        with self._lock:
            first = min((w[0] for w in self.acked if w[2] != left and w[0] > since), default=None)
            late = [w for w in self.acked if w[2] == left and first is not None and w[1] > first]
        assert not late, f"both sides took writes: one from {first} on, {left} {late[:3]}"


class Ways:
    """One database on each side, the pipeline between them and its way back."""

    def __init__(self, servers, name, **cutover):
        self.folder, self.source, self.target = servers
        self.name, self.url = name, self.source.create_db(name)
        self.source.sql(SOURCE, db=name)
        copy = self.target.create_db(name, jobs=("apply", "schema", "cutover", "reverse-target", "rollback"))
        self.target.sql("CREATE SEQUENCE ticket START WITH 100 INCREMENT BY 5", db=name)
        self.target.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON `{name}`.* TO 'shop_app'@'%'")
        more = {"capture": {"heartbeat_interval_ms": 300}, "cutover": {**SETTINGS, **cutover}}
        self.pipeline = Pipeline(self.folder, self.url, copy, name=name, tables=("public.*",), more=more)
        self.back = WayBack(self.pipeline)

    def __enter__(self):
        made = self.pipeline.run("schema", "create", "--execute")
        assert made.returncode == 0, made.stdout + made.stderr
        self.pipeline.start()
        self.pipeline.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        self.back.start()
        return self

    def __exit__(self, kind, *_):
        self.back.__exit__(kind)
        self.pipeline.__exit__(kind)

    def configure(self, **cutover):
        self.pipeline.settings["cutover"] = {**SETTINGS, **cutover}
        self.pipeline.write()

    def connect(self, side):
        if side == "postgres":
            return psycopg.connect(as_role(self.url, OWNER), autocommit=True)
        return pymysql.connect(host="127.0.0.1", port=self.target.port, user="shop_app", password="app", database=self.name, autocommit=True)

    def compare(self):
        done = self.pipeline.run("compare", "run", "--json", timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr

    def sides(self):
        """Whether PostgreSQL, and MariaDB (its root as well), take an application's write."""
        found = []
        for take in (lambda: self.source.sql("UPDATE account SET moves = moves WHERE id = 1", db=self.name),
                     lambda: self.target.sql("UPDATE account SET moves = moves WHERE id = 1", db=self.name)):
            try:
                take()
                found.append(True)
            except psycopg.errors.ReadOnlySqlTransaction:
                found.append(False)
            except pymysql.MySQLError as error:
                assert error.args[0] == CLOSED, error
                found.append(False)
        return tuple(found)

    def triggers(self):
        return int(self.target.value("SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_NAME LIKE 'crossfade%%' AND TRIGGER_SCHEMA = %s", (self.name,)))

    def decision(self):
        return self.target.value("SELECT state FROM crossfade_decision", db=self.name)

    def assert_ledger(self, writers):
        """Everything acknowledged is on both sides, once; nothing that nobody was told of."""
        query = "SELECT nonce FROM ledger ORDER BY nonce"

        def rows(side):
            return [row[0] for row in side.sql(query, db=self.name)]
        wait_until(lambda: rows(self.source) == rows(self.target), 120, "both sides have the same ledger")
        there, acked = rows(self.target), {w[3] for w in writers.acked}
        assert len(set(there)) == len(there)
        assert not acked - set(there), f"lost: {sorted(acked - set(there))[:5]}"
        strange = {n for n in there if not n.startswith("first ")} - acked - writers.unknown
        assert not strange, f"nobody was told of {sorted(strange)[:5]}"


def gate(report, name):
    return next((g for g in report["gates"] if g["name"] == name), None)


def test_there_and_back_and_there_again(servers):
    """Writers on both sides all the time: each way takes along what the other was told, counters go on, hooks of both directions run."""
    seen = os.path.join(str(servers[0]), "hooks.json")
    with Ways(servers, "ways", on_switch=[f"cat >> {seen}"]) as ways, Writers(ways) as writers:
        ways.pipeline.settings["reverse"]["on_switch"] = [f"cat > {seen}.back"]
        ways.pipeline.write()
        writers.wait("postgres")
        ways.compare()
        for turn in range(2):
            began = time.time()
            report = ways.back.cutover("run", "--execute")
            assert report["outcome"] == "done" and report["verdict"] == "PASS", report
            assert "came to the source in" in gate(report, "reverse_path")["measured"], report["gates"]
            assert ways.sides() == (False, True), turn
            writers.join()
            writers.check(began, "postgres")
            writers.wait("mariadb")
            ways.target.sql("SELECT NEXTVAL(ticket)", db="ways")
            began = time.time()
            plan = ways.back.rollback("plan")
            assert gate(plan, "rollback_window")["verdict"] == "ok" and "does not apply" in gate(plan, "schema")["measured"], plan["gates"]
            report = ways.back.rollback("run", "--execute")
            assert report["outcome"] == "done" and report["verdict"] == "PASS" and report["sequences_set"] == 2, report
            assert ways.sides() == (True, False) and ways.decision() == "switched", turn
            assert ways.triggers() == 6
            writers.check(began, "mariadb")
            writers.wait("postgres")
        writers.stop()
        ways.assert_ledger(writers)
        ways.pipeline.wait_caught_up()
        told = json.loads(open(f"{seen}.back", encoding="utf-8").read())
        assert told["event"] == "on_switch" and told["target_dbname"] == "ways" and told["target_port"] == str(servers[1].port)
        last = int(ways.target.value("SELECT next_not_cached_value FROM ticket", db="ways"))
        assert ways.source.value("SELECT nextval('ticket')", db="ways") >= last - 5
        listed = ways.back.rollback("list")["cutovers"]
        assert [one["stands"] for one in listed] == ["done", "done"]
        assert "done" in ways.pipeline.run("rollback", "status").stdout
        assert ways.source.value("SELECT state FROM crossfade.decision", db="ways") == "returned"


def made_later(ways):
    """A table that was made on both sides after the cutover sends its rows: MariaDB is not closed before that one is, too."""
    ways.source.sql(f"CREATE TABLE invoice (id integer PRIMARY KEY, v text); ALTER TABLE invoice OWNER TO {OWNER}", db=ways.name)
    ways.target.sql("CREATE TABLE invoice (id integer PRIMARY KEY, v longtext)", db=ways.name)
    refused = gate(ways.back.rollback("run", "--execute", expected=10), "publication")
    assert "public.invoice" in refused["hint"] and f"ALTER PUBLICATION crossfade_{ways.name} ADD TABLE" in refused["hint"], refused
    ways.source.sql(f"ALTER PUBLICATION crossfade_{ways.name} ADD TABLE invoice", db=ways.name)
    ways.target.sql("INSERT INTO invoice VALUES (1, 'later')", db=ways.name)


def old_and_young(ways):
    """One that is open for longer than the limit refuses, a younger one does not."""
    with ways.connect("mariadb") as stays, stays.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT COUNT(*) FROM account")
        assert gate(ways.back.rollback("plan"), "old_transactions")["verdict"] == "ok"
        ways.configure(max_transaction_age_s=1)
        wait_until(lambda: gate(ways.back.rollback("plan", expected=(0, 10)), "old_transactions")["verdict"] == "refused", 30, "it is old")
        ways.configure()


def not_durable(ways):
    for setting in ("sync_binlog", "innodb_flush_log_at_trx_commit"):
        ways.target.sql(f"SET GLOBAL {setting} = 0")
        refused = gate(ways.back.rollback("plan", expected=10), "slot")
        assert f"SET GLOBAL {setting} = 1" in refused["hint"], refused
        ways.target.sql(f"SET GLOBAL {setting} = 1")


def apply_is_away(ways):
    """As whom it will come is not known, so triggers that let it pass cannot be put up."""
    ways.pipeline.apply.terminate()
    refused = gate(ways.back.rollback("plan", expected=10), "privileges")
    assert f"apply of pipeline {ways.name} does not run" in refused["hint"], refused
    ways.pipeline.apply.start()
    wait_until(lambda: gate(ways.back.rollback("plan", expected=(0, 10)), "privileges")["verdict"] == "ok", 60, "apply has its lock")


def test_who_stays_and_what_differs(servers):
    """An open transaction is ended, a prepared one refuses; what somebody changed on PostgreSQL aborts, with MariaDB serving as before."""
    with Ways(servers, "stays") as ways:
        ways.compare()
        ways.target.sql("SET GLOBAL binlog_row_metadata = NO_LOG")
        assert "binlog_row_metadata" in gate(ways.back.cutover("plan", expected=10), "reverse_path")["hint"]
        ways.target.sql("SET GLOBAL binlog_row_metadata = FULL")
        refused = ways.back.rollback("run", "--execute", expected=10)
        assert gate(refused, "rollback_window")["verdict"] == "refused"
        assert ways.back.cutover("run", "--execute")["outcome"] == "done"
        ways.target.sql("INSERT INTO ledger (nonce, amount) VALUES ('there', 1)", db="stays")
        made_later(ways)
        old_and_young(ways)
        not_durable(ways)
        apply_is_away(ways)
        with ways.connect("mariadb") as other, other.cursor() as cursor:
            cursor.execute("XA START 'apps'")
            cursor.execute("INSERT INTO ledger (nonce, amount) VALUES ('prepared', 1)")
            cursor.execute("XA END 'apps'")
            cursor.execute("XA PREPARE 'apps'")
            refused = ways.back.rollback("run", "--execute", expected=10)
            assert "apps" in gate(refused, "prepared_transactions")["hint"], refused["gates"]
            cursor.execute("XA ROLLBACK 'apps'")
        ways.source.sql("SELECT pg_replication_origin_create('crossfade:nobody:1:1/1:0'); SELECT pg_replication_origin_session_setup('crossfade:nobody:1:1/1:0');"
                        " SET session_replication_role = replica; SET application_name = 'crossfade nobody'; UPDATE account SET moves = 99 WHERE id = 9", db="stays")
        ways.target.sql("UPDATE account SET moves = 7 WHERE id = 7", db="stays")
        with ways.connect("mariadb") as stays, stays.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO ledger (nonce, amount) VALUES ('never', 1)")
            report = ways.back.rollback("run", "--execute", expected=11)
            assert "account" in report["reason"] and report["stragglers"], report
            with pytest.raises(pymysql.MySQLError):
                cursor.execute("COMMIT")
        assert ways.sides() == (False, True) and ways.triggers() == 0 and ways.decision() == "aborted"
        ways.target.sql("UPDATE account SET moves = 100 WHERE id = 9", db="stays")  # and so comes there again
        report = ways.back.rollback("run", "--execute")
        assert report["outcome"] == "done" and ways.sides() == (True, False), report
        assert [row[0] for row in ways.source.sql("SELECT nonce FROM ledger WHERE nonce IN ('there', 'prepared', 'never')", db="stays")] == ["there"]
        assert ways.source.sql("SELECT moves FROM account WHERE id IN (7, 9) ORDER BY id", db="stays") == [(7,), (100,)]
        assert ways.source.sql("SELECT v FROM invoice", db="stays") == [("later",)] and ways.triggers() == 9


def test_a_trigger_moves_back(servers):
    """cutover watch takes `action: rollback` for what it is: MariaDB is closed, PostgreSQL opened, and what was written there meanwhile is on both."""
    with Ways(servers, "trigger") as ways, Writers(ways) as writers:
        ways.compare()
        ways.configure(triggers={"disk": {"above": "0%", "action": "rollback"}}, watch={"every": "200ms"})
        assert ways.back.cutover("run", "--execute")["outcome"] == "done"
        writers.join()
        writers.wait("mariadb")
        began = time.time()
        done = ways.pipeline.run("cutover", "watch", "--once", "--json", "--execute", timeout=300)
        assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
        assert json.loads(done.stdout)["rollback"]["well"], done.stdout[-3000:] + done.stderr[-3000:]
        assert ways.sides() == (True, False) and ways.decision() == "switched"
        writers.check(began, "mariadb")
        writers.wait("postgres")
        writers.stop()
        ways.assert_ledger(writers)
    by_hand(ways)


def test_what_mariadb_has_served_is_not_emptied(servers):
    """A table that was empty until the cutover, and was written to on MariaDB first: its rows are nobody's to empty, and in nobody's way."""
    ways = Ways(servers, "served")
    ways.pipeline.settings["apply"]["on_nonempty"] = "truncate"
    ways.pipeline.write()
    ways.source.sql(f"SET ROLE {OWNER}; CREATE TABLE quiet (id integer PRIMARY KEY, v text)", db="served")
    with ways:
        ways.compare()
        assert ways.back.cutover("run", "--execute")["outcome"] == "done"
        ways.target.sql("INSERT INTO quiet VALUES (1, 'on MariaDB')", db="served")
        assert ways.back.rollback("run", "--execute")["outcome"] == "done"
        ways.source.sql("INSERT INTO quiet VALUES (2, 'on PostgreSQL')", db="served")
        ways.pipeline.wait_caught_up()
        assert [int(row[0]) for row in ways.target.sql("SELECT id FROM quiet ORDER BY id", db="served")] == [1, 2]
        assert ways.source.sql("SELECT id FROM quiet ORDER BY id", db="served") == [(1,), (2,)]
        for role in (ways.pipeline.capture, ways.pipeline.apply):
            role.terminate()
        ways.source.sql("SELECT pg_drop_replication_slot('crossfade_served')")
        shutil.rmtree(ways.pipeline.settings["journal"]["url"].removeprefix("lmdb:"))
        ways.target.sql("DELETE FROM crossfade_position", db="served")
        ways.pipeline.start()  # which copies anew
        ways.pipeline.apply.wait(60)
        assert "has been cut over to" in ways.pipeline.apply.log_text(), ways.pipeline.apply.log_tail()
        assert len(ways.target.sql("SELECT id FROM quiet", db="served")) == 2 and len(ways.target.sql("SELECT id FROM account", db="served")) == 200


def by_hand(ways):
    """What docs/OPERATIONS.md has a person do: to open MariaDB, and to clean up behind both pipelines."""
    def sql(statement):
        return ways.target.sql(statement, db=ways.name)
    sql(f"UPDATE crossfade_decision SET state = 'returned' WHERE pipeline = '{ways.name}_reverse'")
    assert ways.sides()[1]
    sql("DELETE FROM crossfade_marker WHERE kind = 'begun'")
    for (name,) in sql(f"SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{ways.name}' AND TRIGGER_NAME LIKE 'crossfade%'"):
        sql(f"DROP TRIGGER `{name}`")
        assert ways.sides()[1]
    sql("DROP TABLE crossfade_decision, crossfade_marker")
    assert ways.sides()[1]


def kill_at(ways, point):
    with ways.back.process("rollback run --execute") as process:
        process.start(failpoint=f"{point}:1:stop")
        wait_until(lambda: not process.running or stopped(process.pid), 120, f"it stands still at {point}")
        assert process.running, f"{point} was never reached\n{process.log_tail()}"
        process.signal(signal.SIGKILL)
        process.wait(10)


def test_who_was_refused_stays(servers):
    """An application that MariaDB has refused, and that keeps its transaction open, does not keep the next cutover from opening MariaDB: it is ended."""
    with Ways(servers, "refused") as ways:
        ways.compare()
        assert ways.back.cutover("run", "--execute")["outcome"] == "done"
        assert ways.back.rollback("run", "--execute")["outcome"] == "done" and ways.sides() == (True, False)
        stays = ways.connect("mariadb")
        with stays.cursor() as cursor:
            cursor.execute("BEGIN")
            with pytest.raises(pymysql.MySQLError) as refused:
                cursor.execute("INSERT INTO ledger (nonce, amount) VALUES ('never', 1)")
            assert refused.value.args[0] == CLOSED
            report = ways.back.cutover("run", "--execute")
            assert report["outcome"] == "done" and str(stays.thread_id()) in report["stragglers"].split(","), report
            with pytest.raises(pymysql.MySQLError):
                cursor.execute("SELECT 1")
        assert ways.sides() == (False, True)


def tries(ways):
    """The statements that wait for the decision row now. Not from INNODB_TRX: who asks that more often than ten times a second sees what it was, and nobody else sees more."""
    return {row[0] for row in ways.target.sql("SELECT QUERY_ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT state, cutover_id%FOR UPDATE%'")}


def test_an_abort_disturbs_nobody(servers):
    """Where nothing is closed, it lets a writer end. A reader that keeps tables open, or a server that lets no trigger be dropped, leaves triggers behind, which let
    everything pass: the abort is done all the same."""
    with Ways(servers, "calm", abort_timeout_ms=60000) as ways, ThreadPoolExecutor(1) as pool:
        ways.compare()
        assert ways.back.cutover("run", "--execute")["outcome"] == "done"
        kill_at(ways, "cutover.pausing")
        with ways.connect("mariadb") as writes, writes.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO ledger (nonce, amount) VALUES ('calm', 1)")
            aborts, seen = pool.submit(ways.back.rollback, "abort", expected=11), set()
            wait_until(lambda: aborts.done() or seen.update(tries(ways)) or len(seen) > 1, 60, "the abort has waited for the decision row twice")
            assert not aborts.done(), aborts.result()
            cursor.execute("COMMIT")
            assert aborts.result()["outcome"] == "aborted" and ways.sides() == (False, True)
        kill_at(ways, "cutover.draining")
        with ways.connect("mariadb") as reads, reads.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT COUNT(*) FROM account")
            cursor.execute("SELECT COUNT(*) FROM ledger")
            assert ways.back.rollback("abort", expected=11)["outcome"] == "aborted"
            assert ways.triggers() == 6 and ways.sides() == (False, True) and ways.decision() == "aborted"
            cursor.execute("SELECT COUNT(*) FROM ledger")
        kill_at(ways, "cutover.draining")
        ways.target.sql("SET GLOBAL log_bin_trust_function_creators = 0")
        try:
            assert ways.back.rollback("abort", expected=11)["outcome"] == "aborted"
        finally:
            ways.target.sql("SET GLOBAL log_bin_trust_function_creators = 1")
        assert ways.triggers() == 6 and ways.sides() == (False, True)
        assert ways.back.rollback("run", "--execute")["outcome"] == "done" and ways.sides() == (True, False)


def closes_account(ways):
    """Name and body of what stands on `account` for UPDATE."""
    found = ways.target.sql("SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s AND EVENT_OBJECT_TABLE = 'account'"
                            " AND EVENT_MANIPULATION = 'UPDATE' AND TRIGGER_NAME LIKE 'crossfade%%'", (ways.name,))
    return found[0] if found else None


def put_elsewhere(ways, name, body):
    """As a table that is renamed takes its own along: what is called after `account` does not close it."""
    ways.target.sql_again(f"DROP TRIGGER IF EXISTS {name}", db=ways.name)
    ways.target.sql_again(f"CREATE TRIGGER {name} BEFORE UPDATE ON ledger FOR EACH ROW {body}", db=ways.name)


@pytest.mark.parametrize("then", ["resume", "abort"])
def test_killed_at_its_states(servers, then):
    """Done, or with MariaDB serving; never do both sides take writes, and nothing acknowledged is lost."""
    with Ways(servers, f"killed_{then}") as ways, Writers(ways) as writers:
        ways.compare()
        assert ways.back.cutover("run", "--execute")["outcome"] == "done"
        writers.join()
        writers.wait("mariadb")
        for point in POINTS if FULL else SOME:
            began = time.time()
            kill_at(ways, point)
            decided = ways.decision() == "switched"
            assert point not in SOME[1:] or closes_account(ways), point
            assert decided == (point in DECIDED), point
            if not decided:
                writers.wait("mariadb")  # by itself: the lock of closing went with the process
            if point == "cutover.refusing" and then == "resume":
                put_elsewhere(ways, *closes_account(ways))
                assert "taken away or altered" in ways.back.rollback("resume", expected=11)["reason"]
                assert ways.sides() == (False, True) and ways.triggers() == 0
                continue
            moved = closes_account(ways) if point == "cutover.refusing" else None
            if then == "resume" or decided:
                if decided:
                    ways.back.resume_beside_successor()
                else:
                    assert ways.back.rollback("resume")["outcome"] == "done", point
                assert ways.sides() == (True, False), point
                writers.wait("postgres")
                writers.check(began, "mariadb")
                began = time.time()
                assert ways.back.cutover("run", "--execute")["outcome"] == "done", point
                writers.check(began, "postgres")
            else:
                assert ways.back.rollback("abort", expected=11)["outcome"] == "aborted" and ways.sides() == (False, True), point
                assert ways.triggers() == 0, point
            if moved:
                put_elsewhere(ways, *moved)  # which the next one finds
            writers.wait("mariadb")
        writers.stop()
        ways.assert_ledger(writers)
