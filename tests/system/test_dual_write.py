"""Dual write: the application writes both sides; what both have changed in different ways is found, decided by the rule, and kept."""

import json
import random

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.procs import halts
from rig.scenario import count, scenario, seed

T = ("CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2), at timestamptz DEFAULT '2026-01-01Z');"
     "INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 200) i")
UNTIL = "2999-01-01T00:00Z"


def dual(policy, **more):
    return {"apply": {"conflicts": {"public.t": policy}, "dual_write_until": UNTIL, **more}}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("dual-write") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def begin(s):
    """Streams, and the target's rows are taken up as what apply knows."""
    s.start()
    s.wait()
    wait_until(lambda: s.target("SELECT count(*) FROM crossfade.dual_write") == [(1,)], 60, "the table is taken up")
    return s


def conflicts(s, columns="kind, decision, key ->> 'id'"):
    return s.target(f"SELECT {columns} FROM crossfade.conflict ORDER BY (key ->> 'id')::int, id")


def rows(s, where, side=None):
    return (side or s.target)(f"SELECT id, v FROM t WHERE {where} ORDER BY id")


def both(s, *statements):
    s.source(*statements)
    s.target(*statements)


# What becomes of each kind of conflict: (source wins, target wins) leaves …
SOURCE = {1: "source", 2: None, 3: "source", 300: "source"}
TARGET = {1: "target", 2: "target", 3: None, 300: "target"}


def clash(s):
    """An update on both sides, a row deleted on the source alone, one deleted on the target alone, an insert on both: apply sees them when all are done."""
    assert s.pipeline.run("apply", "pause").returncode == 0
    s.target("UPDATE t SET v = 'target' WHERE id IN (1, 2)", "DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (300, 'target', 0)")
    s.source("UPDATE t SET v = 'source' WHERE id IN (1, 3)", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (300, 'source', 0)", "UPDATE t SET v = 'plain' WHERE id = 4")
    assert s.pipeline.run("apply", "resume").returncode == 0
    s.wait()


@pytest.mark.parametrize("policy", ["source_wins", "target_wins"])
def test_each_kind_of_conflict(servers, policy):
    with scenario(*servers, T, more=dual(policy)) as s:
        begin(s)
        clash(s)
        side = policy.split("_")[0]
        expected = SOURCE if side == "source" else TARGET
        assert dict(rows(s, "id IN (1, 2, 3, 300)")) == {id: v for id, v in expected.items() if v}
        assert rows(s, "id = 4") == [(4, "plain")]
        assert conflicts(s) == [("update", side, "1"), ("source_deleted", side, "2"), ("target_deleted", side, "3"), ("insert", side, "300")]
        assert conflicts(s, "source_row ->> 'v', target_row ->> 'v'") == [("source", "target"), (None, "target"), ("source", None), ("source", "target")]
        assert s.apply.status()[f"conflicts_{side}"] == 4
        assert f'crossfade_conflicts_{side}_total{{role="apply"' in s.apply.get("/metrics")[1]
        assert "written on both sides" in s.pipeline.run("status").stdout

        # the other side's own write comes late: no conflict any more, and none when that row is changed again
        if side == "target":
            s.target("UPDATE t SET v = 'again' WHERE id = 1")
        both(s, "UPDATE t SET v = 'again' WHERE id = 1")
        s.wait()
        s.source("UPDATE t SET v = 'alone' WHERE id = 1")
        s.wait()
        assert len(conflicts(s)) == 4 and rows(s, "id = 1") == [(1, "alone")]

        listed = [json.loads(line) for line in s.pipeline.run("apply", "conflicts", "list", "--all", "--json").stdout.splitlines()]
        assert sorted(one["key"]["id"] for one in listed) == [1, 2, 3, 300]
        shown = json.loads(s.pipeline.run("apply", "conflicts", "show", str(listed[0]["id"]), "--json").stdout)
        assert shown["source_row"]["v"] == "source" and shown["target_row"]["v"] == "target"
        compared = s.pipeline.run("compare", "run", "--json").stdout
        assert "written on both sides since" in compared
