"""The hard cases of the switch: clients that do not play along, a target that refuses, a disk that is full at the point of no return. Each ends as docs/OPERATIONS.md says."""

import contextlib
import os
import shutil
import signal

import psycopg
import pytest

from rig import Pgbouncer, Postgres, Workdir, wait_until
from rig.clients import SCHEMA, Clients, check
from rig.oracle import assert_equal
from rig.privileges import OWNER, as_role
from rig.procs import Role
from rig.scenario import scenario
from test_bad_input import tmpfs
from test_cutover_poolers import SETTINGS, Switch
from test_hostile_cutover import stopped

SEGMENT = 16 << 20


def url_of_owner(s):
    """Of the source, without a pooler in between."""
    return as_role(s.source_url, OWNER) if s.pipeline.roles else s.source_url


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("cutover-hard") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="switch")
def fixture_switch(servers):
    with switch_of(*servers) as switch:
        yield switch


@contextlib.contextmanager
def switch_of(folder, source, target):
    with scenario(folder, source, target, SCHEMA, more={"cutover": SETTINGS}) as made:
        with Pgbouncer.before(made, folder, settings={"query_wait_timeout": 600}) as pooler:
            made.start()
            switch = Switch(folder, made, [pooler])
            switch.compare()
            yield switch


def test_a_client_that_writes_to_the_source_all_the_time(switch):
    """Beside the pooler: it is refused from the freeze on; what was acknowledged to it before is on the target, and nothing later."""
    s = switch.s
    with Clients(switch.poolers[0].url("app", OWNER), switch.folder, clients=4, rate=100, name=f"{s.name}-pooled") as pooled, \
            Clients(url_of_owner(s), switch.folder, clients=4, rate=200, name=f"{s.name}-direct", first=100) as direct:
        for one in (pooled, direct):
            one.wait(100, s.source_url)
        assert switch.run("run", "--execute")["outcome"] == "done"
        wait_until(lambda: not direct.process.running, 60, "all clients beside the pooler are refused")
        pooled.wait(100, s.target_url)
        pooled.stop()
        direct.stop(failures=True)
    assert "crossfade" in direct.process.log_text(), direct.process.log_tail()
    check(s.target_url, pooled, direct)


def test_a_client_that_holds_a_transaction_open(switch):
    """Beside the pooler: it is ended after cutover.straggler_grace_ms, and its transaction was never acknowledged."""
    s = switch.s
    with psycopg.connect(url_of_owner(s)) as holder:
        holder.execute("UPDATE account SET moves = 77 WHERE id = 5")
        report = switch.run("run", "--execute")
        assert report["outcome"] == "done" and report["stragglers"], report
        with pytest.raises(psycopg.OperationalError):
            holder.commit()
    assert s.target("SELECT moves FROM account WHERE id = 5") == [(0,)]
    switch.assert_all("target")
    assert_equal(s.source_url, s.target_url)


@pytest.mark.parametrize("query, ends", [("SELECT pg_sleep(60)", "reads on"), ("UPDATE account SET moves = moves + 1 WHERE id = 5 AND pg_sleep(60) IS NOT NULL", "ended")])
def test_a_query_of_a_minute_beside_the_pooler(switch, query, ends):
    """One that reads is in nobody's way; one that writes is a straggler."""
    s = switch.s
    with contextlib.closing(psycopg.connect(url_of_owner(s), autocommit=True)) as connection:
        connection.pgconn.send_query(query.encode())
        wait_until(lambda: s.admin("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()") == [(1,)], 30, "it runs")
        report = switch.run("run", "--execute")
        assert report["outcome"] == "done" and bool(report["stragglers"]) == (ends == "ended"), report
        running = s.admin("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()")
        assert running == [(0,)] if ends == "ended" else [(1,)]
        s.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()")
    switch.assert_all("target")
    assert s.target("SELECT moves FROM account WHERE id = 5") == [(0,)]


def test_a_query_of_a_minute_through_the_pooler(switch):
    """A pause waits for it: longer than cutover.pooler_timeout_ms is too long. The query goes on, and all others with it."""
    switch.configure(pooler_timeout_ms=1000)
    s = switch.s
    with contextlib.closing(psycopg.connect(switch.poolers[0].url("app", OWNER), autocommit=True)) as connection:
        connection.pgconn.send_query(b"SELECT pg_sleep(60)")
        wait_until(lambda: s.admin("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()") == [(1,)], 30, "it runs")
        report = switch.run("run", "--execute", expected=11)
        assert "not paused after 1000 ms" in report["reason"], report
        switch.assert_all("source")
        s.admin("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()")
    assert switch.run("run", "--execute")["outcome"] == "done"
    switch.assert_all("target")


def test_a_target_that_is_gone_right_behind_the_decision(switch):
    """For a person (12): the poolers hold their clients; once it is back the same command ends what was begun, and no client has failed."""
    s = switch.s
    with Clients(switch.poolers[0].url("app", OWNER), switch.folder, clients=4, rate=100, name=f"{s.name}-clients") as clients:
        clients.wait(100, s.source_url)
        switch.at("cutover.switching", s.target_server.kill9, 12)
        assert s.admin("SELECT state FROM crossfade.decision") == [("switched",)]
        s.target_server.start()
        switch.run("abort", expected=10)
        assert switch.run("run", "--execute")["outcome"] == "done"
        switch.assert_all("target")
        clients.wait(100, s.target_url)
        clients.stop()
    check(s.target_url, clients)


