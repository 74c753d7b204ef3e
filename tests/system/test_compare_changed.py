"""compare run --changed, --resume: what earlier comparisons have proven is built upon, and only as far as it still holds."""

import contextlib
import json
import os
import signal

import pytest

from rig import Kafka, Postgres, Process, Workdir, comparing, wait_until
from rig.procs import find_crossfade
from rig.scenario import count, scenario
from rig.writer import Writer

PATIENT = {"compare": {"deadline_ms": 300000}}
TABLES = """CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text);
    CREATE TABLE mixed (t text COLLATE "C", u uuid, d timestamptz, n numeric(12,3), v text, PRIMARY KEY (t, u, d, n));
    CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL;
    INSERT INTO a SELECT i, 'a' || i FROM generate_series(1, 5000) i; INSERT INTO b SELECT i, 'b' || i FROM generate_series(1, 5000) i;
    INSERT INTO mixed SELECT 'k''"\\{,}' || i, md5(i::text)::uuid, timestamptz '2026-01-01 00:00:00.123456+00' + i * interval '1 hour', i / 8.0, 'm' || i
      FROM generate_series(1, 1000) i;
    INSERT INTO keyless SELECT 'x' || i FROM generate_series(1, 100) i"""


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("compare-changed") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def compare(s, *words, code=0):
    return comparing.compare(s.pipeline, *words, code=code)


def tables(report):
    return {t["table"]: t for t in report["tables"]}


def built(report):
    """{table: (what was read, keys that changed, rows read on the source)}"""
    return {t["table"]: (t["built_on"]["read"] if t["built_on"] else "whole", t["built_on"]["keys_changed"] if t["built_on"] else 0, t["rows_source"])
            for t in report["tables"]}


def rogue(s, statement):
    """On the target, by somebody else than apply."""
    s.target(f"BEGIN; SET LOCAL session_replication_role = replica; {statement}; COMMIT")


@pytest.mark.parametrize("journal, form", [("lmdb", "avro"), ("kafka", "json")])
def test_reads_what_changed(servers, journal, form):
    folder, source, target = servers
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(Kafka(folder)).url if journal == "kafka" else None
        with scenario(folder, source, target, TABLES, journal=url, journal_format=form, more=PATIENT) as s:
            s.start()
            first = compare(s, "--changed")
            assert first["scope"] == "full" and built(first) == {"a": ("whole", 0, 5000), "b": ("whole", 0, 5000), "mixed": ("whole", 0, 1000), "keyless": ("whole", 0, 100)}
            nothing = compare(s, "--changed")
            assert nothing["scope"] == "changed" and built(nothing) == {t: ("changed", 0, 0) for t in ("a", "b", "mixed", "keyless")}
            # updates twice over, a delete, an insert, a key that moves; every type of key
            s.source("UPDATE a SET v = v || '!' WHERE id <= 30", "UPDATE a SET v = v || '?' WHERE id <= 20", "DELETE FROM a WHERE id = 40",
                     "INSERT INTO a VALUES (9000, 'new')", "UPDATE a SET id = 9001 WHERE id = 41",
                     "UPDATE mixed SET v = 'other' WHERE n < 2", "UPDATE mixed SET n = -n WHERE n = 100", "INSERT INTO keyless VALUES ('more')")
            changed = compare(s, "--changed")
            assert changed["verdict"] == "PASS" and changed["scope"] == "changed"
            # 34 keys of a: 30 + deleted + new + moved (2); rows of 32 of them are there
            assert built(changed) == {"a": ("changed", 34, 32), "b": ("changed", 0, 0), "mixed": ("changed", 17, 16), "keyless": ("whole", 0, 101)}
            assert tables(changed)["a"]["built_on"]["fence"] == nothing["fence"]["id"] and tables(changed)["a"]["method"] == "keys"
            # what is wrong among the changed rows is found: changed, lost, and too much
            s.source("UPDATE a SET v = 'x' WHERE id BETWEEN 100 AND 110", "DELETE FROM a WHERE id = 200", "UPDATE mixed SET v = 'x' WHERE n = 50")
            s.wait()
            rogue(s, "UPDATE a SET v = 'y' WHERE id = 105; DELETE FROM a WHERE id = 106; INSERT INTO a VALUES (200, 'back'); UPDATE mixed SET v = 'y' WHERE n = 50")
            failed = compare(s, "--changed", code=1)
            assert sorted((t, d["kind"], list(d["key"].values())[0]) for t, row in tables(failed).items() for d in row["differences"]) == [
                ("a", "changed", "105"), ("a", "extra", "200"), ("a", "missing", "106"), ("mixed", "changed", "k'\"\\{,}400")]
            # a FAIL proves nothing: it is read whole until it is equal again
            assert built(compare(s, "--changed", code=1))["a"] == ("whole", 0, 4999)
            rogue(s, "UPDATE a SET v = 'x' WHERE id = 105; INSERT INTO a VALUES (106, 'x'); DELETE FROM a WHERE id = 200; UPDATE mixed SET v = 'x' WHERE n = 50")
            assert built(compare(s, "--changed")) == {"a": ("whole", 0, 4999), "b": ("changed", 0, 0), "mixed": ("whole", 0, 1000), "keyless": ("changed", 0, 0)}
            assert compare(s)["scope"] == "full"


