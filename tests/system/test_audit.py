"""The audit chain on real servers: what commands write into it, that concurrent writers leave no gap, that each way to spoil it is found, and who may
do what with it."""

import concurrent.futures
import json
import os
import pwd
import random
import re
import signal
import subprocess
import sys

import psycopg
import pytest

from rig import Postgres, Workdir, find_crossfade, privileges, run_crossfade
from rig.audit import OnMariaDB, OnPostgres, check, hash_of
from rig.mariadb import MariaDB
from rig.privileges import APPLY, COMPARE, CUTOVER
from rig.scenario import count, seed
from rig.wait import wait_until

USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("audit") as folder, Postgres(folder, "pg") as pg, MariaDB(folder, "maria") as maria:
        privileges.make_roles(pg.url())
        yield folder, pg, maria


class Case:
    """A target (and, on PostgreSQL, a source) without a pipeline: `apply dlq retry --all` is asked for nothing, and leaves a row."""

    def __init__(self, servers, kind, name):
        folder, self.pg, maria = servers
        self.source = self.pg.create_db(f"{name}_source")
        self.name = name
        if kind == "postgres":
            self.target, self.db = self.pg.create_db(name), OnPostgres(self.pg, name)
        else:
            self.target, self.db = maria.create_db(name), OnMariaDB(maria, name)
        self.config = os.path.join(folder, f"{name}.yaml")
        self.write()

    def write(self, target=None):
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({"pipeline": "shop", "source": {"url": self.source}, "target": {"url": target or self.target}}, f)

    def run(self, *words, env=None, timeout=120):
        done = run_crossfade(*words, config=self.config, env=env, timeout=timeout)
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return done

    def row(self, env=None):
        return self.run("apply", "dlq", "retry", "--all", env=env)

    def rows(self, number):
        for _ in range(number):
            done = self.row()
            assert done.returncode == 0, done.stdout + done.stderr
        return self

    def verify(self, *words, expected=0):
        done = self.run("audit", "verify", "--json", *words)
        assert done.returncode == expected, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def export(self):
        done = self.run("audit", "export")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(name="case", params=["postgres", "mariadb"])
def fixture_case(servers, request):
    name = re.sub(r"\W+", "_", request.node.originalname).removeprefix("test_")[:40] + "_" + request.param[0]
    return Case(servers, request.param, name)


def test_rows_of_commands(case):
    case.rows(2)
    done = case.run("apply", "dlq", "discard", "--all", "--reason", "gone “for good”: 100 % \\ 'sure'")
    assert done.returncode == 0, done.stderr
    exported = case.export()
    check(exported)
    assert [row["event"] for row in exported] == ["dlq.retry", "dlq.retry", "dlq.discard"]
    assert exported[2]["detail"] == {"all": True, "reason": "gone “for good”: 100 % \\ 'sure'"}
    assert {row["os_user"] for row in exported} == {USER} and exported[0]["host"] == os.uname().nodename
    assert exported[0]["db_user"].startswith(("postgres", "crossfade"))
    assert f"audit: seq 3, hash {exported[2]['hash']}" in done.stderr
    said = case.verify("--expect", exported[2]["hash"])
    assert said["verdict"] == "ok" and said["rows"] == 3 and said["last_hash"] == exported[2]["hash"]
    assert case.verify("--expect", f"2:{exported[1]['hash']}")["anchors"] == [{"from": "--expect", "seq": 2, "hash": exported[1]["hash"], "met": True}]
    shown = case.run("audit", "list", "--limit", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in shown] == [2, 3]
    assert [json.loads(line)["seq"] for line in case.run("audit", "list", "--json", "--event", "dlq.d%").stdout.splitlines()] == [3]
    assert [json.loads(line)["seq"] for line in case.run("audit", "list", "--json", "--after", "1").stdout.splitlines()] == [2, 3]
    text = case.run("audit", "list").stdout
    assert "dlq.discard" in text and USER in text
    assert case.run("audit", "verify", "--expect", "zz").returncode == 2 and case.run("audit", "show").returncode == 2


