"""Filters: which columns and rows of a table are moved, under which names and keys, and masks that let nothing through."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import subprocess

import pytest

from rig import Postgres, Workdir, wait_until
from rig.journal import read_cat
from rig.kafka import Kafka
from rig.procs import last_line
from rig.scenario import scenario

SALT = "pepper-and-salt-4711"
MARK = "SeCrEtMaRk"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("filters") as folder, Postgres(folder, "source", settings={"logical_decoding_work_mem": "64kB"}) as source, Postgres(folder, "target") as target:
        yield folder, source, target


def rules(*filters, **more):
    return {"source": {"filters": list(filters), "mask_salt": SALT, **more}}


def sha(text, length=64):
    return hashlib.sha256((SALT + text).encode()).hexdigest()[:length]


def refused(s, *parts):
    """Capture halts at start and says why; nothing was made on the source."""
    s.capture.start()
    assert s.capture.wait(30) in (2, 5), s.capture.log_tail()
    line = last_line(s.capture)
    for part in parts:
        assert part in line, line
    assert s.source("SELECT count(*) FROM pg_publication") == [(0,)] and s.slots() == []


def test_columns_rows_keys_and_names(servers):
    folder, source, target = servers
    schema = """
      CREATE TABLE orders (id int PRIMARY KEY, region text NOT NULL, amount numeric(10,2), note text, secret text);
      ALTER TABLE orders REPLICA IDENTITY FULL;
      INSERT INTO orders SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, i, 'n' || i, 's' || i FROM generate_series(1, 100) i;
      CREATE TABLE people (id int PRIMARY KEY, name text, password text DEFAULT 'pw', extra text);
      INSERT INTO people SELECT i, 'p' || i FROM generate_series(1, 50) i;
      CREATE TABLE keyless (a int NOT NULL, b text NOT NULL, c text); ALTER TABLE keyless REPLICA IDENTITY FULL;
      INSERT INTO keyless SELECT i, 'b' || i, 'c' FROM generate_series(1, 30) i;
      CREATE TABLE plain (id int PRIMARY KEY, v text); INSERT INTO plain VALUES (1, 'x')"""
    target_schema = """
      CREATE TABLE orders (order_id int PRIMARY KEY, region text NOT NULL, total numeric(10,2), note text);
      CREATE TABLE people (id int PRIMARY KEY, name text, password text);
      CREATE TABLE keyless (a int NOT NULL, b text NOT NULL, c text, UNIQUE (a, b));
      CREATE TABLE plain (id int PRIMARY KEY, v text)"""
    filters = rules({"table": "public.orders", "columns": ["!secret"], "where": "region = 'eu'", "topic": "orders_v2",
                     "rename": {"id": "order_id", "amount": "total"}},
                    {"table": "public.people", "columns": ["id", "name"]},
                    {"table": "public.keyless", "key": ["a", "b"]})
    with scenario(folder, source, target, schema, target_schema, more=filters) as s:
        s.start()
        lists = dict(source.sql("SELECT tablename, attnames::text FROM pg_publication_tables WHERE pubname = %s",
                                (f"crossfade_{s.name}",), db=s.name))
        assert lists["people"] == "{id,name}", lists  # the server does not send the others
        s.source("UPDATE orders SET amount = 5 WHERE id = 2", "UPDATE orders SET region = 'us' WHERE id = 4",
                 "UPDATE orders SET region = 'eu', note = 'in' WHERE id = 3", "DELETE FROM orders WHERE id = 6",
                 "INSERT INTO orders VALUES (200, 'eu', 1, 'new', 'x'), (201, 'us', 1, 'new', 'x')", "UPDATE orders SET id = 300 WHERE id = 8",
                 "UPDATE people SET name = 'q', password = 'z' WHERE id = 1", "DELETE FROM people WHERE id = 2",
                 "UPDATE keyless SET c = 'd' WHERE a = 1", "UPDATE keyless SET b = 'moved' WHERE a = 2", "DELETE FROM keyless WHERE a = 3")
        s.wait()
        moved = s.source("SELECT id, region, amount, note FROM orders WHERE region = 'eu' ORDER BY 1")
        assert s.target("SELECT order_id, region, total, note FROM orders ORDER BY 1") == moved and len(moved) > 40
        assert s.target("SELECT id, name, password FROM people ORDER BY 1") == s.source("SELECT id, name, NULL::text FROM people ORDER BY 1")
        assert s.target("SELECT * FROM keyless ORDER BY 1, 2") == s.source("SELECT * FROM keyless ORDER BY 1, 2")
        topics, _ = read_cat(s.pipeline)
        assert f"{s.name}.orders_v2" in topics and f"{s.name}.public.orders" not in topics, list(topics)
        keys = [r.key for r in topics[f"{s.name}.public.keyless"]]
        assert {"a": 1, "b": "b1"} in keys and {"a": 2, "b": "moved"} in keys, keys[:3]
        assert s.pipeline.run("journal", "cat", "--table", "public.orders").returncode == 0
        report = s.pipeline.run("compare", "run", "--json")
        assert report.returncode == 0, report.stdout + report.stderr
        tables = {f"{t['schema']}.{t['table']}": t for t in json.loads(report.stdout)["tables"]}
        notes = " ".join(tables["public.orders"]["notes"])
        assert "secret was not compared: left out" in notes and "region = 'eu'" in notes, tables
        s.target("UPDATE orders SET total = 6 WHERE order_id = 2")
        assert s.pipeline.run("compare", "run").returncode == 1


CUT_OFF = """
  CREATE TABLE moving (id int PRIMARY KEY, pw text, nick text, big text); ALTER TABLE moving ALTER big SET STORAGE EXTERNAL;
  INSERT INTO moving SELECT i, 'MARK' || i, 'n' || i, repeat(i::text, 3000) FROM generate_series(1, 3000) i""".replace("MARK", MARK)


@contextlib.contextmanager
def moved_while_copied(folder, source, target):
    """A copy that is cut off; then rows move from what is not copied to what is, without their large value."""
    more = {**rules({"table": "public.moving", "columns": ["!pw"]}), "capture": {"snapshot_chunk_rows": 100, "max_rows_per_second": 1000, "snapshot_workers": 1}}
    with scenario(folder, source, target, CUT_OFF, "CREATE TABLE moving (id int PRIMARY KEY, nick text, big text)", more=more) as s:
        s.capture.start()
        s.capture.wait_for(lambda status: status.get("fence_id", 0) > 1, 30, "a part is copied")
        s.capture.kill9()
        s.source("UPDATE moving SET id = -id WHERE id > 2000 AND id % 7 = 0")
        yield s


@pytest.mark.parametrize("major", [14, 15])
def test_rows_that_move_while_they_are_copied(servers, major):
    """On 14 capture leaves the column out, from 15 on the publication's list does: either way the value that was not sent is read again."""
    folder, source, target = servers
    with contextlib.ExitStack() as stack:
        if major != 15:
            source = stack.enter_context(Postgres(folder, f"moving{major}", major=major))
        s = stack.enter_context(moved_while_copied(folder, source, target))
        s.start()
        s.wait()
        assert s.target("SELECT * FROM moving ORDER BY 1") == s.source("SELECT id, nick, big FROM moving ORDER BY 1")
        topics, _ = read_cat(s.pipeline)
        assert MARK not in json.dumps(list(topics.values()), default=str)


