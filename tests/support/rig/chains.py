"""Comparisons that build on earlier ones, on either kind of target: what test_compare_changed*.py and test_compare_resume.py share."""

import contextlib
import itertools
import os
import signal


from .comparing import compare
from .mariadb import ROLE_PASSWORD
from .pipeline import Pipeline
from .privileges import grant_mariadb
from .procs import Process, find_crossfade
from .scenario import count, scenario
from .wait import wait_until
from .writer import Writer

_numbers = itertools.count(1)
PATIENT = {"compare": {"deadline_ms": 300000}}
TABLES = """CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text);
    CREATE TABLE mixed (t text COLLATE "C", u uuid, d timestamptz, n numeric(12,3), v text, PRIMARY KEY (t, u, d, n));
    CREATE TABLE word (w text COLLATE "en-x-icu" PRIMARY KEY, v text);
    CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL;
    INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 5000) i; INSERT INTO b SELECT i, 'b' || i FROM generate_series(1, 5000) i;
    INSERT INTO mixed SELECT 'k''"\\{,}' || i, overlay(overlay(md5(i::text) placing '4' from 13) placing 'a' from 17)::uuid, timestamptz '2026-01-01 00:00:00.123456+00' + i * interval '1 hour', i / 8.0, 'm' || i
      FROM generate_series(1, 1000) i;
    INSERT INTO word SELECT v || i, 'w' FROM unnest('{Wort,wort,Wört,$1}'::text[]) v, generate_series(1, 100) i;
    INSERT INTO keyless SELECT 'x' || i FROM generate_series(1, 100) i"""
LOAD = """; CREATE TABLE l (id int PRIMARY KEY, n int NOT NULL, v text); CREATE TABLE still (id int PRIMARY KEY, v text);
    INSERT INTO l SELECT i, 0, 'l' || i FROM generate_series(1, 20000) i; INSERT INTO still SELECT i, 's' FROM generate_series(1, 2000) i"""
BIG = """CREATE TABLE big (id int PRIMARY KEY, v text); CREATE TABLE small (id int PRIMARY KEY, v text);
    INSERT INTO big SELECT i, 'b' || i FROM generate_series(1, 60000) i; INSERT INTO small SELECT i, 's' || i FROM generate_series(1, 500) i"""
KEYS = """CREATE TABLE k_bytes (k bytea PRIMARY KEY, v int); CREATE TABLE k_date (k date PRIMARY KEY, v int); CREATE TABLE k_time (k timestamp PRIMARY KEY, v int);
    CREATE TABLE k_char (k char(5) PRIMARY KEY, v int); CREATE TABLE k_uuid36 (k uuid PRIMARY KEY, v int); CREATE TABLE k_uuid16 (k uuid PRIMARY KEY, v int);
    CREATE TABLE k_pad (k text PRIMARY KEY, v int); CREATE TABLE k_bool (k boolean, l bigint, v int, PRIMARY KEY (k, l)); CREATE TABLE k_float (k float8 PRIMARY KEY, v int);
    INSERT INTO k_bytes SELECT decode(md5(i::text), 'hex'), i FROM generate_series(1, 300) i; INSERT INTO k_date SELECT date '2020-02-28' + i, i FROM generate_series(1, 300) i;
    INSERT INTO k_time SELECT timestamp '2020-02-28 23:59:59.9' + i * interval '0.000123 s', i FROM generate_series(1, 300) i;
    INSERT INTO k_char SELECT 'c' || i, i FROM generate_series(1, 300) i; INSERT INTO k_uuid36 SELECT md5(i::text)::uuid, i FROM generate_series(1, 300) i;
    INSERT INTO k_uuid16 SELECT md5(i::text)::uuid, i FROM generate_series(1, 300) i; INSERT INTO k_pad SELECT 'Ä' || i || 'x', i FROM generate_series(1, 300) i;
    INSERT INTO k_bool SELECT i % 2 = 0, -i, i FROM generate_series(1, 300) i; INSERT INTO k_float SELECT i / 7.0, i FROM generate_series(1, 300) i"""