SQL_OF_THE_PAGE = """SELECT seq FROM (SELECT *, lag(hash, 1, repeat('0', 64)) OVER (ORDER BY seq) AS before FROM crossfade.audit) a
 WHERE prev_hash <> before OR hash <> encode(sha256(convert_to((SELECT string_agg(octet_length(convert_to(t, 'UTF8')) || ':' || t || ',', '' ORDER BY n)
   FROM unnest(ARRAY['crossfade audit 1', seq::text, prev_hash, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), pipeline, cutover_id,
                     event, os_user, db_user, host, detail]) WITH ORDINALITY u (t, n)), 'UTF8')), 'hex')"""


def test_the_page_s_sql_finds_what_verify_finds(servers):
    case = Case(servers, "postgres", "in_sql").rows(4)
    with open(os.path.join(privileges.ROOT, "docs", "OPERATIONS.md"), encoding="utf-8") as f:
        assert SQL_OF_THE_PAGE in f.read()
    assert case.db.sql(SQL_OF_THE_PAGE) == []
    case.db.sql("UPDATE crossfade.audit SET host = host || 'x' WHERE seq = 3")
    assert case.db.sql(SQL_OF_THE_PAGE) == [(3,)]


CHANGES = {"at": None, "pipeline": "'other'", "cutover_id": "'c1'", "event": "'cutover.decision'", "os_user": "'nobody'", "db_user": "'nobody'", "host": "'elsewhere'",
           "detail": "'{}'", "prev_hash": "'" + "1" * 64 + "'", "hash": "'" + "2" * 64 + "'"}


def test_each_changed_column_is_found(case):
    case.rows(4)
    before = case.db.rows()
    for column, value in CHANGES.items():
        case.db.sql(f"UPDATE {case.db.table} SET {column} = {value or case.db.later} WHERE seq = 2")
        found = case.verify(expected=1)
        assert found["verdict"] == "broken" and any("seq 2" in line for line in found["findings"]), (column, found)
        case.db.sql(f"DELETE FROM {case.db.table} WHERE seq = 2")
        case.db.insert(before[1])
        assert case.verify()["finding_count"] == 0
    case.db.sql(f"UPDATE {case.db.table} SET seq = 20 WHERE seq = 2")
    assert any("missing" in line for line in case.verify(expected=1)["findings"])


def test_deleted_inserted_and_moved_rows_are_found(case):
    case.rows(6)
    rows = case.db.rows()

    def put_back():
        case.db.sql(f"DELETE FROM {case.db.table}")
        for row in rows:
            case.db.insert(row)
        assert case.verify()["rows"] == 6

    for gone in ([1], [3], [2, 3, 4]):
        case.db.sql(f"DELETE FROM {case.db.table} WHERE seq IN ({', '.join(map(str, gone))})")
        assert any(f"missing: seq {gone[0]} to {gone[-1]}" in line for line in case.verify(expected=1)["findings"])
        put_back()
    # One more in the middle, by somebody who knows how hashes are made: those behind it were numbered anew.
    for row in rows[3:]:
        case.db.sql(f"DELETE FROM {case.db.table} WHERE seq = {row['seq']}")
    forged = dict(rows[3], prev_hash=rows[2]["hash"], event="forged")
    forged["hash"] = hash_of(forged)
    case.db.insert(forged)
    for row in rows[3:]:
        case.db.insert(dict(row, seq=row["seq"] + 1))
    assert any("seq 5" in line for line in case.verify(expected=1)["findings"])
    put_back()
    # Two that change places.
    case.db.sql(f"DELETE FROM {case.db.table} WHERE seq IN (2, 3)")
    case.db.insert(dict(rows[1], seq=3))
    case.db.insert(dict(rows[2], seq=2))
    assert case.verify(expected=1)["finding_count"] >= 2
    put_back()
    # The same twice, once the key is gone.
    case.db.drop_key()
    case.db.insert(rows[3])
    assert any("inserted" in line for line in case.verify(expected=1)["findings"])