def test_under_load(servers):
    """While writers go on: not one false difference in run after run, what is planted in changed rows is found, and a run reads
    changed rows alone."""
    folder, source, target = servers
    load = """CREATE TABLE l (id int PRIMARY KEY, n int NOT NULL, v text); CREATE TABLE still (id int PRIMARY KEY, v text);
        INSERT INTO l SELECT i, 0, 'l' || i FROM generate_series(1, 20000) i; INSERT INTO still SELECT i, 's' FROM generate_series(1, 20000) i"""

    def statements(n):
        yield f"UPDATE l SET n = n + 1 WHERE id BETWEEN {n * 7 % 300} AND {n * 7 % 300 + 5}"
        yield f"DELETE FROM l WHERE id = {1000 + n % 50}"
        yield f"INSERT INTO l VALUES ({1000 + n % 50}, 0, 'again') ON CONFLICT (id) DO UPDATE SET n = 0"
        yield f"UPDATE l SET id = id + 100000 WHERE id = {2000 + n % 50}"
        yield f"UPDATE l SET id = id - 100000 WHERE id = {102000 + n % 50}"

    runs = count(6, 60)
    with scenario(folder, source, target, load, more=PATIENT) as s:
        s.start()
        assert compare(s)["scope"] == "full"
        with Writer(s.source_url, statements) as writer:
            for _ in range(runs):
                writer.wait_rounds(3)
                report = compare(s, "--changed")
                assert report["verdict"] == "PASS" and report["scope"] == "changed"
                assert built(report)["still"] == ("changed", 0, 0)
                # no other keys than those that are ever written: 306 updated, 50 deleted and inserted, 50 that move
                what, keys, rows = built(report)["l"]
                assert what == "changed" and 0 < keys <= 306 + 50 + 100 and rows <= keys
            s.source("UPDATE l SET v = 'planted' WHERE id = 15000")
            s.wait()
            rogue(s, "UPDATE l SET v = 'other' WHERE id = 15000")
            assert [(t, d["kind"], d["key"]) for t, row in tables(compare(s, "--changed", code=1)).items() for d in row["differences"]] == [
                ("l", "changed", {"id": "15000"})]
        assert s.target("SELECT links FROM crossfade.compared WHERE table_name = 'still'") == [(runs + 1,)]


def test_what_a_changed_run_does_not_see(servers):
    """What others write to rows that the source does not change: found by a full run, and by the one that compare.full_every asks for."""
    folder, source, target = servers
    with scenario(folder, source, target, TABLES, more=PATIENT) as s:
        s.start()
        compare(s)
        rogue(s, "UPDATE a SET v = 'rogue' WHERE id = 7")
        report = compare(s, "--changed")
        assert report["scope"] == "changed" and report["verdict"] == "PASS"  # docs/COMPARE.md says so
        s.target("UPDATE crossfade.compared SET read_at = read_at - interval '8 days' WHERE table_name = 'a'")
        report = compare(s, "--changed", code=1)
        assert built(report)["a"] == ("whole", 0, 5000) and built(report)["b"] == ("changed", 0, 0)
        rogue(s, "UPDATE a SET v = 'a7' WHERE id = 7")
        assert compare(s, "--changed")["verdict"] == "PASS"
        # counts keep nothing, but what they find ends a chain, too
        rogue(s, "DELETE FROM b WHERE id = 7")
        assert compare(s, "--changed")["verdict"] == "PASS" and compare(s, "--level", "counts", code=1)["verdict"] == "FAIL"
        assert built(compare(s, "--changed", code=1))["b"] == ("whole", 0, 5000)
        rogue(s, "INSERT INTO b VALUES (7, 'b7')")
        assert compare(s, "--changed")["verdict"] == "PASS"
        # cutover's gate takes what is built on a chain of verdicts, and no chain with a FAIL in it
        rogue(s, "UPDATE a SET v = 'rogue' WHERE id = 7")
        assert compare(s, "--table", "public.a", code=1)["scope"] == "part"
        assert built(compare(s, "--changed", code=1))["a"] == ("whole", 0, 5000)


