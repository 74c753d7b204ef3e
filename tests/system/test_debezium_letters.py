"""Dead letters with source.debezium: records that the target refuses are held whole, and go in with a retry."""

import json

import pytest

from rig import Postgres, Workdir
from rig.foreign import run_sql
from rig.kafka import Kafka
from test_debezium_records import foreign, row

NARROW = "ALTER TABLE t ALTER v TYPE varchar(6)"
WIDEN = "ALTER TABLE t ALTER v TYPE text"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dbzdlq") as folder, Postgres(folder, "target") as target, Kafka(folder) as kafka:
        yield folder, target, kafka


def narrow(servers, name, **more):
    """Apply that holds what it cannot write; see NARROW."""
    f, topics = foreign(servers, name, **more)
    f.settings["apply"]["on_row_error"] = "dead_letter"
    with open(f.config, "w", encoding="utf-8") as config:
        json.dump(f.settings, config)
    return f, topics


def letters(f, state="held"):
    return f.rows("SELECT id, chain, op, key_shown, behind, sqlstate FROM crossfade.dead_letter WHERE state = %s ORDER BY id", state)


def dlq(f, *words, code=0):
    done = f.run("apply", "dlq", *words, *(() if words[0] in ("list", "show") else ("--timeout", "50")))
    assert done.returncode == code, f"{words}: {done.returncode} {done.stdout} {done.stderr}"
    return done.stdout


def moved(topics, old, after, commit, lsn, **places):
    """A key change, in two partitions."""
    for key, other, name in ((old["id"], after["id"], "newkey"), (after["id"], old["id"], "oldkey")):
        headers = [(f"__debezium.{name}", json.dumps({"id": other}).encode())]
        if name == "newkey":
            topics.change("d", None, commit, lsn, before=old, headers=headers, partition=0, **places)
        else:
            topics.change("c", after, commit, lsn, headers=headers, partition=1, **places)
        assert key


def test_what_the_target_refuses_is_held(servers):
    """With what comes behind it: a row of an incremental snapshot (which tells an earlier place), a key change into another partition."""
    f, topics = narrow(servers, "held", transactions=False, partitions=2)
    gone = "__debezium_unavailable_value"
    with f:
        topics.change("r", row(1, "snap"), None, 100, snapshot="last")
        f.apply.start()
        f.wait_row("SELECT count(*) = 1 FROM t")
        run_sql(f.url, NARROW)
        topics.change("c", row(2, "far too long", "kept"), 100, 110)
        topics.change("c", row(3, "short"), 120, 130)
        f.wait_row("SELECT count(*) = 1 FROM t WHERE id = 3")
        assert [one[2:] for one in letters(f)] == [("c", "id=2", False, "22001")]
        topics.change("u", row(2, "longer than that", gone), 140, 150)
        topics.change("r", row(2, "read again", "read"), None, 50, snapshot="incremental")
        topics.change("u", row(2, "and changed once more", gone), 160, 170)
        moved(topics, row(2, "and changed once more"), row(22, "has another key", gone), 180, 190)
        topics.change("u", row(3, "later"), 200, 210)
        f.wait_row("SELECT v = 'later' FROM t WHERE id = 3")
        f.wait_row("SELECT count(*) = 6 FROM crossfade.dead_letter")
        held = letters(f)
        assert len({one[1] for one in held}) == 1 and [one[4] for one in held] == [False] + [True] * 5, held
        assert f.rows("SELECT id FROM t ORDER BY id") == [(1,), (3,)]
        assert f.apply.wait_for(lambda status: status["dead_letters"] == 6, 60, "says how many are held")

        listed = [json.loads(line) for line in dlq(f, "list", "--json").splitlines()]
        assert "character varying(6)" in listed[0]["message"] and listed[0]["topic"] == topics.topic and (listed[0]["partition"], listed[0]["offset"]) == (0, 1)
        shown = json.loads(dlq(f, "show", str(held[0][0]), "--json"))["record"]
        assert shown["value"]["after"] == row(2, "far too long", "kept") and shown["key"] == {"id": 2} and shown["value"]["source"]["lsn"] == 110

        dlq(f, "retry", str(held[0][0]), code=1)
        assert [one[0] for one in letters(f)] == [one[0] for one in held]
        f.apply.kill9()
        f.apply.start()
        run_sql(f.url, WIDEN)
        dlq(f, "retry", str(held[-1][0]))
        assert letters(f) == [] and f.rows("SELECT id, v, big FROM t ORDER BY id") == [(1, "snap", None), (3, "later", None), (22, "has another key", "read")]

        # the place in the topics is what it was
        f.apply.kill9()
        f.apply.start()
        topics.change("u", row(22, "not parked", gone), 220, 230, partition=1)
        f.wait_row("SELECT v = 'not parked' AND big = 'read' FROM t WHERE id = 22")
        assert f.rows("SELECT count(*) FROM t") == [(3,)]
        assert f.apply.terminate() == 0, f.apply.log_tail()


def test_whole_transactions_and_discarded_ones(servers):
    """What else is in the transaction goes on; a TRUNCATE makes letters void; a person gives one up."""
    f, topics = narrow(servers, "whole")
    with f:
        run_sql(f.url, NARROW)
        topics.change("r", row(1, "snap"), None, 100, snapshot="last")
        topics.change("c", row(2, "far too long"), 100, 110, 7, 1)
        topics.change("u", row(1, "fine"), 100, 120, 7, 2)
        topics.end(7, 130, 2)
        f.apply.start()
        f.wait_row("SELECT v = 'fine' FROM t WHERE id = 1")
        assert [one[3] for one in letters(f)] == ["id=2"]
        dlq(f, "discard", "--all", "--reason", "not wanted")
        assert letters(f) == [] and len(letters(f, "discarded")) == 1
        topics.change("u", row(2, "short"), 130, 140, 8, 1)
        topics.end(8, 150, 1)
        f.wait_row("SELECT v = 'short' FROM t WHERE id = 2")
        topics.change("c", row(3, "far too long"), 150, 160, 9, 1)
        topics.change("u", row(2, "again"), 150, 165, 9, 2)
        topics.end(9, 170, 2)
        f.wait_row("SELECT v = 'again' FROM t WHERE id = 2")
        assert [one[3] for one in letters(f)] == ["id=3"]
        topics.change("t", None, 170, 180, 10, 1)
        topics.change("c", row(4, "after"), 170, 190, 10, 2)
        topics.end(10, 200, 2)
        f.wait_row("SELECT v = 'after' FROM t WHERE id = 4")
        assert letters(f) == [] and len(letters(f, "superseded")) == 1 and f.rows("SELECT id FROM t") == [(4,)]
        assert f.apply.terminate() == 0, f.apply.log_tail()
