"""Differences of every kind, planted on either kind of target while the source is written to: all of them are told, by their keys and columns, and no other."""

import contextlib
import random

import pytest

from rig import Postgres, Workdir, comparing, planting
from rig.dialects import into_new_server
from rig.scenario import count, seed
from rig.writer import Writer

LEAST = count(80, 1000)  # differences for each kind of target
AT_ONCE = (1, 1, 2, 10, 40)
SETTINGS = {"capture": {"heartbeat_interval_ms": 500}, "compare": {"chunk_rows": 100, "deadline_ms": 300000}}


@pytest.fixture(name="source", scope="module")
def fixture_source():
    with Workdir("planted") as folder, Postgres(folder, "source") as source:
        yield folder, source


@contextlib.contextmanager
def pipeline(folder, source, dialect, name, rnd):
    """With its copy done, and the target as a Planter has it."""
    more = dict(SETTINGS, types={f"public.{t.name}.{c}": planting.DECIDED[kind] for t in planting.TABLES.values() for c, kind in t.columns.items() if kind in planting.DECIDED}) if dialect == "mariadb" else SETTINGS
    with into_new_server(folder, source, dialect, name, planting.SCHEMA, more, fill=lambda url: planting.fill(url, rnd)) as (p, server):
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 300, "the copy is complete")
        with contextlib.closing(planting.MariaDB(server, name) if dialect == "mariadb" else planting.Postgres(p.target_url)) as side:
            yield p, planting.Planter(side, rnd)


def writes(n):
    yield f"INSERT INTO live VALUES ({n}, 'v{n}') ON CONFLICT (id) DO UPDATE SET v = 'again'; UPDATE live SET v = v || '.' WHERE id % 7 = {n % 7} AND id > {n} - 50; DELETE FROM live WHERE id < {n} - 200"


@pytest.mark.parametrize("dialect", ["postgres", "mariadb"])
def test_every_planted_difference_is_told(source, dialect):
    folder, server = source
    number = seed()
    rnd = random.Random(f"{number} {dialect}")
    with pipeline(folder, server, dialect, f"planted_{dialect}", rnd) as (p, planter), Writer(p.source_url, writes, pause=0.01) as writer:
        assert comparing.compare(p)["verdict"] == "PASS"
        found, rounds = 0, 0
        while found < LEAST:
            writer.wait_rounds(2)
            if rounds:
                planter.plant(rnd.choice(AT_ONCE))
            else:
                planter.plant_in_every_type()
            expected = planter.expected()
            assert rounds or {c for table, _, _, columns in expected for c in columns if table == "typed"} == set(planting.TABLES["typed"].values)
            if expected:
                report = comparing.compare(p, *(["--level", "digests"] if rounds % 2 else []), code=1)
                told = planting.told(report)
                assert told == expected, f"seed {number}, round {rounds}\nnot told: {sorted(map(str, expected - told))}\ninvented: {sorted(map(str, told - expected))}"
                assert report["summary"]["differences"] == len(expected) and not any(t["more_differences"] for t in report["tables"])
                assert {t["table"]: t["verdict"] for t in report["tables"]} == {t: "FAIL" if t in {e[0] for e in expected} else "PASS" for t in [*planting.TABLES, "live"]}
                found, rounds = found + len(expected), rounds + 1
            planter.restore()
        assert comparing.compare(p)["verdict"] == "PASS"
        print(f"{dialect}: seed {number}: {found} differences in {rounds} comparisons, each told, none invented; {dict(planter.did)}")
        p.wait_caught_up(300)