ON_MARIADB = {
    KEYS: """CREATE TABLE k_bytes (k varbinary(100) PRIMARY KEY, v int); CREATE TABLE k_date (k date PRIMARY KEY, v int); CREATE TABLE k_time (k datetime(6) PRIMARY KEY, v int);
    CREATE TABLE k_char (k char(5) PRIMARY KEY, v int); CREATE TABLE k_uuid36 (k char(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, v int);
    CREATE TABLE k_uuid16 (k binary(16) PRIMARY KEY, v int); CREATE TABLE k_pad (k varchar(100) COLLATE utf8mb4_bin PRIMARY KEY, v int);
    CREATE TABLE k_bool (k boolean, l bigint, v int, PRIMARY KEY (k, l)); CREATE TABLE k_float (k double PRIMARY KEY, v int)""",
    TABLES + LOAD: """CREATE TABLE a (id int PRIMARY KEY, v longtext); CREATE TABLE b (id int PRIMARY KEY, v longtext);
    CREATE TABLE mixed (t varchar(100), u uuid, d datetime(6), n decimal(12,3), v longtext, PRIMARY KEY (t, u, d, n)); CREATE TABLE keyless (v longtext);
    CREATE TABLE word (w varchar(100) PRIMARY KEY, v longtext);
    CREATE TABLE l (id int PRIMARY KEY, n int NOT NULL, v longtext); CREATE TABLE still (id int PRIMARY KEY, v longtext)""",
    BIG: "CREATE TABLE big (id int PRIMARY KEY, v longtext); CREATE TABLE small (id int PRIMARY KEY, v longtext)"}


class OnPostgres:
    """A scenario (rig.scenario), and what is said otherwise to MariaDB."""

    compared, verdict, dialect = "crossfade.compared", "crossfade.verdict", "postgres"

    def __init__(self, scene):
        self.scene, self.pipeline, self.name = scene, scene.pipeline, scene.name
        self.source, self.target, self.admin, self.wait, self.source_url = scene.source, scene.target, scene.admin, scene.wait, scene.source_url

    def rogue(self, *statements):
        """On the target, by somebody else than apply."""
        self.target(f"BEGIN; SET LOCAL session_replication_role = replica; {'; '.join(statements)}; COMMIT")

    def rewrite(self, table):
        """With the same rows."""
        self.rogue(f"CREATE TEMP TABLE k AS SELECT * FROM {table}", f"TRUNCATE {table}", f"INSERT INTO {table} SELECT * FROM k")

    def age(self, table, days):
        self.target(f"UPDATE crossfade.compared SET read_at = read_at - interval '{days} days' WHERE table_name = '{table}'")

    def settle(self):
        pass

    def state_there(self):
        return self.target("SELECT to_regclass('crossfade.compared')")[0][0]


class OnMariaDB:
    """A pipeline into a database of a server of MariaDB. Rows are texts."""

    compared, verdict, dialect = "crossfade_compared", "crossfade_verdict", "mariadb"

    def __init__(self, server, pipeline, source_server):
        self.server, self.pipeline, self.name, self.source_server = server, pipeline, pipeline.name, source_server
        self.source_url = pipeline.source_url

    def source(self, *statements):
        for statement in statements:
            rows = self.source_server.sql(statement, db=self.name)
        return rows

    def target(self, *statements):
        for statement in statements:
            rows = [tuple(row) for row in self.server.sql_again(statement, db=self.name)]
        return rows

    rogue = target

    def rewrite(self, table):
        self.target(f"ALTER TABLE {table} FORCE")
        self.settle()

    def age(self, table, days):
        self.target(f"UPDATE crossfade_compared SET read_at = read_at - INTERVAL {days} DAY WHERE table_name = '{table}'")

    def settle(self):
        """Until the tables are older than the times by which the server tells them apart."""
        wait_until(lambda: self.target("SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND CREATE_TIME > SYSDATE() - INTERVAL 4 SECOND")
                   == [("0",)], 60, "the definitions are old")

    def state_there(self):
        return True

    def wait(self):
        return self.pipeline.wait_caught_up()


