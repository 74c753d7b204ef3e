"""What several writers leave prepared, met in every way: the target is restarted before it is settled, others have it in their hands or settle it
first, the session that left it settles it, and a server has no room for it."""

import concurrent.futures
import contextlib
import signal
import time

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.dialects import Into
from rig.mariadb import BINLOG
from rig.scenario import scenario
from rig.wait import wait_until

DDL = "CREATE TABLE t (id int PRIMARY KEY, n int)"
MORE = {"apply": {"writers": 3, "writer_rows": 1}}
SERVERS = {"postgresql": {"max_prepared_transactions": 10}, "mariadb": None, "mariadb-binlog": BINLOG}


@pytest.fixture(name="x", scope="module", params=sorted(SERVERS))
def fixture_x(request):
    with Workdir("prepared") as folder, Into(folder, request.param.split("-", maxsplit=1)[0], "left", DDL, MORE, SERVERS[request.param]) as x:
        x.source("INSERT INTO t SELECT i, 0 FROM generate_series(1, 300) i")
        x.capture.start()
        x.apply.start()
        x.apply.wait_for(lambda status: status.get("complete"), 90, "the copy is complete")
        yield x


def stopped(role):
    """It has come to its failpoint."""
    with open(f"/proc/{role.pid}/stat", encoding="utf-8") as f:
        return f.read().rpartition(")")[2].split()[0] == "T"


def stop_at(x, point, times=1):
    """apply has applied all, then stops in a batch of all rows."""
    if x.apply.running:
        x.apply.kill9()
    x.apply.start(failpoint=f"{point}:{times}:stop")
    x.source("UPDATE t SET n = n + 1")
    wait_until(lambda: stopped(x.apply), 60, f"apply stops at {point}")


def die_at(x, point):
    if x.apply.running:
        x.apply.kill9()
    x.apply.start(failpoint=point)
    x.source("UPDATE t SET n = n + 1")
    wait_until(lambda: x.apply.exit_code is not None, 60, f"apply is killed at {point}")
    assert x.apply.exit_code == -9 and len(x.prepared()) == 2, x.prepared()


def assert_whole(x):
    x.caught_up([x.apply])
    x.assert_equal(["t"])
    x.assert_settled()


def log_since(x, mark):
    return x.apply.log_text()[mark:]


@pytest.mark.parametrize("point, outcome", [("apply.writers_before_decision", "rolled_back"), ("apply.writers_decided", "committed")])
def test_the_target_is_killed_between_prepare_and_commit(x, point, outcome):
    stop_at(x, point)
    mark = len(x.apply.log_text())
    x.server.kill9()
    x.server.start()
    assert len(x.prepared()) == 2, "prepared transactions survive the server's end"
    x.apply.signal(signal.SIGCONT)
    assert_whole(x)
    assert log_since(x, mark).count(f"outcome={outcome}") == 2, x.apply.log_tail()


def writers_sessions(x):
    """Of the writers beside the first one, which are idle behind what they have prepared."""
    if x.dialect == "mariadb":
        return [int(row[0]) for row in x.target("SELECT IS_USED_LOCK(CONCAT('crossfade apply ', SHA1(CONCAT_WS('\\n', DATABASE(), 'left', '1/1')), ' ', k)) FROM "
                                                "(SELECT 1 AS k UNION SELECT 2) w")]
    return [int(row[0]) for row in x.target("SELECT pid FROM pg_stat_activity WHERE query LIKE '%PREPARE TRANSACTION%' AND application_name LIKE 'crossfade apply%' AND datname = 'left'")]


def first_session(x):
    if x.dialect == "mariadb":
        return [int(x.target("SELECT IS_USED_LOCK(CONCAT('crossfade apply ', SHA1(CONCAT_WS('\\n', DATABASE(), 'left', '1/1'))))")[0][0])]
    return [int(row[0]) for row in x.target("SELECT pid FROM pg_stat_activity WHERE application_name = 'crossfade apply left' AND query NOT LIKE '%PREPARE TRANSACTION%'")]


def end_sessions(x, ids):
    for number in ids:
        if x.dialect == "mariadb":
            x.target(f"KILL {number}")
            wait_until(lambda n=number: not x.target(f"SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {n}"), 30, "the session is gone")
        else:
            x.target(f"SELECT pg_terminate_backend({number})")
            wait_until(lambda n=number: not x.target(f"SELECT 1 FROM pg_stat_activity WHERE pid = {n}"), 30, "the session is gone")


def test_a_session_settles_what_it_left_before_apply_ends(x):
    """Its writers' connections break behind the decision, and apply is told to stop: nobody comes after it."""
    stop_at(x, "apply.writers_decided")
    mark, ids = len(x.apply.log_text()), writers_sessions(x)
    assert len(ids) == 2, ids
    end_sessions(x, ids)
    x.apply.signal(signal.SIGTERM)
    x.apply.signal(signal.SIGCONT)
    x.apply.assert_exit(0, 60)
    log = log_since(x, mark)
    assert log.count("outcome=committed") == 2 and "session_opened" not in log, x.apply.log_tail()
    x.assert_settled()
    x.apply.start()
    assert_whole(x)


def test_what_a_session_cannot_settle_the_next_start_does(x):
    """All connections break behind the decision."""
    stop_at(x, "apply.writers_decided")
    mark = len(x.apply.log_text())
    end_sessions(x, writers_sessions(x) + first_session(x))
    x.apply.signal(signal.SIGTERM)
    x.apply.signal(signal.SIGCONT)
    x.apply.assert_exit(0, 60)
    assert "prepared_left" in log_since(x, mark), x.apply.log_tail()
    assert len(x.prepared()) == 2 and x.pending() == ["1/1"]
    x.apply.start()
    assert_whole(x)


