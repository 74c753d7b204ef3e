"""The judge of journals judges: a journal that is right passes, and each way of being wrong is found."""

import copy

import pytest

from rig import Postgres, Workdir
from rig.journal import NEW_KEY, OLD_KEY, UNAVAILABLE, Record, assert_journal

T = "shop.public.t"
BAG = "shop.public.bag"


@pytest.fixture(name="url", scope="module")
def fixture_url():
    with Workdir("judge") as folder, Postgres(folder, "source") as pg:
        url = pg.create_db("shop")
        pg.sql("CREATE TABLE t (id int PRIMARY KEY, v text, at date, m numeric); CREATE TABLE bag (a int); ALTER TABLE bag REPLICA IDENTITY FULL;"
               "INSERT INTO t VALUES (1, 'one', '1970-01-03', 1.5), (5, 'big', NULL, NULL); INSERT INTO bag VALUES (1), (1)", db="shop")
        yield url


def envelope(op, before, after, tx=None, order=None):
    return {"op": op, "before": before, "after": after, "source": {"lsn": 992}, "transaction": {"id": tx, "total_order": order} if tx else None}


def row(key, v, at=None):
    return {"id": key, "v": v, "at": at, "m": "x"}


@pytest.fixture(name="journal")
def fixture_journal():
    t = [({"id": 9}, envelope("r", None, row(9, "of the first try")), {}), ({"id": 1}, envelope("r", None, row(1, "old", 2)), {}), ({"id": 2}, envelope("r", None, row(2, "big")), {}),
         ({"id": 1}, envelope("u", None, row(1, "one", 2), "7:1000", 1), {}), ({"id": 2}, envelope("d", row(2, None), None, "7:1000", 2), {NEW_KEY: b"5"}), ({"id": 2}, None, {}),
         ({"id": 5}, envelope("c", None, row(5, UNAVAILABLE), "7:1000", 3), {OLD_KEY: b"2"}), ({"id": 6}, envelope("c", None, row(6, "x"), "8:1010", 1), {}),
         ({"id": 6}, envelope("d", row(6, None), None, "8:1010", 3), {}), ({"id": 6}, None, {})]
    bag = [(None, envelope("r", None, {"a": 1}), {}), (None, envelope("r", None, {"a": 2}), {}), (None, envelope("u", {"a": 2}, {"a": 1}, "8:1010", 2), {})]
    topics = {name: [Record(name, 0, i, *r) for i, r in enumerate(rows)] for name, rows in ((T, t), (BAG, bag))}
    fences = [(1, "0/3E0", []), (1, "0/3E0", [(T, 0, 1)]), (2, "0/3E0", []), (2, "0/3E0", [(T, 1, 3), (BAG, 0, 2)]), (2, "0/3E9", [(T, 3, 7)]), (2, "0/3F3", [(T, 7, 10), (BAG, 2, 3)])]
    return topics, [{"id": i, "attempt": attempt, "complete": i >= 5, "lsn": lsn, "positions": [{"stream": s, "partition": 0, "first_offset": a, "next_offset": b} for s, a, b in ranges]}
                    for i, (attempt, lsn, ranges) in enumerate(fences, 1)]


def test_right_one_passes(journal, url):
    assert_journal(*journal, url, "shop")


def twice(topics, fences):
    last = topics[BAG][-1]
    topics[BAG].append(last._replace(offset=3))
    fences[-1]["positions"][1]["next_offset"] = 4


def missing(topics, _):
    del topics[BAG][-1]


def outside(topics, _):
    topics[BAG].append(topics[BAG][-1]._replace(offset=3))


def overlapping(_, fences):
    fences[4]["positions"][0]["next_offset"] = 8


def other_value(topics, _):
    topics[T][3].value["after"]["v"] = "two"


def other_date(topics, _):
    topics[T][3].value["after"]["at"] = 3


def attempts_mixed(_, fences):
    fences[1]["attempt"] = 2


def lost_move(topics, _):
    topics[T][6].headers.clear()


def same_lsn(topics, _):
    topics[T][7].value["transaction"]["id"] = "8:1000"


def gap_in_ids(_, fences):
    fences[3]["id"] = 40


def backwards(_, fences):
    fences[4]["lsn"] = "0/1"


@pytest.mark.parametrize("spoil", [twice, missing, outside, overlapping, other_value, other_date, attempts_mixed, lost_move, same_lsn, gap_in_ids, backwards])
def test_wrong_one_is_found(journal, url, spoil):
    topics, fences = copy.deepcopy(journal)
    spoil(topics, fences)
    with pytest.raises(AssertionError):
        assert_journal(topics, fences, url, "shop")