@contextlib.contextmanager
def chain(folder, source, target, schema, journal=None, journal_format="avro", more=None):
    """A pipeline between two servers whose copy is done, as the tests of chains want it; by what kind of server the target is."""
    settings = {section: {**PATIENT.get(section, {}), **(more or {}).get(section, {})} for section in {**PATIENT, **(more or {})}}
    if not hasattr(target, "client"):  # PostgreSQL
        with scenario(folder, source, target, schema, journal=journal, journal_format=journal_format, more=settings) as scene:
            scene.start(timeout=120)
            yield OnPostgres(scene)
        return
    name = f"chain{next(_numbers)}"
    source_url, target_url = source.create_db(name), target.create_db(name)
    source.sql(schema, db=name)
    target.script(ON_MARIADB[schema].replace("; CREATE", ";\nCREATE").replace(";\n    CREATE", ";\nCREATE"), name)
    settings.setdefault("capture", {}).setdefault("heartbeat_interval_ms", 500)
    with Pipeline(folder, source_url, target_url, journal=journal, name=name, tables=("public.*",), journal_format=journal_format, more=settings) as p:
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        grant_mariadb(target, name, f"cmp_{name}", ROLE_PASSWORD, "mariadb-compare")  # apply has made the tables
        p.settings["target"]["url"] = target.url(name, f"cmp_{name}")
        p.write()
        s = OnMariaDB(target, p, source)
        s.settle()
        yield s


def run(s, *words, code=0):
    return compare(s.pipeline, *words, code=code)


def tables(report):
    return {t["table"]: t for t in report["tables"]}


def built(report, *names):
    """{table: (what was read, keys that changed, rows read on the source)}, of these or all."""
    return {t["table"]: (t["built_on"]["read"] if t["built_on"] else "whole", t["built_on"]["keys_changed"] if t["built_on"] else 0, t["rows_source"])
            for t in report["tables"] if not names or t["table"] in names}


def keys_told(report):
    return sorted((t, d["kind"], list(d["key"].values())[0]) for t, row in tables(report).items() for d in row["differences"])


# --- scenarios: each leaves both sides equal, and all of it proven

def reads_what_changed(s):
    first, names = run(s), ("a", "b", "mixed", "word", "keyless")
    assert first["scope"] == "full" and built(first, *names) == {"a": ("whole", 0, 5000), "b": ("whole", 0, 5000), "mixed": ("whole", 0, 1000), "word": ("whole", 0, 400),
                                                                 "keyless": ("whole", 0, 100)}
    nothing = run(s, "--changed")
    assert nothing["scope"] == "changed" and set(built(nothing).values()) == {("changed", 0, 0)}
    # updates twice over, a delete, an insert, a key that moves; every type of key
    s.source("UPDATE a SET v = v || '!' WHERE id <= 30", "UPDATE a SET v = v || '?' WHERE id <= 20", "DELETE FROM a WHERE id = 40",
             "INSERT INTO a VALUES (9000, 'new')", "UPDATE a SET id = 9001 WHERE id = 41",
             "UPDATE mixed SET v = 'other' WHERE n < 2", "UPDATE mixed SET n = -n WHERE n = 100", "INSERT INTO keyless VALUES ('more')",
             "UPDATE word SET v = 'x' WHERE w IN ('wort1', '$11')", "DELETE FROM word WHERE w = 'Wört2'", "UPDATE word SET w = 'WORT3' WHERE w = 'Wort3'")
    changed = run(s, "--changed")
    assert changed["verdict"] == "PASS" and changed["scope"] == "changed"
    # 34 keys of a: 30 + deleted + new + moved (2); rows of 32 of them are there
    assert built(changed, *names) == {"a": ("changed", 34, 32), "b": ("changed", 0, 0), "mixed": ("changed", 17, 16), "word": ("changed", 5, 3), "keyless": ("whole", 0, 101)}
    assert tables(changed)["a"]["built_on"]["fence"] == nothing["fence"]["id"] and tables(changed)["a"]["method"] == "keys"
    # what is wrong among the changed rows is found: changed, lost, and too much
    s.source("UPDATE a SET v = 'x' WHERE id BETWEEN 100 AND 110", "DELETE FROM a WHERE id = 200", "UPDATE mixed SET v = 'x' WHERE n = 50",
             "UPDATE word SET v = 'z' WHERE w = 'wort9'")
    s.wait()
    s.rogue("UPDATE a SET v = 'y' WHERE id = 105", "DELETE FROM a WHERE id = 106", "INSERT INTO a VALUES (200, 'back')", "UPDATE mixed SET v = 'y' WHERE n = 50",
            "UPDATE word SET w = 'WORT9' WHERE w = 'wort9'")
    wrong = [("a", "changed", "105"), ("a", "extra", "200"), ("a", "missing", "106"), ("mixed", "changed", "k'\"\\{,}400"), ("word", "missing", "wort9")]
    assert keys_told(run(s, "--changed", code=1)) == wrong
    # a FAIL proves nothing: it is read whole until it is equal again
    failed = run(s, "--changed", code=1)
    assert built(failed)["a"] == ("whole", 0, 4999) and keys_told(failed) == sorted(wrong + [("word", "extra", "WORT9")])
    s.rogue("UPDATE a SET v = 'x' WHERE id = 105", "INSERT INTO a VALUES (106, 'x')", "DELETE FROM a WHERE id = 200", "UPDATE mixed SET v = 'x' WHERE n = 50",
            "UPDATE word SET w = 'wort9' WHERE w = 'WORT9'")
    assert built(run(s, "--changed"), *names) == {"a": ("whole", 0, 4999), "b": ("changed", 0, 0), "mixed": ("whole", 0, 1000), "word": ("whole", 0, 399),
                                                  "keyless": ("changed", 0, 0)}