def test_read_whole_when_in_doubt(servers):
    """TRUNCATE, ALTER TABLE, other rules, a copy anew, a journal that is another one or has lost records, too many changes: no proof counts."""
    folder, source, target = servers
    with scenario(folder, source, target, TABLES, more={"journal": {"keep": "0s"}, **PATIENT}) as s:
        def whole(*names, code=0):
            report = compare(s, "--changed", code=code)
            assert {t for t, (what, _, _) in built(report).items() if what == "whole"} == set(names), built(report)
            for name in names:
                assert any(n.startswith("read whole: ") for n in tables(report)[name]["notes"]), tables(report)[name]["notes"]
            return report

        s.start()
        compare(s)
        s.source("BEGIN; TRUNCATE a; INSERT INTO a SELECT i, 'again' FROM generate_series(1, 300) i; COMMIT")
        whole("a")
        s.target("ALTER TABLE b ADD COLUMN more int")
        s.source("ALTER TABLE b ADD COLUMN more int")
        whole("b")
        rogue(s, "CREATE TEMP TABLE k AS SELECT * FROM mixed; TRUNCATE mixed; INSERT INTO mixed SELECT * FROM k")  # nothing of it is in the journal
        whole("mixed")
        s.source("UPDATE b SET v = v || '!' WHERE id <= 1200")
        whole("b")
        settings = s.pipeline.settings["source"]
        settings["filters"] = [{"table": "public.a", "where": "id < 1000"}]
        s.pipeline.write()
        whole("a")
        del settings["filters"]
        s.pipeline.write()
        whole("a")
        s.target("UPDATE crossfade.compared SET lsn = '0/1' WHERE table_name IN ('a', 'b')")
        whole("a", "b")
        s.target("UPDATE crossfade.compared SET shape = 'x' WHERE table_name = 'mixed'")
        whole("mixed")
        assert whole()["scope"] == "changed"


UNTOLD = """CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (2000);
    CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text); CREATE TABLE c (t text COLLATE "C" PRIMARY KEY, v text);
    INSERT INTO p SELECT i, 'p' || i FROM generate_series(1, 1999) i; INSERT INTO a SELECT i, 'a' FROM generate_series(1, 100) i;
    INSERT INTO b SELECT i, 'b' FROM generate_series(1, 100) i; INSERT INTO c SELECT chr(i), 'c' FROM generate_series(65, 122) i"""


@pytest.fixture(name="untold", scope="module")
def fixture_untold(servers):
    folder, source, target = servers
    with scenario(folder, source, target, UNTOLD, more=PATIENT) as s:
        s.start()
        yield s


def found(s, name):
    """A difference that the journal tells nothing of: the run reads the table whole and shows it, and all others as before."""
    report = compare(s, "--changed", code=1)
    assert {t: what for t, (what, _, _) in built(report).items()} == {t: "whole" if t == name else "changed" for t in ("p", "a", "b", "c")}
    return [d["key"] for d in tables(report)[name]["differences"]]


def test_partition_that_was_away(untold):
    """Detached, written to, attached again: the same storage, the same columns."""
    compare(untold)
    untold.source("ALTER TABLE p DETACH PARTITION p1", "UPDATE p1 SET v = 'unseen' WHERE id = 7", "ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (1000)")
    assert found(untold, "p") == [{"id": "7"}]
    untold.source("UPDATE p SET v = 'seen' WHERE id = 7")
    assert compare(untold, "--changed")["verdict"] == "PASS"
    rogue(untold, "ALTER TABLE p DETACH PARTITION p2; UPDATE p2 SET v = 'rogue' WHERE id = 1007; ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (1000) TO (2000)")
    assert found(untold, "p") == [{"id": "1007"}]
    rogue(untold, "UPDATE p SET v = 'p1007' WHERE id = 1007")