@pytest.mark.parametrize("major", [14, 15])
def test_columns_that_swap_names_while_rows_are_copied(servers, major):
    """The one that is left out stands under the other's name by the time a row is read again: nothing of it may be taken."""
    folder, source, target = servers
    with contextlib.ExitStack() as stack:
        if major != 15:
            source = stack.enter_context(Postgres(folder, f"swap{major}", major=major))
        s = stack.enter_context(moved_while_copied(folder, source, target))
        s.source("ALTER TABLE moving RENAME pw TO x; ALTER TABLE moving RENAME nick TO pw; ALTER TABLE moving RENAME x TO nick")
        s.capture.start()
        s.capture.assert_exit(5, 60)
        assert "moving" in s.capture.log_tail(3)
        topics, _ = read_cat(s.pipeline)
        assert MARK not in json.dumps(list(topics.values()), default=str) and MARK not in s.capture.log_text()
        journal = os.path.join(s.pipeline.folder, f"{s.name}-journal")
        shutil.rmtree(journal)  # a new copy would go by the new names
        s.capture.start()
        s.capture.assert_exit(5, 60)
        assert "earlier copy" in s.capture.log_tail(3) and MARK not in s.capture.log_text()
        assert not os.path.exists(journal) or not files_with(MARK, journal)


# -- masks

