"""compare run --changed: what earlier comparisons have proven is built upon, and only as far as it still holds. The same on MariaDB: test_compare_changed_mariadb.py."""

import json

import pytest

from rig import Kafka, Postgres, Workdir, chains, wait_until
from rig.chains import LOAD, TABLES, built, chain, run, tables


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("compare-changed") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="s", scope="module")
def fixture_s(servers):
    with chain(*servers, TABLES + LOAD) as s:
        yield s


def test_reads_what_changed(s):
    chains.reads_what_changed(s)


def test_reads_what_changed_by_kafka(servers):
    with Kafka(servers[0]) as kafka, chain(*servers, TABLES, journal=kafka.url, journal_format="json") as s:
        chains.reads_what_changed(s)


def test_tables_of_one_topic(servers):
    """Each record finds its table among those that share its topic, and one that is lost meanwhile leaves the others as they are."""
    names = [f"t{i:02}" for i in range(12)]
    schema = "; ".join(f"CREATE TABLE {t} (id int PRIMARY KEY, v text); INSERT INTO {t} SELECT i, 'v' FROM generate_series(1, {3000 if t == 't00' else 100}) i" for t in names)
    with chain(*servers, schema, more={"journal": {"topic_routing": ["public.* -> all"]}}) as s:
        run(s)
        s.source("UPDATE t11 SET v = 'x' WHERE id <= 3", "UPDATE t00 SET v = 'x' WHERE id <= 2000", "UPDATE t07 SET v = 'x' WHERE id = 5", "TRUNCATE t04",
                 "UPDATE t01 SET id = 500 WHERE id = 7", "UPDATE t11 SET v = 'y' WHERE id = 4")
        report = run(s, "--changed")
        told = dict.fromkeys(names, ("changed", 0, 0))
        told.update(t00=("whole", 0, 3000), t04=("whole", 0, 0), t01=("changed", 2, 1), t07=("changed", 1, 1), t11=("changed", 4, 4))
        assert report["verdict"] == "PASS" and built(report) == told
        assert any("of its rows were changed" in note for note in tables(report)["t00"]["notes"]), tables(report)["t00"]["notes"]


def test_under_load(s):
    chains.under_load(s)


def test_what_a_changed_run_does_not_see(s):
    chains.not_seen(s)


def test_read_whole_when_in_doubt(s):
    chains.whole_when_in_doubt(s)


UNTOLD = """CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (2000);
    CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text); CREATE TABLE c (t text COLLATE "C" PRIMARY KEY, v text);
    INSERT INTO p SELECT i, 'p' || i FROM generate_series(1, 1999) i; INSERT INTO a SELECT i, 'a' FROM generate_series(1, 100) i;
    INSERT INTO b SELECT i, 'b' FROM generate_series(1, 100) i; INSERT INTO c SELECT chr(i), 'c' FROM generate_series(65, 122) i"""


@pytest.fixture(name="untold", scope="module")
def fixture_untold(servers):
    folder, source, target = servers
    with chain(folder, source, target, UNTOLD) as s:
        yield s


def found(s, name):
    """A difference that the journal tells nothing of: the run reads the table whole and shows it, and all others as before."""
    report = run(s, "--changed", code=1)
    assert {t: what for t, (what, _, _) in built(report).items()} == {t: "whole" if t == name else "changed" for t in ("p", "a", "b", "c")}
    return [d["key"] for d in tables(report)[name]["differences"]]


def test_partition_that_was_away(untold):
    """Detached, written to, attached again: the same storage, the same columns."""
    run(untold)
    untold.source("ALTER TABLE p DETACH PARTITION p1", "UPDATE p1 SET v = 'unseen' WHERE id = 7", "ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (1000)")
    assert found(untold, "p") == [{"id": "7"}]
    untold.source("UPDATE p SET v = 'seen' WHERE id = 7")
    assert run(untold, "--changed")["verdict"] == "PASS"
    untold.rogue("ALTER TABLE p DETACH PARTITION p2; UPDATE p2 SET v = 'rogue' WHERE id = 1007; ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (1000) TO (2000)")
    assert found(untold, "p") == [{"id": "1007"}]
    untold.rogue("UPDATE p SET v = 'p1007' WHERE id = 1007")


def test_column_that_was_made_anew_on_the_target(untold):
    run(untold)
    untold.target("ALTER TABLE b DROP COLUMN v", "ALTER TABLE b ADD COLUMN v text")  # nothing is rewritten
    assert len(found(untold, "b")) == 100
    untold.rogue("UPDATE b SET v = 'b'")


def test_publication_that_left_something_out(untold):
    """For a while, behind capture's back."""
    run(untold)
    publication = f"crossfade_{untold.name}"
    untold.admin(f"ALTER PUBLICATION {publication} SET (publish = 'insert')")
    untold.source("UPDATE a SET v = 'unseen' WHERE id = 7")
    untold.admin(f"ALTER PUBLICATION {publication} SET (publish = 'insert, update, delete, truncate')")
    report = run(untold, "--changed", code=1)
    assert [d["key"] for d in tables(report)["a"]["differences"]] == [{"id": "7"}] and report["scope"] == "full"
    untold.source("UPDATE a SET v = 'seen' WHERE id = 7")


def test_bound_under_another_collation(untold):
    """A part that was proven below a key is another part when keys sort otherwise: by ICU, "c" comes before "M"."""
    run(untold)
    untold.target("UPDATE crossfade.compared SET whole = false, upper = '{M}', rows = 12 WHERE table_name = 'c'")
    untold.rogue("UPDATE c SET v = 'rogue' WHERE t = 'c'")
    for change in (untold.source, untold.target):
        change('ALTER TABLE c ALTER t TYPE text COLLATE "en-x-icu"')
    assert found(untold, "c") == [{"t": "c"}]
    untold.rogue("UPDATE c SET v = 'c' WHERE t = 'c'")


def test_journal_has_lost_records(servers):
    """Retention took what changed since: known by the journal, and the tables are read whole."""
    folder, source, target = servers
    with chain(folder, source, target, TABLES, more={"journal": {"keep": "0s"}}) as s:
        run(s)

        rounds = []

        def is_trimmed():
            """Of the records since the comparison, too: there are fewer than have come since."""
            s.source("UPDATE a SET v = 'x' WHERE id = 1", "UPDATE b SET v = 'x' WHERE id = 1")
            s.wait()
            rounds.append(1)
            streams = [json.loads(line) for line in s.pipeline.run("journal", "list", "--json").stdout.splitlines()]
            return all(st["records"] < len(rounds) for st in streams if st["stream"].endswith((".public.a", ".public.b")))
        wait_until(is_trimmed, 120, "the journal has freed what was applied")
        report = run(s, "--changed")
        assert built(report)["a"][0] == "whole" and built(report)["b"][0] == "whole" and report["verdict"] == "PASS"
        assert any("no longer hold" in n or "journal" in n for n in tables(report)["a"]["notes"]), tables(report)["a"]["notes"]
