"""compare run --resume and compare.max_snapshot_age: comparisons that are ended before their end, and what they have proven till then."""

import signal

import pytest

from rig import Postgres, Workdir, chains
from rig.chains import BIG, chain


@pytest.fixture(name="s", scope="module")
def fixture_s():
    with Workdir("compare-resume") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, chain(folder, source, target, BIG) as s:
        yield s


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_goes_on_where_it_was_stopped(s, end):
    chains.goes_on_where_it_was_stopped(s, end)


def test_what_does_not_count_gives_way(s):
    chains.what_does_not_count_gives_way(s)


def test_difference_that_nobody_was_told_of(s):
    chains.difference_that_nobody_was_told_of(s)


def test_snapshots_do_not_grow_old(s):
    chains.snapshots_do_not_grow_old(s)