MASKED = """
  CREATE TABLE users (email text PRIMARY KEY, name text NOT NULL, phone varchar(40) NOT NULL, born date, doc json, note text, secret text, code char(40), big text);
  ALTER TABLE users ALTER big SET STORAGE EXTERNAL;
  CREATE TABLE logins (id int PRIMARY KEY, who text, old text, kept text); ALTER TABLE logins REPLICA IDENTITY FULL;
  INSERT INTO users SELECT 'MARK' || i, 'nMARK' || i, 'phoneMARK' || i, '1999-09-09', '{"d": "MARK"}', 'note MARK', 'secret MARK', 'MARK' || i, repeat('MARK', 2000)
    FROM generate_series(1, 400) i;
  INSERT INTO logins SELECT i, 'MARK' || i, 'MARK', 'k' || i FROM generate_series(1, 100) i""".replace("MARK", MARK)
MASKS = ({"table": "public.users", "columns": ["!secret"],
          "mask": {"email": "hash", "name": "fixed:somebody", "phone": "partial:2:1", "born": "fixed:2000-01-01", "doc": 'fixed:{"d": 1}', "note": None,
                   "code": "hash", "big": "partial:0:0"}, "rename": {"email": "email_hash"}},
         {"table": "public.*", "mask": {"who": "hash"}}, {"table": "public.logins", "columns": ["id", "who", "kept"]})
MASKED_TARGET = """
  CREATE TABLE users (email_hash text PRIMARY KEY, name text, phone varchar(40), born date, doc json, note text, code char(40), big text);
  CREATE TABLE logins (id int PRIMARY KEY, who text, kept text)"""


def change_masked(s):
    s.source(f"INSERT INTO users VALUES ('{MARK}new', 'x{MARK}', '{MARK}', NULL, '1', '{MARK}', '{MARK}', '{MARK}', repeat('{MARK}', 2000))",
             f"UPDATE users SET name = '{MARK}upd', note = NULL WHERE email = '{MARK}1'",
             f"UPDATE users SET email = '{MARK}moved', phone = '{MARK}' WHERE email = '{MARK}2'",
             f"UPDATE users SET big = repeat('{MARK}', 3000) WHERE email = '{MARK}3'",
             f"DELETE FROM users WHERE email = '{MARK}4'",
             f"UPDATE logins SET who = '{MARK}other', old = '{MARK}2' WHERE id = 1", "UPDATE logins SET id = 1000 WHERE id = 2",
             "DELETE FROM logins WHERE id = 3")


def assert_masked(s):
    s.wait()
    def masked(row):
        email, _, phone, born, _, _, code, big = row
        return (sha(email), "somebody", phone[:2] + "*" * (len(phone) - 3) + phone[-1], born and born.replace(2000, 1, 1), None,
                sha(code.ljust(40), 40), len(big) * "*")
    rows = s.source("SELECT email, name, phone, born, doc::text, note, code, big FROM users")
    assert sorted(s.target("SELECT email_hash, name, phone, born, note, code, big FROM users")) == sorted(map(masked, rows))
    assert s.target("SELECT DISTINCT doc::text FROM users") == [('{"d": 1}',)]
    logins = s.source("SELECT id, who, kept FROM logins ORDER BY 1")
    assert s.target("SELECT id, who, kept FROM logins ORDER BY 1") == [(i, sha(who), kept) for i, who, kept in logins]


def files_with(mark, *folders):
    found = subprocess.run(["grep", "-rlaF", "-e", mark, *folders], capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1), found.stderr
    return found.stdout.split()