def test_column_that_was_made_anew_on_the_target(untold):
    compare(untold)
    untold.target("ALTER TABLE b DROP COLUMN v", "ALTER TABLE b ADD COLUMN v text")  # nothing is rewritten
    assert len(found(untold, "b")) == 100
    rogue(untold, "UPDATE b SET v = 'b'")


def test_publication_that_left_something_out(untold):
    """For a while, behind capture's back."""
    compare(untold)
    publication = f"crossfade_{untold.name}"
    untold.admin(f"ALTER PUBLICATION {publication} SET (publish = 'insert')")
    untold.source("UPDATE a SET v = 'unseen' WHERE id = 7")
    untold.admin(f"ALTER PUBLICATION {publication} SET (publish = 'insert, update, delete, truncate')")
    report = compare(untold, "--changed", code=1)
    assert [d["key"] for d in tables(report)["a"]["differences"]] == [{"id": "7"}] and report["scope"] == "full"
    untold.source("UPDATE a SET v = 'seen' WHERE id = 7")


def test_bound_under_another_collation(untold):
    """A part that was proven below a key is another part when keys sort otherwise: by ICU, "c" comes before "M"."""
    compare(untold)
    untold.target("UPDATE crossfade.compared SET whole = false, upper = '{M}', rows = 12 WHERE table_name = 'c'")
    rogue(untold, "UPDATE c SET v = 'rogue' WHERE t = 'c'")
    for run in (untold.source, untold.target):
        run('ALTER TABLE c ALTER t TYPE text COLLATE "en-x-icu"')
    assert found(untold, "c") == [{"t": "c"}]
    rogue(untold, "UPDATE c SET v = 'c' WHERE t = 'c'")


def test_journal_has_lost_records(servers):
    """Retention took what changed since: known by the journal, and the tables are read whole."""
    folder, source, target = servers
    with scenario(folder, source, target, TABLES, more={"journal": {"keep": "0s"}, **PATIENT}) as s:
        s.start()
        compare(s)

        def is_trimmed():
            s.source("UPDATE a SET v = 'x' WHERE id = 1", "UPDATE b SET v = 'x' WHERE id = 1")
            s.wait()
            streams = [json.loads(line) for line in s.pipeline.run("journal", "list", "--json").stdout.splitlines()]
            return all(st["records"] < 1000 for st in streams if st["stream"].endswith((".public.a", ".public.b")))
        wait_until(is_trimmed, 120, "the journal has freed what was applied")
        report = compare(s, "--changed")
        assert built(report)["a"][0] == "whole" and built(report)["b"][0] == "whole" and report["verdict"] == "PASS"
        assert any("no longer hold" in n or "journal" in n for n in tables(report)["a"]["notes"]), tables(report)["a"]["notes"]


def begin_slow(s, folder, *words):
    return Process("compare", [find_crossfade(), "-c", s.pipeline.config_of("compare"), "compare", "run", *words], os.path.join(str(folder), "slow.log"))


