"""compare run --changed and --resume against MariaDB: the scenarios of test_compare_changed.py and test_compare_resume.py."""

import signal

import pytest

from rig import Postgres, Workdir, chains
from rig.chains import BIG, KEYS, LOAD, TABLES, built, chain, keys_told, run, tables
from rig.mariadb import MariaDB


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("compare-changed-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="s", scope="module")
def fixture_s(servers):
    with chain(*servers, TABLES + LOAD) as s:
        yield s


@pytest.fixture(name="slow", scope="module")
def fixture_slow(servers):
    with chain(*servers, BIG) as s:
        yield s


def test_reads_what_changed(s):
    chains.reads_what_changed(s)


def test_under_load(s):
    chains.under_load(s)


def test_what_a_changed_run_does_not_see(s):
    chains.not_seen(s)


def test_read_whole_when_in_doubt(s):
    chains.whole_when_in_doubt(s)


def test_keys_of_all_kinds(servers):
    """Each type is found by its key, under whatever collation; what cannot be is read whole. One row of each is changed, one deleted, one lost on the target."""
    with chain(*servers, KEYS) as s:
        names = sorted(tables(run(s)))
        assert len(names) == 9
        s.source(*(f"UPDATE {t} SET v = -v WHERE v IN (7, 8)" for t in names), *(f"DELETE FROM {t} WHERE v = 9" for t in names))
        report = run(s, "--changed")
        assert built(report) == {t: ("whole", 0, 299) if t == "k_float" else ("changed", 3, 2) for t in names}
        assert any("no row of the target can be looked up" in n for n in tables(report)["k_float"]["notes"])
        s.source(*(f"UPDATE {t} SET v = v * 2 WHERE v < 0" for t in names))
        s.wait()
        s.rogue(*(f"DELETE FROM {t} WHERE v = -16" for t in names), "UPDATE k_pad SET k = 'Ä7x ' WHERE v = -14")  # which its collation takes for the same
        report = run(s, "--changed", code=1)
        assert {t: sorted(d["kind"] for d in row["differences"]) for t, row in tables(report).items()} == {
            t: ["missing", "missing"] if t == "k_pad" else ["missing"] for t in names}, keys_told(report)


def test_column_that_was_made_anew_on_the_target(s):
    """The definition's time tells; as long as it is too young to tell the next time, nothing is built on it."""
    run(s)
    s.target("ALTER TABLE still DROP COLUMN v", "ALTER TABLE still ADD COLUMN v longtext")
    s.settle()
    report = run(s, "--changed", code=1)
    assert built(report)["still"] == ("whole", 0, 2000) and built(report)["l"][0] == "changed"
    s.rogue("UPDATE still SET v = 's'")
    run(s, "--changed")


def test_role_that_may_keep_nothing(s):
    """Without the rights on crossfade_compared all is read, as before there was such a table."""
    user = f"cmp_{s.name}"
    run(s)
    s.target(f"REVOKE UPDATE ON {s.name}.crossfade_compared FROM '{user}'@'%'")
    try:
        report = run(s, "--changed")
        assert report["scope"] == "full" and all(t["built_on"] is None for t in tables(report).values())
    finally:
        s.target(f"GRANT UPDATE ON {s.name}.crossfade_compared TO '{user}'@'%'")
    assert run(s, "--changed")["scope"] == "changed"


def test_goes_on_where_it_was_stopped(slow):
    chains.goes_on_where_it_was_stopped(slow, signal.SIGKILL)


def test_what_does_not_count_gives_way(slow):
    chains.what_does_not_count_gives_way(slow)


def test_difference_that_nobody_was_told_of(slow):
    chains.difference_that_nobody_was_told_of(slow)


def test_snapshots_do_not_grow_old(slow):
    chains.snapshots_do_not_grow_old(slow)


def test_watch_keeps_to_what_changed(slow):
    """The window's level "changed": the first run reads all, the next ones what the source has changed, and find it."""
    def watch(code=0):
        done = slow.pipeline.run("compare", "watch", "--once", timeout=300)
        assert done.returncode == code, done.stderr[-3000:]
        return [(scope, verdict) for scope, verdict in slow.target("SELECT scope, verdict FROM crossfade_verdict ORDER BY id DESC LIMIT 1")][0]

    chains.forget(slow)
    slow.pipeline.settings["compare"]["watch"] = {"changed": "1h", "counts": "0s", "digests": "0s", "full": "0s"}
    chains.set_rate(slow, 0)
    assert watch() == ("full", "PASS")
    slow.source("UPDATE big SET v = v || '-' WHERE id < 10")
    assert watch() == ("changed", "PASS")
    slow.source("UPDATE big SET v = v || '-' WHERE id = 4")
    slow.wait()
    slow.rogue("UPDATE big SET v = 'rogue' WHERE id = 4")
    assert watch(code=1) == ("changed", "FAIL")