def spilled(pid):
    """What the process keeps in files that have no name any more."""
    found = b""
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            link = os.readlink(path)
            if link.endswith(" (deleted)"):
                with open(path, "rb") as f:
                    f.seek(0)
                    found += f.read()
        except OSError:
            pass
    return found


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_nothing_of_a_masked_value(servers, identity):
    """Not in the journal's files, the fences, the logs at debug, the spill, the reports, nor in what the journal's commands print."""
    _, source, target = servers
    capture = {"snapshot_chunk_rows": 100, "max_memory": "4MiB", "max_rows_per_second": 400, "snapshot_workers": 1}
    more = {**rules(*MASKS), "capture": capture, "log": {"level": "debug"}}
    with Workdir("masks") as folder, scenario(folder, source, target, MASKED + f"; ALTER TABLE users REPLICA IDENTITY {identity}",
                                              MASKED_TARGET, more=more) as s:
        s.capture.start()
        s.capture.wait_for(lambda status: status.get("fence_id", 0) > 1, 30, "a part is copied")
        change_masked(s)
        s.capture.kill9()
        s.start()
        s.source(f"UPDATE users SET born = '2001-01-01' WHERE email = '{MARK}5'", f"INSERT INTO logins VALUES (5000, '{MARK}', '{MARK}', 'k')",
                 f"DELETE FROM users WHERE email = '{MARK}6'")
        assert_masked(s)
        s.admin(f"INSERT INTO crossfade.marker (pipeline, nonce, kind, deadline_ms) VALUES ('{s.name}', 'a', 'hold', 4000)",
                 f"UPDATE users SET big = repeat('{MARK}', 2500)", f"UPDATE users SET big = repeat('{MARK}', 2600)")
        wait_until(lambda: len(spilled(s.capture.pid)) > 1 << 20, 30, "a transaction waits in the spill")
        assert MARK.encode() not in spilled(s.capture.pid)
        with source.connect(s.name, autocommit=False) as running:  # one that the server streams while it runs
            running.execute(f"INSERT INTO logins SELECT i, '{MARK}', repeat('{MARK}', 20), 'k' FROM generate_series(10001, 40000) i")
            running.execute("UPDATE logins SET kept = 'l' WHERE id > 10000")
            wait_until(lambda: len(spilled(s.capture.pid)) > 1 << 20, 60, "a transaction that runs waits in the spill")
            assert MARK.encode() not in spilled(s.capture.pid)
            running.execute("DELETE FROM logins WHERE id > 10100")
        assert_masked(s)
        topics, fences = read_cat(s.pipeline)
        assert sum(map(len, topics.values())) > 900 and MARK not in json.dumps([topics, fences], default=str)
        report = s.pipeline.run("compare", "run", "--json")
        assert report.returncode == 0 and MARK not in report.stdout, report.stdout + report.stderr
        tables = {t["table"]: " ".join(t["notes"]) for t in json.loads(report.stdout)["tables"]}
        assert "email was not compared" in tables["users"] and "phone was compared as" in tables["users"], tables
        s.target("UPDATE users SET name = 'x' WHERE email_hash = (SELECT min(email_hash) FROM users)")
        assert s.pipeline.run("compare", "run").returncode == 1
        for role in (s.capture, s.apply):
            assert role.status() is not None and MARK not in json.dumps(role.status())
        s.pipeline.close()
        own = [os.path.join(folder, name) for name in os.listdir(folder)]
        assert files_with(s.name, *own), "the search finds what is there"
        assert files_with(MARK, *own) == [] and files_with(SALT, *[p for p in own if not p.startswith(s.pipeline.config)]) == []


def test_nothing_of_a_masked_value_in_kafka(servers):
    """As other consumers see it: kcat, and the broker's own files."""
    _, source, target = servers
    with Workdir("masks-kafka") as folder, Kafka(folder) as kafka, \
            scenario(folder, source, target, MASKED + "; ALTER TABLE users REPLICA IDENTITY FULL", MASKED_TARGET,
                     more={**rules(*MASKS), "log": {"level": "debug"}}, journal=kafka.url, journal_format="json") as s:
        s.start()
        change_masked(s)
        assert_masked(s)
        topics = [topic for topic in kafka.topics() if topic.startswith(s.name)]
        dumped = {topic: kafka.kcat("-C", "-e", "-q", "-t", topic, "-f", "%k %s %h\n").stdout for topic in topics}
        assert sha(f"{MARK}1") in dumped[f"{s.name}.public.users"] and not [t for t, text in dumped.items() if MARK in text or SALT in text]
        s.pipeline.close()
        kafka.stop()
        own = [os.path.join(folder, name) for name in os.listdir(folder)]
        assert files_with(MARK, *own) == []


# -- what is refused

TABLE = "CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b text, c varchar(5), d text NOT NULL); CREATE TABLE u (id int PRIMARY KEY)"