BIG = """CREATE TABLE big (id int PRIMARY KEY, v text); CREATE TABLE small (id int PRIMARY KEY, v text);
    INSERT INTO big SELECT i, 'b' || i FROM generate_series(1, 60000) i; INSERT INTO small SELECT i, 's' || i FROM generate_series(1, 500) i"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_goes_on_where_it_was_stopped(servers, end):
    """A comparison that is ended in the middle, again and again while writers go on, comes to its end, and reads no part twice but what changed."""
    folder, source, target = servers
    slow = {"compare": {**PATIENT["compare"], "chunk_rows": 500, "max_rate_rows": 6000}}
    with scenario(folder, source, target, BIG, more=slow) as s:
        s.start()
        with Writer(s.source_url, lambda n: [f"UPDATE big SET v = v || '.' WHERE id IN ({n % 40 + 1}, {60000 - n % 40})"], pause=0.01) as writer:
            kept, ends = 0, 0
            for _ in range(count(2, 8)):
                with begin_slow(s, folder, "--resume") as run:
                    run.start()
                    wait_until(lambda: proven(s) > kept or not run.running, 120, "more of the table is proven")
                    ends += run.running
                    run.signal(end)
                    run.wait(60)
                kept = proven(s)
            assert ends == count(2, 8) and 0 < kept < 60000
            s.pipeline.settings["compare"]["max_rate_rows"] = 0
            s.pipeline.write()
            writer.wait_rounds(2)
            report = compare(s, "--resume")
        big = tables(report)["big"]
        assert report["verdict"] == "PASS" and report["scope"] == "changed"
        assert big["built_on"]["read"] == "rest" and big["built_on"]["rows"] == kept and 0 < big["built_on"]["keys_changed"] <= 80
        # the rest, and the changed rows: those of them that lie in the rest were read twice
        assert 60000 - kept <= big["rows_source"] <= 60000 - kept + 80
        # the last one has come to its end: nothing is left to go on with
        assert compare(s, "--resume")["scope"] == "full"
        # a difference in what was kept, in a changed row
        s.source("UPDATE big SET v = 'x' WHERE id = 3")
        s.wait()
        rogue(s, "UPDATE big SET v = 'y' WHERE id = 3")
        assert [d["key"] for d in tables(compare(s, "--changed", code=1))["big"]["differences"]] == [{"id": "3"}]


def test_what_does_not_count_gives_way(servers):
    """An earlier proof of all rows that cannot be built upon is no reason to keep nothing of this run."""
    folder, source, target = servers
    slow = {"compare": {**PATIENT["compare"], "chunk_rows": 500, "max_rate_rows": 6000}}
    with scenario(folder, source, target, BIG, more=slow) as s:
        s.start()
        compare(s)
        s.target("UPDATE crossfade.compared SET lsn = '0/1' WHERE table_name = 'big'")  # as by a journal that was lost
        with begin_slow(s, folder, "--changed") as run:
            run.start()
            wait_until(lambda: s.target("SELECT 1 FROM crossfade.compared WHERE table_name = 'big' AND NOT whole") or not run.running, 120, "a part is proven")
            assert run.running, run.log_tail()
            run.signal(signal.SIGINT)
            run.wait(60)
        report = compare(s, "--changed")
        assert tables(report)["big"]["built_on"]["read"] == "rest" and report["verdict"] == "PASS"


def test_difference_that_nobody_was_told_of(servers):
    """A comparison that was stopped had met a difference: what was proven before does not hide it."""
    folder, source, target = servers
    slow = {"compare": {**PATIENT["compare"], "chunk_rows": 500, "max_rate_rows": 300}}
    with scenario(folder, source, target, BIG, more=slow) as s:
        s.start()
        compare(s)
        rogue(s, "UPDATE big SET v = 'rogue' WHERE id = 3")
        with begin_slow(s, folder) as run:
            run.start()
            wait_until(lambda: not s.target("SELECT 1 FROM crossfade.compared WHERE table_name = 'big'") or not run.running, 90, "the proof is gone, long before the end")
            assert run.running, run.log_tail()
            run.signal(signal.SIGINT)
            run.wait(60)
        assert [d["key"] for d in tables(compare(s, "--changed", code=1))["big"]["differences"]] == [{"id": "3"}]


def proven(s):
    """Rows of `big` that a comparison has proven so far."""
    rows = s.target("SELECT rows FROM crossfade.compared WHERE table_name = 'big'") if s.target("SELECT to_regclass('crossfade.compared')")[0][0] else []
    return rows[0][0] if rows else 0


def test_snapshots_do_not_grow_old(servers):
    """compare.max_snapshot_age: one command, several fences, one verdict."""
    folder, source, target = servers
    slow = {"compare": {**PATIENT["compare"], "chunk_rows": 500, "max_rate_rows": 6000, "max_snapshot_age": "4s"}}
    with scenario(folder, source, target, BIG, more=slow) as s:
        s.start()
        with Writer(s.source_url, lambda n: [f"UPDATE big SET v = v || '.' WHERE id IN ({n % 40 + 1}, {60000 - n % 40})"], pause=0.01):
            report = compare(s)
            assert report["verdict"] == "PASS" and report["scope"] == "changed"
            big = tables(report)["big"]
            assert big["built_on"]["read"] == "rest" and big["built_on"]["rows"] > 0 and big["rows_source"] < 60000
            verdicts = s.target("SELECT scope, verdict FROM crossfade.verdict")
            assert verdicts == [("changed", "PASS")]