def load_statements(n):
    yield f"UPDATE l SET n = n + 1 WHERE id BETWEEN {n * 7 % 300} AND {n * 7 % 300 + 5}"
    yield f"DELETE FROM l WHERE id = {1000 + n % 50}"
    yield f"INSERT INTO l VALUES ({1000 + n % 50}, 0, 'again') ON CONFLICT (id) DO UPDATE SET n = 0"
    yield f"UPDATE l SET id = id + 100000 WHERE id = {2000 + n % 50}"
    yield f"UPDATE l SET id = id - 100000 WHERE id = {102000 + n % 50}"


def under_load(s):
    """Not one false difference in run after run, what is planted in changed rows is found, and a run reads changed rows alone."""
    runs = count(4, 60)
    run(s)
    with Writer(s.source_url, load_statements) as writer:
        for _ in range(runs):
            writer.wait_rounds(3)
            report = run(s, "--changed")
            assert report["verdict"] == "PASS" and report["scope"] == "changed"
            assert built(report)["still"] == ("changed", 0, 0)
            # no other keys than those that are ever written: 306 updated, 50 deleted and inserted, 50 that move
            what, keys, rows = built(report)["l"]
            assert what == "changed" and 0 < keys <= 306 + 50 + 100 and rows <= keys
        s.source("UPDATE l SET v = 'planted' WHERE id = 15000")
        s.wait()
        s.rogue("UPDATE l SET v = 'other' WHERE id = 15000")
        assert keys_told(run(s, "--changed", code=1)) == [("l", "changed", "15000")]
    assert int(s.target(f"SELECT links FROM {s.compared} WHERE table_name = 'still'")[0][0]) == runs + 1
    s.rogue("UPDATE l SET v = 'planted' WHERE id = 15000")
    assert run(s, "--changed")["verdict"] == "PASS"