REFUSED = [
    ({"table": "public.t", "mask": {"a": "hash"}}, ["table=public.t", "column=a", "mask hash needs a text", "int4", "fixed:VALUE"]),
    ({"table": "public.t", "mask": {"a": "fixed:x"}}, ["column=a", "fixed:x is no value of type integer"]),
    ({"table": "public.t", "mask": {"c": "fixed:longer"}}, ["column=c", "longer than character varying(5)"]),
    ({"table": "public.t", "mask": {"d": None}}, ["column=d", "NOT NULL", "fixed:VALUE"]),
    ({"table": "public.t", "mask": {"id": "fixed:1"}}, ["key column id", "mask it by hash"]),
    ({"table": "public.t", "mask": {"nosuch": "hash"}}, ["mask", "there is no column nosuch"]),
    ({"table": "public.nosuch", "mask": {"a": "hash"}}, ["public.nosuch", "fits none of the pipeline's tables"]),
    ({"table": "public.t", "columns": ["!id"]}, ["key column id", "left out"]),
    ({"table": "public.t", "key": ["b"]}, ["key column b", "SET NOT NULL"]),
    ({"table": "public.t", "key": ["d"]}, ["key column d", "REPLICA IDENTITY FULL"]),
    ({"table": "public.t", "rename": {"a": "b"}}, ["columns a and b", "named b"]),
    ({"table": "public.t", "where": "b = 'x'"}, ["table=public.t", "column b", "replica identity"]),
    ({"table": "public.t", "where": "id < 9"}, ["table=public.t", "column b", "TOAST", "REPLICA IDENTITY FULL"]),
    ({"table": "public.t", "where": "id < 9", "columns": ["id", "d"]}, ["table=public.t", "column d", "TOAST"]),
    ({"table": "public.p", "where": "id < 9"}, ["table=public.p", "column v", "TOAST"]),
    ({"table": "public.t", "where": "nosuch = 1"}, ["table=public.t", "nosuch"]),
    ({"table": "public.t", "where": "t.id = 1"}, ["table=public.t", "without their table"]),
    ({"table": "public.*", "topic": "one"}, ["would share topic="]),
    ({"table": "public.t", "key": ["c8"], "mask": {"c8": "hash"}}, ["column=c8", "fewer than 32 characters"]),
]


def test_refused_at_start(servers):
    parted = "; CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)"
    with scenario(*servers, TABLE + parted + "; ALTER TABLE t ADD c8 varchar(8) NOT NULL UNIQUE; ALTER TABLE t REPLICA IDENTITY USING INDEX t_c8_key") as s:
        for rule, words in REFUSED:
            index = "c8" in str(rule)
            s.source(f"ALTER TABLE t REPLICA IDENTITY {'USING INDEX t_c8_key' if index else 'DEFAULT'}")
            s.pipeline.settings["source"].update(filters=[rule], mask_salt=SALT)
            s.pipeline.write()
            refused(s, *words)


def test_refused_by_the_reader(servers):
    with scenario(*servers, TABLE) as s:
        for rule, word in (({"table": "public.t"}, "something that it says"), ({"table": "public.t", "mask": {"a": "hsh"}}, "partial:FIRST:LAST"),
                           ({"mask": {"a": "hash"}}, "table"), ({"table": "public.t", "colums": ["a"]}, "colums")):
            s.pipeline.settings["source"]["filters"] = [rule]
            s.pipeline.write()
            done = s.pipeline.run("check")
            assert done.returncode == 2 and word in done.stderr and ".yaml:" in done.stderr, done.stderr
        s.pipeline.settings["source"]["filters"] = [{"table": "public.t", "mask": {"b": "hash"}}]
        s.pipeline.write()
        done = s.pipeline.run("check")
        assert done.returncode != 0 and "mask_salt" in done.stderr, done.stderr


def test_readable_spill_is_refused(servers):
    """Transactions that are streamed wait as the server sent them: only encrypted, then."""
    with scenario(*servers, TABLE, more={**rules({"table": "public.t", "mask": {"b": "hash"}}), "capture": {"spill_encryption": False}}) as s:
        refused(s, "capture.spill_encryption")


def test_salt_in_a_file(servers):
    with scenario(*servers, TABLE, more={"source": {"filters": [{"table": "public.t", "mask": {"b": "hash"}}]}}) as s:
        path = os.path.join(s.pipeline.folder, "salt")
        with open(path, "w") as f:
            f.write(SALT + "\n")
        s.pipeline.settings["source"]["mask_salt_file"] = path
        s.pipeline.write()
        s.source("INSERT INTO t VALUES (1, 1, 'x', 'y', 'z')")
        s.start()
        assert s.target("SELECT b FROM t") == [(sha("x"),)]


# -- rows that move into the condition

MOVING = """
  CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t ALTER v SET STORAGE EXTERNAL; ALTER TABLE t REPLICA IDENTITY FULL;
  CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000);
  ALTER TABLE p1 ALTER v SET STORAGE EXTERNAL; ALTER TABLE p REPLICA IDENTITY FULL; ALTER TABLE p1 REPLICA IDENTITY FULL;
  CREATE TABLE k (id int, name text, n int NOT NULL, PRIMARY KEY (id, name)); ALTER TABLE k ALTER name SET STORAGE EXTERNAL;
  INSERT INTO t SELECT i, repeat('long', 2000) FROM generate_series(1, 20) i; INSERT INTO p SELECT * FROM t;
  INSERT INTO k SELECT i, repeat('long', 600), 1 FROM generate_series(1, 20) i"""