def test_the_end_needs_an_anchor(case):
    case.rows(5)
    rows = case.db.rows()
    last = rows[4]["hash"]
    case.db.sql(f"DELETE FROM {case.db.table} WHERE seq > 3")
    assert case.verify()["rows"] == 3  # a shorter chain is a chain
    for expected in (last, f"5:{last}"):
        found = case.verify("--expect", expected, expected=1)
        assert any("cut off" in line for line in found["findings"]), found
    # Written anew from the third on, each hash right.
    case.rows(2)
    assert case.verify()["rows"] == 5
    assert any("rewritten" in line or "cut off" in line for line in case.verify("--expect", f"5:{last}", expected=1)["findings"])
    # What the source knows.
    tip = case.db.rows()[4]
    case.pg.sql("CREATE SCHEMA crossfade; CREATE TABLE crossfade.audit_anchor (pipeline text PRIMARY KEY, seq bigint, hash text, noted_at timestamptz DEFAULT now())",
                db=f"{case.name}_source")
    case.pg.sql("INSERT INTO crossfade.audit_anchor VALUES ('shop', 5, %s)", (tip["hash"],), db=f"{case.name}_source")
    assert case.verify()["anchors"][0] == {"from": "the source", "seq": 5, "hash": tip["hash"], "met": True}
    case.rows(1)
    assert case.verify()["rows"] == 6  # more than the source knows is no fault
    case.db.sql(f"DELETE FROM {case.db.table} WHERE seq > 4")
    assert any("the source knows seq 5" in line for line in case.verify(expected=1)["findings"])
    assert case.verify("--no-source")["source_not_asked"] == "--no-source"
    case.db.sql(f"DELETE FROM {case.db.table}")
    assert any("the source knows seq 5" in line for line in case.verify(expected=1)["findings"])


def test_a_source_that_is_away(case):
    case.rows(2)
    case.source = "postgresql://postgres@127.0.0.1:1/none"
    case.write()
    found = case.verify(expected=3)
    assert found["verdict"] == "inconclusive" and found["finding_count"] == 0
    assert case.verify("--expect", case.db.rows()[1]["hash"])["verdict"] == "ok"


def test_writers_at_once_leave_no_gap(case):
    writers, each = 8, count(8, 50)
    case.rows(1)

    def write(_):
        return [case.row() for _ in range(each)]
    with concurrent.futures.ThreadPoolExecutor(writers) as pool:
        done = [one for many in pool.map(write, range(writers)) for one in many]
    bad = [one.stderr for one in done if one.returncode != 0]
    assert not bad, bad[:3]
    assert case.verify()["rows"] == 1 + writers * each
    check(case.export())
    said = {re.search(r"seq (\d+), hash (\w+)", one.stderr).groups() for one in done}
    assert said == {(str(row["seq"]), row["hash"]) for row in case.db.rows()[1:]}  # each was told its own


def test_killed_between_row_and_action(case):
    """The row is there, what it announced was not done; asked again it is, and the chain is whole."""
    case.rows(1)
    done = case.row(env={"CROSSFADE_FAILPOINT": "cli.audit_noted"})
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert "asked for" not in done.stdout
    assert case.verify()["rows"] == 2
    case.rows(1)
    assert case.verify()["rows"] == 3