def test_a_target_that_refuses_the_application_right_behind_the_decision(switch):
    """The switch is done; PgBouncer keeps its clients waiting, tries again every server_login_retry, and none of them has failed when the target takes them."""
    s, pooler = switch.s, switch.poolers[0]
    pooler.settings["server_login_retry"] = 1
    pooler.console("SET server_login_retry = 1")
    with open(pooler.ini, encoding="utf-8") as f:
        text = f.read()
    with open(pooler.ini, "w", encoding="utf-8") as f:  # RELOAD reads it again
        f.write(text.replace("[pgbouncer]\n", "[pgbouncer]\nserver_login_retry = 1\n"))
    switch.before = [switch.text(one) for one in switch.poolers]
    with Clients(pooler.url("app", OWNER), switch.folder, clients=4, rate=100, name=f"{s.name}-clients") as clients:
        clients.wait(100, s.source_url)
        switch.at("cutover.switching", lambda: s.target_server.sql(f"ALTER ROLE {OWNER} NOLOGIN"), 0)
        wait_until(lambda: "not permitted to log in" in pooler.log_tail(), 30, "the pooler is refused")
        s.target_server.sql(f"ALTER ROLE {OWNER} LOGIN")
        clients.wait(100, s.target_url)
        clients.stop()
    switch.assert_all("target")
    check(s.target_url, clients)


@contextlib.contextmanager
def small_wal(folder, victim):
    """Both servers, the WAL of one of them on a file system of its own."""
    settings = {"min_wal_size": "32MB", "max_wal_size": "64MB", "wal_recycle": "off", "restart_after_crash": "off"}
    servers = {side: Postgres(folder, side, settings=settings if side == victim else None) for side in ("source", "target")}
    chosen, place = servers[victim], os.path.join(str(folder), "wal")
    chosen.initdb()
    with tmpfs(place, "256m"):
        shutil.copytree(os.path.join(chosen.data, "pg_wal"), os.path.join(place, "pg_wal"))
        shutil.rmtree(os.path.join(chosen.data, "pg_wal"))
        os.symlink(os.path.join(place, "pg_wal"), os.path.join(chosen.data, "pg_wal"))
        chosen.as_server_user("true")
        stat = os.stat(chosen.data)
        for root, folders, files in os.walk(place):
            for path in (root, *(os.path.join(root, name) for name in (*folders, *files))):
                os.chown(path, stat.st_uid, stat.st_gid)
        os.chmod(os.path.join(place, "pg_wal"), 0o700)
        with servers["source"] as source, servers["target"] as target:
            yield source, target, place


def fill(server, place):
    """No room for another segment, and hardly any in this one: the next few hundred bytes of WAL stop the server."""
    with server.connect() as connection:
        connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")
        connection.execute("SELECT pg_logical_emit_message(false, 'ballast', '')")  # the new segment is there
        stat = os.statvfs(place)
        with open(os.path.join(place, "ballast"), "wb") as f:
            os.posix_fallocate(f.fileno(), 0, stat.f_bavail * stat.f_frsize)
        def left():
            return SEGMENT - int(connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0') %% %s", (SEGMENT,)).fetchone()[0])
        def put(payload):  # transactional: its commit has it written
            before = left()
            connection.execute("SELECT pg_logical_emit_message(true, 'ballast', repeat('x', %s))", (payload,))
            return before - left() - payload
        with contextlib.suppress(psycopg.OperationalError):  # should something else have filled it meanwhile
            while left() > 4000:
                put(left() * 9 // 10 - 2000)
            overhead = put(100)
            put(max(0, left() - overhead - 60))


@pytest.mark.parametrize("victim", ["source", "target"])
def test_a_disk_that_is_full_at_the_point_of_no_return(victim):
    """Whatever became of the decision's commit: with room again the same command finds it, and ends what it says. Nothing acknowledged is lost."""
    with Workdir("cutover-full-disk") as folder, small_wal(folder, victim) as (source, target, place):
        full = {"source": source, "target": target}[victim]
        with switch_of(folder, source, target) as switch:
            s = switch.s
            switch.configure(abort_timeout_ms=3000, pooler_hold_ms=500000, pause_budget_ms=300000)
            with Clients(switch.poolers[0].url("app", OWNER), switch.folder, clients=4, rate=100, name=f"{s.name}-clients") as clients:
                clients.wait(100, s.source_url)
                log = os.path.join(switch.folder, f"{s.name}-full.log")
                with Role("cutover run --execute", s.pipeline.config_of("cutover"), log) as process:
                    process.start(failpoint="cutover.decide:1:stop")
                    wait_until(lambda: not process.running or stopped(process.pid), 90, "it stands still before the decision")
                    assert process.running, process.log_tail()
                    fill(full, place)
                    process.signal(signal.SIGCONT)
                    code = process.wait(120)
                    assert code == 12, f"exit code {code}\n{process.log_tail(40)}"
                wait_until(lambda: not full.process.running, 60, "the server has stopped: No space left on device")
                os.unlink(os.path.join(place, "ballast"))
                full.start()
                decision = s.admin("SELECT state FROM crossfade.decision")
                if victim == "target":
                    assert decision == [("switched",)]
                done = s.pipeline.run("cutover", "run", "--execute", timeout=300)
                side = "target" if s.admin("SELECT state FROM crossfade.decision") == [("switched",)] else "source"
                assert done.returncode == (0 if side == "target" else 11), done.stdout + done.stderr
                switch.assert_all(side)
                clients.wait(100, s.target_url if side == "target" else s.source_url)
                clients.stop()
            check(s.target_url if side == "target" else s.source_url, clients)