def test_rows_move_into_the_condition(servers):
    """With values that are stored out of line, and do not change: whole with REPLICA IDENTITY FULL, and those of the key always (k needs no FULL)."""
    with scenario(*servers, MOVING, more=rules({"table": "public.*", "where": "id < 10"})) as s:
        s.start()
        for table in "tpk":
            s.source(f"UPDATE {table} SET id = 0 WHERE id = 15", f"UPDATE {table} SET id = 30 WHERE id = 3")
        s.wait()
        for table in "tpk":
            rows = s.source(f"SELECT * FROM {table} WHERE id < 10 ORDER BY id")
            assert len(rows) == 9 and s.target(f"SELECT * FROM {table} ORDER BY id") == rows, table


def test_rows_that_come_without_their_values_are_not_published(servers):
    """Somebody takes REPLICA IDENTITY FULL away later."""
    with scenario(*servers, MOVING, more={**rules({"table": "public.*", "where": "id < 10"}), "capture": {"on_ddl": "propagate"}}) as s:
        s.start()
        s.source("ALTER TABLE t REPLICA IDENTITY DEFAULT", "UPDATE t SET id = 0 WHERE id = 15")
        for _ in range(2):
            s.capture.assert_exit(5, 30)
            line = s.capture.log_text().strip().splitlines()[-1]
            assert "table=public.t" in line and "REPLICA IDENTITY FULL" in line and "lsn=" in line, line
            s.capture.start()
        s.capture.assert_exit(5, 30)
        topics, _ = read_cat(s.pipeline)
        assert 0 not in [record.key["id"] for record in topics[f"{s.name}.public.t"]]
        assert s.apply.running and s.target("SELECT count(*) FROM t WHERE id = 0") == [(0,)]


# -- what changes later

def test_other_rules_for_a_running_pipeline(servers):
    schema = TABLE + "; INSERT INTO t VALUES (1, 1, 'open', 'c', 'd'), (2, 2, 'open', 'c', 'd')"
    with scenario(*servers, schema, more=rules({"table": "public.t", "columns": ["!c"]})) as s:
        s.start()
        s.capture.terminate()
        s.pipeline.settings["source"]["filters"].append({"table": "public.t", "mask": {"b": "fixed:masked"}})
        s.pipeline.write()
        s.capture.start()
        s.capture.assert_exit(5, 30)
        line = last_line(s.capture)
        assert "table=public.t" in line and "other rules" in line and "filters_changed: accept" in line, line
        s.pipeline.settings["source"]["filters_changed"] = "accept"
        s.pipeline.settings["source"]["filters"].append({"table": "public.t", "columns": ["!c", "!d"]})
        s.target("ALTER TABLE t ALTER d DROP NOT NULL")
        s.pipeline.write()
        s.capture.start()
        s.capture.wait_log("filters_changed publication=")
        s.source("UPDATE t SET a = 5 WHERE id = 1", "INSERT INTO t VALUES (3, 3, 'open', 'c', 'd')")
        s.wait()
        assert s.target("SELECT id, a, b, c, d FROM t ORDER BY 1") == [(1, 5, "masked", None, "d"), (2, 2, "open", None, "d"), (3, 3, "masked", None, None)]
        assert "filters_changed publication=" in s.capture.log_text() and "stay as they are" in s.capture.log_text()
        s.pipeline.settings["source"]["filters_changed"] = "refuse"
        s.pipeline.write()
        s.capture.terminate()
        s.capture.start()
        s.source("UPDATE t SET a = 6 WHERE id = 1")
        s.wait()