def test_writers_killed_at_any_moment(case):
    case.rows(1)
    chance = random.Random(seed())
    for _ in range(count(12, 100)):
        process = subprocess.Popen([find_crossfade(), "-c", case.config, "apply", "dlq", "retry", "--all"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0, 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    case.rows(1)  # nobody's lock is left
    check(case.export())
    case.verify()


def test_memory_does_not_grow_with_the_rows(servers):
    case = Case(servers, "postgres", "large").rows(1)
    total = count(60000, 1000000)
    case.db.sql(f"""DO $$
DECLARE
  prev text := (SELECT hash FROM crossfade.audit WHERE seq = 1);
  now_text text := '2026-01-31T12:34:56.123456Z';
  detail text := '{{"text":"' || repeat('x', 300) || '"}}';
  this text;
BEGIN
  FOR i IN 2..{total} LOOP
    this := encode(sha256(convert_to((SELECT string_agg(octet_length(t) || ':' || t || ',', '' ORDER BY n) FROM unnest(ARRAY['crossfade audit 1', i::text, prev,
      now_text, 'shop', '', 'test', 'u', 'd', 'h', detail]) WITH ORDINALITY x (t, n)), 'UTF8')), 'hex');
    INSERT INTO crossfade.audit VALUES (i, now_text::timestamptz, 'shop', '', 'test', 'u', 'd', 'h', detail, prev, this);
    prev := this;
  END LOOP;
END $$""")
    script = ("import resource, subprocess, sys\n"
              "code = subprocess.run(sys.argv[1:]).returncode\n"
              "print('maxrss', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\nsys.exit(code)")
    done = subprocess.run([sys.executable, "-c", script, find_crossfade(), "-c", case.config, "audit", "verify", "--json"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'"rows": {total}' in done.stdout
    if "asan" not in find_crossfade():
        assert int(re.search(r"maxrss (\d+)", done.stdout).group(1)) < 100 * 1024  # kB; the rows alone are more than half of it, in full mode much more


def test_who_may_do_what(servers):
    """As docs/PRIVILEGES.md has it: apply, compare and cutover may add and read; nobody of them may change."""
    folder, pg, _ = servers
    case = Case((folder, pg, servers[2]), "postgres", "rights")
    privileges.give_to_owner(case.target)
    privileges.prepare_target(case.target, owner=privileges.OWNER)
    case.write(privileges.as_role(case.target, APPLY))
    case.rows(2)
    assert pg.value("SELECT tableowner FROM pg_tables WHERE tablename = 'audit'", db=case.name) == APPLY
    for role in (APPLY, CUTOVER, COMPARE):
        with pg.connect(case.name, role) as connection:
            assert connection.execute("SELECT count(*) FROM crossfade.audit").fetchone()[0] >= 2
            for statement in ("UPDATE crossfade.audit SET event = 'x'", "DELETE FROM crossfade.audit", "TRUNCATE crossfade.audit"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
        case.write(privileges.as_role(case.target, role))
        assert case.run("audit", "verify", "--no-source").returncode == 0
    case.write(privileges.as_role(case.target, CUTOVER))
    case.rows(1)
    check(case.export())
    assert [row["db_user"] for row in case.db.rows()] == [APPLY, APPLY, CUTOVER]
    # Given to a role that nobody comes as: apply cannot even give itself the right again.
    with pg.connect(case.name, APPLY) as connection:
        connection.execute("GRANT UPDATE ON crossfade.audit TO crossfade_apply")
        connection.execute("REVOKE UPDATE ON crossfade.audit FROM crossfade_apply")
    privileges.run_blocks(case.target, "target-audit")
    case.rows(1)
    with pg.connect(case.name, APPLY) as connection:
        connection.execute("GRANT UPDATE ON crossfade.audit TO crossfade_apply")  # a warning, and nothing granted
        for statement in ("UPDATE crossfade.audit SET event = 'x'", "DELETE FROM crossfade.audit", "ALTER TABLE crossfade.audit ADD x int"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    case.verify("--no-source")


def test_without_the_right_nothing_is_done(servers):
    """What cannot be written down is not done, and the message says what is missing."""
    folder, pg, _ = servers
    case = Case((folder, pg, servers[2]), "postgres", "refused")
    privileges.give_to_owner(case.target)
    privileges.prepare_target(case.target, owner=privileges.OWNER)
    case.write(privileges.as_role(case.target, APPLY))
    case.rows(1)
    case.db.sql(f"REVOKE INSERT ON crossfade.audit FROM {APPLY}")
    done = case.row()
    assert done.returncode == 4 and "SELECT and INSERT" in done.stderr and "PRIVILEGES.md" in done.stderr, done.stderr
    assert "asked for" not in done.stdout
    case.db.sql(f"GRANT INSERT ON crossfade.audit TO {APPLY}")
    case.rows(1)
    case.verify("--no-source")


def test_the_chain_waits_for_nobody_for_ever(servers):
    """A writer that holds the lock makes others wait; when it is gone they go on."""
    case = Case(servers, "postgres", "lock").rows(1)
    with case.pg.connect(case.name) as holder:
        holder.execute("SELECT pg_advisory_lock(hashtextextended('crossfade audit', 0))")
        process = subprocess.Popen([find_crossfade(), "-c", case.config, "apply", "dlq", "retry", "--all"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: case.pg.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"), 60, "it waits")
        assert process.poll() is None
    assert process.wait(60) == 0
    assert case.verify()["rows"] == 2