def not_seen(s):
    """What others write to rows that the source does not change: found by a full run, and by the one that compare.full_every asks for."""
    run(s)
    s.rogue("UPDATE a SET v = 'rogue' WHERE id = 7")
    report = run(s, "--changed")
    assert report["scope"] == "changed" and report["verdict"] == "PASS"  # docs/COMPARE.md says so
    s.age("a", 8)
    report = run(s, "--changed", code=1)
    assert built(report)["a"][0] == "whole" and built(report)["b"] == ("changed", 0, 0) and keys_told(report) == [("a", "changed", "7")]
    was = s.source("SELECT v FROM a WHERE id = 7")[0][0]
    s.rogue(f"UPDATE a SET v = '{was}' WHERE id = 7")
    assert run(s, "--changed")["verdict"] == "PASS"
    # counts keep nothing, but what they find ends a chain, too
    s.rogue("DELETE FROM b WHERE id = 7")
    assert run(s, "--changed")["verdict"] == "PASS" and run(s, "--level", "counts", code=1)["verdict"] == "FAIL"
    assert built(run(s, "--changed", code=1))["b"] == ("whole", 0, 5000)
    was = s.source("SELECT v FROM b WHERE id = 7")[0][0]
    s.rogue(f"INSERT INTO b VALUES (7, '{was}')")
    assert run(s, "--changed")["verdict"] == "PASS"
    # cutover's gate takes what is built on a chain of verdicts, and no chain with a FAIL in it
    s.rogue("DELETE FROM b WHERE id = 7")
    assert run(s, "--table", "public.b", code=1)["scope"] == "part"
    assert built(run(s, "--changed", code=1))["b"] == ("whole", 0, 5000)
    s.rogue(f"INSERT INTO b VALUES (7, '{was}')")
    assert run(s, "--changed")["verdict"] == "PASS"


def whole_when_in_doubt(s):
    """TRUNCATE, ALTER TABLE, other rules, a rewrite, a fence that is another one, too many changes: no proof counts."""
    def whole(*names, code=0):
        report = run(s, "--changed", code=code)
        assert {t for t, (what, _, _) in built(report).items() if what == "whole"} == set(names), built(report)
        for name in names:
            assert any(n.startswith("read whole: ") for n in tables(report)[name]["notes"]), tables(report)[name]["notes"]
        return report

    run(s)
    s.target("ALTER TABLE b ADD COLUMN more int")
    s.source("ALTER TABLE b ADD COLUMN more int", "BEGIN; TRUNCATE a; INSERT INTO a SELECT i, 'again' FROM generate_series(1, 300) i; COMMIT")
    s.settle()
    s.rewrite("mixed")  # nothing of it is in the journal
    whole("a", "b", "mixed")
    s.source("UPDATE b SET v = v || '!' WHERE id <= 1200")
    whole("b")
    settings = s.pipeline.settings["source"]
    settings["filters"] = [{"table": "public.a", "where": "id < 1000"}]
    s.pipeline.write()
    whole("a")
    del settings["filters"]
    s.pipeline.write()
    s.target(f"UPDATE {s.compared} SET lsn = '0/1' WHERE table_name = 'b'", f"UPDATE {s.compared} SET shape = 'x' WHERE table_name = 'mixed'")
    whole("a", "b", "mixed")
    assert whole()["scope"] == "changed"


# --- comparisons that are ended before their end

def begin_slow(s, *words):
    return Process("compare", [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "run", *words], os.path.join(s.pipeline.folder, f"{s.name}-slow.log"))


def set_rate(s, rows, **more):
    s.pipeline.settings["compare"].update(chunk_rows=500, max_rate_rows=rows, **more)
    s.pipeline.write()


def proven(s):
    """Rows of `big` that a comparison has proven so far."""
    quote = "`" if s.dialect == "mariadb" else ""
    rows = s.target(f"SELECT {quote}rows{quote} FROM {s.compared} WHERE table_name = 'big'") if s.state_there() else []
    return int(rows[0][0]) if rows else 0


def touch_ends(n):
    return [f"UPDATE big SET v = v || '.' WHERE id IN ({n % 40 + 1}, {60000 - n % 40})"]


def forget(s):
    if s.state_there():
        s.target(f"DELETE FROM {s.compared}")