@pytest.mark.parametrize("identity,column", [("DEFAULT", "b"), ("FULL", "b"), ("FULL", "c")])
def test_a_masked_column_gets_another_name(servers, identity, column):
    """b is masked, c is left out: by the server, or, with REPLICA IDENTITY FULL, by capture."""
    schema = TABLE + f"; ALTER TABLE t REPLICA IDENTITY {identity}"
    more = rules({"table": "public.*", "mask": {"b": "fixed:masked"}}, {"table": "public.t", "columns": ["!c"]})
    with scenario(*servers, schema, more=more) as s:
        s.start()
        s.source("INSERT INTO t VALUES (1, 1, 'b', 'c', 'd')")
        s.wait()
        s.source(f"ALTER TABLE t RENAME {column} TO other", f"INSERT INTO t VALUES (2, 2, '{MARK}', 'SeCrE', 'd')")
        for _ in range(2):  # also when something starts it again and again
            s.capture.assert_exit(5, 30)
            line = last_line(s.capture)
            assert f"column {column} is masked or left out" in line and "other" in line, line
            s.capture.start()
        s.capture.assert_exit(5, 30)
        topics, _ = read_cat(s.pipeline)
        assert MARK not in json.dumps(topics, default=str) and "SeCrE" not in json.dumps(topics, default=str)
        s.pipeline.settings["source"]["filters_changed"] = "accept"
        s.pipeline.settings["source"]["filters"] += [{"table": "public.t", "mask": {"other": "null"}} if column == "b" else
                                                     {"table": "public.t", "columns": ["!c", "!other"]}]
        s.pipeline.write()
        s.target("ALTER TABLE t ADD other text")
        s.capture.start()
        s.wait()
        topics, _ = read_cat(s.pipeline)
        assert s.target("SELECT id, other FROM t ORDER BY 1") == [(1, None), (2, None)]
        assert MARK not in json.dumps(topics, default=str) and "SeCrE" not in json.dumps(topics, default=str)


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
@pytest.mark.parametrize("ddl,now", [("CREATE SCHEMA aside; ALTER TABLE users SET SCHEMA aside", "aside.users"), ("ALTER TABLE users RENAME TO people", "public.people")])
@pytest.mark.parametrize("chosen", [False, True])
def test_a_masked_table_gets_another_name(servers, identity, ddl, now, chosen):
    """Rules go by name: capture halts before the first row under one that they do not know, chosen by source.tables or not, and whether changed rules
    are accepted or not. Rows from before still come under the old name."""
    schema = f"CREATE TABLE users (id int PRIMARY KEY, a text, b text); ALTER TABLE users REPLICA IDENTITY {identity}; CREATE TABLE u (id int PRIMARY KEY)"
    filters = [{"table": "public.users", "mask": {"a": "fixed:masked"}, "columns": ["!b"]}]
    tables = ("public.*", "aside.*") if chosen else ("public.users", "public.u")
    with scenario(*servers, schema, tables=tables, more={**rules(*filters), "capture": {"on_ddl": "propagate"}}) as s:
        def hidden():
            topics, _ = read_cat(s.pipeline)
            assert MARK not in json.dumps(topics, default=str)
            return topics

        s.start()
        s.target("CREATE SCHEMA IF NOT EXISTS aside", f"CREATE TABLE {now} (id int PRIMARY KEY, a text, b text)")
        s.source(f"INSERT INTO users VALUES (1, '{MARK}', '{MARK}')")
        s.wait()
        s.source(f"BEGIN; INSERT INTO users VALUES (2, '{MARK}', '{MARK}'); {ddl}; INSERT INTO {now} VALUES (3, '{MARK}', '{MARK}');"
                 f" UPDATE {now} SET a = '{MARK}2' WHERE id = 1; COMMIT", f"DELETE FROM {now} WHERE id = 2")
        for changed in ("refuse", "refuse", "accept"):  # also when something starts it again and again
            s.capture.assert_exit(5, 30)
            line = s.capture.log_text().strip().splitlines()[-1]
            assert f"table={now} was public.users" in line and "accept" in line, line
            hidden()
            if not chosen:  # what is remembered of the table stays when another is added
                s.source("CREATE TABLE IF NOT EXISTS late (id int PRIMARY KEY)")
                s.pipeline.settings["source"]["tables"] = [*tables, "public.late"]
                s.pipeline.write()
                assert s.pipeline.run("capture", "add-table", "public.late").returncode in (0, 2)
                s.pipeline.settings["source"]["tables"] = list(tables)
            s.pipeline.settings["source"]["filters_changed"] = changed
            s.pipeline.write()
            s.capture.start()
        s.capture.assert_exit(5, 30)
        s.target("CREATE TABLE IF NOT EXISTS late (id int PRIMARY KEY)")
        s.pipeline.settings["source"]["tables"] = ["public.*", "aside.*"]
        s.pipeline.settings["source"]["filters"] += [{**filters[0], "table": now}]
        s.pipeline.write()
        s.capture.start()
        s.wait()
        assert s.target("SELECT id, a, b FROM users ORDER BY 1") == [(1, "masked", None), (2, "masked", None)]
        assert s.target(f"SELECT id, a, b FROM {now} ORDER BY 1") == [(1, "masked", None), (3, "masked", None)]
        assert f"{s.name}.{now}" in hidden()
        s.pipeline.close()
        assert files_with(MARK, os.path.join(s.pipeline.folder, f"{s.name}-journal")) == []