def settle_by_hand(x, name):
    if x.dialect == "mariadb":
        x.target(f"XA COMMIT '{name[:40]}','{name[40:]}'")
    else:
        x.target(f"COMMIT PREPARED '{name}'")


def test_somebody_settles_what_apply_is_about_to_settle(x):
    """It is gone when apply comes to it: apply looks again."""
    die_at(x, "apply.writers_decided")
    mark = len(x.apply.log_text())
    x.apply.start(failpoint="apply.writers_recover:1:stop")
    wait_until(lambda: stopped(x.apply), 60, "apply has settled one of them")
    left = x.prepared()
    assert len(left) == 1, left
    settle_by_hand(x, left[0])
    x.apply.signal(signal.SIGCONT)
    assert_whole(x)
    log = log_since(x, mark)
    assert "session_lost" in log and "class=transient" in log and log.count("outcome=committed") == 1, x.apply.log_tail()


def test_another_session_holds_what_is_to_be_settled(x):
    if x.dialect == "mariadb":
        held_by_its_own_connection(x)
    else:
        held_by_one_that_waits_for_a_standby(x)


def held_by_its_own_connection(x):
    """MariaDB: as long as the connection lives that has prepared it, no other one may end it."""
    x.caught_up([x.apply])
    x.apply.kill9()
    name = x.target("SELECT SHA1(CONCAT_WS('\\n', DATABASE(), 'left', '1/1'))")[0][0]
    with contextlib.closing(x.server.connect(x.name)) as zombie:
        with zombie.cursor() as cursor:
            for statement in (f"XA START '{name}','zombie.1'", "UPDATE t SET n = -1 WHERE id = 7", f"XA END '{name}','zombie.1'", f"XA PREPARE '{name}','zombie.1'"):
                cursor.execute(statement)
        x.apply.start()
        x.apply.wait_for(lambda status: status.get("phase") == "retrying" and "zombie.1 of an earlier run" in (status.get("last_error") or ""), 60, "it waits for the zombie")
    x.source("UPDATE t SET n = n + 1")
    assert_whole(x)


def commit_and_wait(url, gid):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute(f"COMMIT PREPARED '{gid}'" if gid else "CREATE TABLE IF NOT EXISTS probe (); DROP TABLE probe")


def waits_for_standby(x):
    return [row[0] for row in x.target("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")]


def held_by_one_that_waits_for_a_standby(x):
    """PostgreSQL: a session that commits it waits for a standby that is none."""
    x.target("ALTER DATABASE \"left\" SET synchronous_commit = local")
    die_at(x, "apply.writers_decided")
    mark = len(x.apply.log_text())
    x.target("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    x.target("SELECT pg_reload_conf()")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        def until_it_waits(gid):
            done, until = pool.submit(commit_and_wait, x.target_url, gid), time.monotonic() + 60
            while not waits_for_standby(x):
                assert time.monotonic() < until, "no commit waits"
                if done.done():
                    done.result()
                    done = pool.submit(commit_and_wait, x.target_url, gid)
            return done

        def let_go():
            wait_until(lambda: [x.target(f"SELECT pg_cancel_backend({pid})") for pid in waits_for_standby(x)] == [], 60, "nobody waits any more")
        try:
            until_it_waits(None)  # the server takes a moment to know of its standby
            let_go()
            held = until_it_waits(x.prepared()[0])
            x.apply.start()
            x.apply.wait_for(lambda status: status.get("phase") == "retrying" and "busy" in (status.get("last_error") or ""), 60, "it is busy")
        finally:
            x.target("ALTER SYSTEM RESET synchronous_standby_names")
            x.target("SELECT pg_reload_conf()")
            let_go()
        held.result(60)
    x.target("ALTER DATABASE \"left\" RESET synchronous_commit")
    assert_whole(x)
    assert "class=transient" in log_since(x, mark), x.apply.log_tail()


# -- no room


def test_without_prepared_transactions_one_writer_writes_all():
    with Workdir("no-prepared") as folder, Postgres(folder, "source") as source, Postgres(folder, "target", settings={"max_prepared_transactions": 0}) as target:
        with scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY, n int)", more=MORE) as s:
            s.start()
            s.source("INSERT INTO t SELECT i, 0 FROM generate_series(1, 1000) i", "UPDATE t SET n = n + 1")
            s.assert_equal()
            assert "writers_alone" in s.apply.log_text() and "max_prepared_transactions is 0" in s.apply.log_text()
            assert "max_prepared_transactions" in s.pipeline.run("check").stdout


def test_too_few_prepared_transactions_are_refused_with_advice():
    """Three writers in two shards need four."""
    more = {"apply": {**MORE["apply"], "shard": "1/2"}}
    with Workdir("few-prepared") as folder, Postgres(folder, "source") as source, Postgres(folder, "target", settings={"max_prepared_transactions": 3}) as target:
        with scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY)", more=more) as s:
            s.capture.start()
            s.apply.start()
            s.apply.assert_exit(2, 60)
            assert "need max_prepared_transactions of at least 4 on the target, where it is 3" in s.apply.log_tail(), s.apply.log_tail()
            done = s.pipeline.run("check")
            assert done.returncode == 1 and "at least 4" in done.stdout, done.stdout