def goes_on_where_it_was_stopped(s, end):
    """Ended in the middle, again and again while writers go on, it comes to its end, and reads no part twice but what changed."""
    forget(s)
    set_rate(s, 6000)
    with Writer(s.source_url, touch_ends, pause=0.01) as writer:
        kept, ends = 0, 0
        for _ in range(count(2, 8)):
            with begin_slow(s, "--resume") as slow:
                slow.start()
                wait_until(lambda: proven(s) > kept or not slow.running, 120, "more of the table is proven")
                ends += slow.running
                slow.signal(end)
                slow.wait(60)
            kept = proven(s)
        assert ends == count(2, 8) and 0 < kept < 60000
        set_rate(s, 0)
        writer.wait_rounds(2)
        report = run(s, "--resume")
    big = tables(report)["big"]
    assert report["verdict"] == "PASS" and report["scope"] == "changed"
    assert big["built_on"]["read"] == "rest" and big["built_on"]["rows"] == kept and 0 < big["built_on"]["keys_changed"] <= 80
    # the rest, and the changed rows: those of them that lie in the rest were read twice
    assert 60000 - kept <= big["rows_source"] <= 60000 - kept + 80
    # the last one has come to its end: nothing is left to go on with
    assert run(s, "--resume")["scope"] == "full"
    # a difference in what was kept, in a changed row
    s.source("UPDATE big SET v = 'x' WHERE id = 3")
    s.wait()
    s.rogue("UPDATE big SET v = 'y' WHERE id = 3")
    assert keys_told(run(s, "--changed", code=1)) == [("big", "changed", "3")]
    s.rogue("UPDATE big SET v = 'x' WHERE id = 3")


def snapshots_do_not_grow_old(s):
    """compare.max_snapshot_age: one command, several fences, one verdict."""
    verdicts = f"SELECT scope, verdict FROM {s.verdict} ORDER BY id DESC"
    before = len(s.target(verdicts))
    forget(s)
    set_rate(s, 12000, max_snapshot_age="3s")
    with Writer(s.source_url, touch_ends, pause=0.01):
        report = run(s)
    del s.pipeline.settings["compare"]["max_snapshot_age"]
    set_rate(s, 0)
    big = tables(report)["big"]
    assert report["verdict"] == "PASS" and report["scope"] == "changed"
    # on a slow machine the table may have come to its end under the last fence but one
    assert big["built_on"]["read"] in ("rest", "changed") and big["built_on"]["rows"] > 0 and big["rows_source"] < 60000, (big["built_on"], big["rows_source"])
    kept = s.target(verdicts)
    assert len(kept) == before + 1 and kept[0] == ("changed", "PASS")


def what_does_not_count_gives_way(s):
    """An earlier proof of all rows that cannot be built upon is no reason to keep nothing of this run."""
    set_rate(s, 0)
    run(s)
    s.target(f"UPDATE {s.compared} SET lsn = '0/1' WHERE table_name = 'big'")  # as by a journal that was lost
    set_rate(s, 6000)
    with begin_slow(s, "--changed") as slow:
        slow.start()
        wait_until(lambda: s.target(f"SELECT 1 FROM {s.compared} WHERE table_name = 'big' AND NOT whole") or not slow.running, 120, "a part is proven")
        assert slow.running, slow.log_tail()
        slow.signal(signal.SIGINT)
        slow.wait(60)
    set_rate(s, 0)
    report = run(s, "--changed")
    assert tables(report)["big"]["built_on"]["read"] == "rest" and report["verdict"] == "PASS"


def difference_that_nobody_was_told_of(s):
    """A comparison that was stopped had met a difference: what was proven before does not hide it."""
    set_rate(s, 0)
    run(s)
    was = s.source("SELECT v FROM big WHERE id = 3")[0][0]
    s.rogue("UPDATE big SET v = 'rogue' WHERE id = 3")
    set_rate(s, 300)
    with begin_slow(s) as slow:
        slow.start()
        wait_until(lambda: not s.target(f"SELECT 1 FROM {s.compared} WHERE table_name = 'big'") or not slow.running, 90, "the proof is gone, long before the end")
        assert slow.running, slow.log_tail()
        slow.signal(signal.SIGINT)
        slow.wait(60)
    set_rate(s, 0)
    assert keys_told(run(s, "--changed", code=1)) == [("big", "changed", "3")]
    s.rogue(f"UPDATE big SET v = '{was}' WHERE id = 3")