def test_shapes_are_accepted_under_rules(servers):
    """What waits stays masked; with sanitizers: the command leaves neither rules nor salt behind."""
    more = {**rules({"table": "public.t", "mask": {"b": "hash"}}), "capture": {"on_ddl": "stop"}}
    with scenario(*servers, TABLE, more=more) as s:
        s.start()
        s.source("INSERT INTO t VALUES (1, 1, 'b', 'c', 'd')")
        s.wait()
        s.source("ALTER TABLE t ADD e int", f"INSERT INTO t VALUES (2, 2, '{MARK}', 'c', 'd', 5)")
        s.capture.assert_exit(5, 30)
        done = s.pipeline.run("capture", "accept-ddl")
        assert done.returncode == 0 and "public.t" in done.stdout and SALT not in done.stdout + done.stderr, done.stdout + done.stderr
        s.target("ALTER TABLE t ADD e int")
        s.capture.start()
        s.wait()
        assert s.target("SELECT id, b, e FROM t ORDER BY 1") == [(1, sha("b"), None), (2, sha(MARK), 5)]


def test_a_column_that_the_publication_lacks(servers):
    """A column list does not grow by itself: capture says so before a row comes without the new column."""
    with scenario(*servers, TABLE, more=rules({"table": "public.t", "columns": ["!c"]})) as s:
        s.start()
        s.target("ALTER TABLE t ADD e int")
        s.source("ALTER TABLE t ADD e int", "INSERT INTO t VALUES (1, 1, 'b', 'c', 'd', 7)")
        s.capture.assert_exit(5, 30)
        line = last_line(s.capture)
        assert "column e was added" in line and "accept" in line, line
        s.pipeline.settings["source"]["filters_changed"] = "accept"
        s.pipeline.write()
        s.capture.start()
        s.capture.wait_log("filters_changed publication=")
        s.source("INSERT INTO t VALUES (2, 2, 'b', 'c', 'd', 8)")
        s.wait()
        assert s.target("SELECT id, e FROM t ORDER BY 1") == [(1, None), (2, 8)]


def test_somebody_takes_the_row_filter_away(servers):
    with scenario(*servers, TABLE + "; ALTER TABLE t REPLICA IDENTITY FULL", more=rules({"table": "public.t", "where": "id < 10"})) as s:
        s.start()
        s.capture.terminate()
        s.admin(f"ALTER PUBLICATION crossfade_{s.name} SET TABLE crossfade.marker, ONLY t, ONLY u")
        s.capture.start()
        s.capture.assert_exit(5, 30)
        assert "not as they were" in s.capture.log_text()


def test_a_table_that_comes_later(servers):
    """add-table publishes it by its rules; a capture that does not know them takes nothing of it."""
    with scenario(*servers, TABLE, tables=("public.t", "public.late"), more=rules({"table": "public.t", "columns": ["!c"]})) as s:
        s.start()
        s.source(f"CREATE TABLE late (id int PRIMARY KEY, secret text, open text); ALTER TABLE late REPLICA IDENTITY FULL; INSERT INTO late SELECT i, '{MARK}', 'o' FROM generate_series(1, 20) i")
        s.target("CREATE TABLE late (id int PRIMARY KEY, secret text, open text)")
        s.pipeline.settings["source"]["filters"].append({"table": "public.late", "mask": {"secret": "hash"}, "where": "id <> 7"})
        s.pipeline.write()
        done = s.pipeline.run("capture", "add-table", "public.late")
        assert done.returncode == 0, done.stderr
        s.source(f"INSERT INTO late VALUES (100, '{MARK}', 'o')")
        assert s.capture.wait(30) in (2, 5), s.capture.log_tail()
        assert "public.late" in last_line(s.capture), s.capture.log_tail()
        s.capture.start()
        s.apply.wait_for(lambda status: status.get("complete"), 60, "the copy is complete")
        s.wait()
        wait_until(lambda: s.target("SELECT count(*) FROM late") == [(20,)], 60, "the table is copied")
        assert s.target("SELECT DISTINCT secret, open FROM late") == [(sha(MARK), "o")]
        s.pipeline.close()
        assert files_with(MARK, os.path.join(s.pipeline.folder, f"{s.name}-journal")) == []
