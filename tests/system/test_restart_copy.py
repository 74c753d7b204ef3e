"""A copy that is interrupted starts over and is still right: what the first try left and the second does not have is gone."""

import random
import signal

import pytest

from rig import Load, Pipeline, Postgres, Workdir, check_ledger, wait_until
from rig.load import load_simshop
from rig.oracle import assert_equal
from rig.postgres import copy_schema
from rig.scenario import count, scenario, seed

# With a limit on rows a second each window takes one range: the copy has many fences, and is cut off between two of them.
ROWS = "CREATE TABLE big (id int PRIMARY KEY, v text); CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL; CREATE TABLE last (id int PRIMARY KEY);" \
       "INSERT INTO big SELECT i, repeat(md5(i::text), 250) FROM generate_series(1, 12000) i; INSERT INTO bag SELECT i % 100, 'x' FROM generate_series(1, 5000) i; INSERT INTO last VALUES (1)"
HALF = "capture.committed:6"  # the begin, and five ranges of 500 rows


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("copy") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def half_copied(s):
    """Waits until some rows of the first try are committed on the target."""
    def rows():
        assert s.apply.running, s.apply.log_tail()
        return s.target("SELECT count(*) FROM big")[0][0]
    assert wait_until(rows, 60, "rows of the copy arrive on the target") < 12000
    assert not s.position()["complete"]


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("victim", ["capture", "both", "source"])
def test_copy_is_cut_off_and_rows_go(servers, victim):
    folder, source, target = servers
    with scenario(folder, source, target, ROWS, more={"capture": {"snapshot_workers": 1, "snapshot_chunk_rows": 500, "max_rows_per_second": 20000}, "apply": {"batch_max_changes": 1000}}) as s:
        s.capture.start(failpoint=HALF + (":stop" if victim == "source" else ":kill"))
        s.apply.start()
        half_copied(s)
        if victim == "source":
            wait_until(lambda: is_stopped(s.capture.pid), 60, "capture stands at its failpoint")
            source.kill9()
            source.start()
        else:
            s.capture.assert_exit(-signal.SIGKILL)
        if victim == "both":
            s.apply.kill9()
        # Deleted before the second try begins: must be gone.
        s.source("DELETE FROM big WHERE id % 2 = 0", "UPDATE big SET id = id + 1000000 WHERE id % 5 = 0", "DELETE FROM bag WHERE a < 50", "TRUNCATE last")
        if victim == "source":
            s.capture.signal(signal.SIGCONT)
        else:
            s.capture.start()
        if victim == "both":
            s.apply.start()
        s.wait_complete(120)
        assert s.position()["attempt"] == 1 and "snapshot_resume" in s.capture.log_text()  # it went on
        s.assert_equal()
        s.source("INSERT INTO last VALUES (5)", "UPDATE big SET v = 'after' WHERE id < 100")
        s.assert_equal()


def test_many_cut_off_copies_under_load(servers):
    """SimShop with traffic; capture is killed again and again before its copy is complete, then left alone."""
    folder, source, target = servers
    rng = random.Random(seed())
    shop, copy = source.create_db("shop"), target.create_db("shop")
    load_simshop(shop)
    copy_schema(shop, copy)
    with Pipeline(folder, shop, copy, more={"capture": {"heartbeat_interval_ms": 500, "snapshot_chunk_rows": 2000}}) as p, Load(shop, folder, clients=2, rate=100, seed=rng.random()) as load:
        p.apply.start()
        for _ in range(count(6, 40)):
            p.capture.start()
            goal = rng.randrange(1, 60000)

            def far_enough():
                status = p.capture.status() or {}
                return status.get("complete") or (status.get("snapshot") or {}).get("rows", 0) >= goal
            wait_until(far_enough, 60, "the copy goes on", interval=0.01)
            p.capture.kill9()
            if rng.random() < 0.3:
                p.apply.kill9()
                p.apply.start()
            load.wait_acked(20)
        p.capture.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        load.wait_acked(100)
        load.stop()
        p.wait_caught_up()
    assert_equal(shop, copy)
    ledger = check_ledger(copy, load.acked, load.unknown, load.run_id)
    assert not ledger.missing and not ledger.unexpected and not ledger.repeated


def test_target_rows_from_before_the_first_copy_are_refused(servers):
    folder, source, target = servers
    with scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)") as s:
        s.target("INSERT INTO t VALUES (77)")
        s.start(wait=False)
        s.apply.assert_exit(5, 30)
        assert "public.t" in s.apply.log_tail(3)
        assert s.target("SELECT * FROM t") == [(77,)]
        s.pipeline.settings["apply"]["on_nonempty"] = "truncate"
        s.pipeline.write()
        s.apply.start()
        s.wait_complete()
        s.assert_equal()
