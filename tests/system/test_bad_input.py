"""Bad input and bad days: one clear line, the documented exit code, and nothing lost."""

import contextlib
import os
import subprocess

import pytest

from rig import Load, Pipeline, Postgres, Workdir, check_ledger, free_port, run_crossfade, wait_until
from rig.load import load_simshop
from rig.oracle import assert_equal
from rig.postgres import copy_schema
from rig.procs import Role, halts, lsn_value, retries
from rig.scenario import count, drop_database, scenario, seed

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("bad") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def check_says(pipeline, *words):
    done = pipeline.run("check")
    text = done.stdout + done.stderr
    assert done.returncode == 1, f"exit code {done.returncode}\n{text}"
    failures = [line for line in text.splitlines() if "FAIL" in line]
    for word in words:
        assert any(word in line for line in failures), f"no FAIL with '{word}' in\n{text}"


def test_check_finds_nothing_wrong(servers):
    with scenario(*servers, T) as s:
        done = s.pipeline.run("check")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "FAIL" not in done.stdout
        assert s.slots() == [] and s.source("SELECT count(*) FROM pg_publication") == [(0,)]  # it only looks


# -- configuration

@pytest.mark.parametrize("text,words", [
    ("pipeline: shop\nsource: { url: 'postgresql://a', tables: 'x\n", ["shop.yaml:"]),
    ("pipeline: shop\nsource:\n  ulr: postgresql://a/b\n", ["shop.yaml:3:", "ulr"]),
    ("pipeline: Shop\n", ["shop.yaml:1:", "Shop"]),
    ("pipeline: shop\ncapture: { snapshot_workers: many }\n", ["shop.yaml:2:", "snapshot_workers", "many"]),
    ("pipeline: shop\ncapture: { snapshot_workers: 5000 }\n", ["shop.yaml:2:", "5000", "64"]),
    ("pipeline: shop\njournal: { url: 'ftp://x' }\n", ["shop.yaml:2:", "kafka://"]),
    ("pipeline: shop\nsource: { url: 'postgresql://${NO_SUCH_VARIABLE_HERE}@x/y' }\n", ["shop.yaml:2:", "NO_SUCH_VARIABLE_HERE"]),
    ("pipeline: shop\npipeline: shop\n", ["shop.yaml:2:", "pipeline"]),
    ("- a\n- b\n", ["shop.yaml:1:"]),
    ("", ["pipeline"]),
])
def test_malformed_configuration(servers, text, words):
    folder = servers[0]
    path = os.path.join(folder, "shop.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    for command in (["capture"], ["apply"], ["check"], ["compare", "run"], ["cutover", "plan"]):
        done = run_crossfade(*command, config=path)
        assert done.returncode == 2, f"{command}: {done.returncode} {done.stderr}"
        assert all(word in done.stderr for word in words), done.stderr
        assert not done.stdout


def test_usage(servers):
    folder = servers[0]
    for words in (["no-such-command"], ["capture", "sideways"], ["status", "--no-such-flag"], ["-c", "/no/such/file.yaml", "check"], ["compare", "run", "--table"]):
        done = run_crossfade(*words)
        assert done.returncode == 2, f"{words}: {done.returncode} {done.stderr}"
        assert done.stderr.strip()
    assert run_crossfade("--help").returncode == 0
    assert "crossfade" in run_crossfade("--version").stdout
    assert os.listdir(folder)


def test_password_is_not_printed(servers):
    folder, source, _ = servers
    path = os.path.join(folder, "secret.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"pipeline: shop\nsource: {{ url: 'postgresql://nobody:sesame@127.0.0.1:{source.port}/nowhere' }}\ntarget: {{ url: 'postgresql://nobody:sesame@127.0.0.1:1/x' }}\n"
                f"journal: {{ url: 'lmdb:{folder}/secret-journal' }}\ncapture: {{ listen: '127.0.0.1:{free_port()}' }}\napply: {{ listen: '127.0.0.1:{free_port()}' }}\n")
    for command in (["check"], ["capture"], ["apply"], ["status"]):
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = run_crossfade(*command, config=path, timeout=3)
            assert done.returncode != 0
            assert "sesame" not in done.stdout + done.stderr


# -- tables

def test_table_without_key(servers):
    with scenario(*servers, T + "; CREATE TABLE bare (a int); INSERT INTO bare VALUES (1)") as s:
        check_says(s.pipeline, "public.bare")
        s.capture.start()
        halts(s.capture, 5, "public.bare", "REPLICA IDENTITY FULL")
        assert s.slots() == [] and s.source("SELECT count(*) FROM pg_publication") == [(0,)]
        s.source("UPDATE bare SET a = 2")  # the application is not disturbed
        s.source("ALTER TABLE bare REPLICA IDENTITY FULL")
        s.start()
        s.assert_equal()


def test_replica_identity_taken_away_while_streaming(servers):
    """Then PostgreSQL itself refuses the application's updates: that is the application's error, nothing is lost."""
    with scenario(*servers, T) as s:
        s.start()
        s.source("ALTER TABLE t REPLICA IDENTITY NOTHING")
        with pytest.raises(Exception, match="replica identity"):
            s.source("UPDATE t SET v = 'x' WHERE id = 1")
        s.source("INSERT INTO t VALUES (1000, 'still')", "ALTER TABLE t REPLICA IDENTITY DEFAULT", "UPDATE t SET v = 'x' WHERE id = 1")
        s.assert_equal()


def test_target_column_too_narrow(servers):
    with scenario(*servers, T, "CREATE TABLE t (id int PRIMARY KEY, v varchar(6))") as s:
        check_says(s.pipeline, "public.t")
        s.start(wait=False)
        halts(s.apply, 5, "public.t", "varchar(6)")
        assert s.target("SELECT * FROM t") == []
        s.target("ALTER TABLE t ALTER v TYPE text")
        s.apply.start()
        s.wait_complete()
        s.assert_equal()


def test_target_column_is_narrowed_while_streaming(servers):
    with scenario(*servers, T) as s:
        s.start()
        s.source("INSERT INTO t VALUES (200, 'fits')")
        s.wait()
        s.target("ALTER TABLE t ALTER v TYPE varchar(6)")
        s.source("INSERT INTO t VALUES (201, 'fits'); INSERT INTO t VALUES (202, 'does not fit'); UPDATE t SET v = 'x' WHERE id = 1")
        halts(s.apply, 5, "public.t")
        assert s.target("SELECT id FROM t WHERE id > 200 OR v = 'x'") == []  # nothing of that transaction
        s.apply.start()  # it does not get by, however often it tries
        halts(s.apply, 5, "public.t")
        s.target("ALTER TABLE t ALTER v TYPE text")
        s.apply.start()
        s.assert_equal()


def test_lock_table_of_the_source_is_too_small(servers):
    """More partitions than the server can lock at a time: to try again would never help."""
    folder, _, target = servers
    small = {"max_locks_per_transaction": 10, "max_connections": 10, "max_worker_processes": 2, "max_wal_senders": 3}
    with Postgres(folder, "small-locks", settings=small) as source, scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY LIST (id)",
                                                                             target_schema="") as s:
        s.source(*(f"CREATE TABLE t{i} PARTITION OF t FOR VALUES IN ({i})" for i in range(900)))
        s.capture.start()
        halts(s.capture, 5, "max_locks_per_transaction")
        assert s.slots() == []


@pytest.mark.parametrize("source_type,target_type,value", [("bigint", "int", "5000000000"), ("numeric", "numeric(4,2)", "1.234"), ("timestamptz", "date", "'2024-01-01 12:00+00'"), ("text", "int", "'x'")])
def test_target_type_that_would_change_a_value(servers, source_type, target_type, value):
    """Lossless or refused: at the start, or at the first row that does not fit. Never silently changed."""
    with scenario(*servers, f"CREATE TABLE t (id int PRIMARY KEY, v {source_type})", f"CREATE TABLE t (id int PRIMARY KEY, v {target_type})") as s:
        check_says(s.pipeline, "public.t")
        s.start(wait=False)
        s.source(f"INSERT INTO t VALUES (1, {value})")
        halts(s.apply, 5, "public.t")
        assert s.target("SELECT * FROM t") == []


def test_target_table_is_missing(servers):
    with scenario(*servers, T + "; CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)", "CREATE TABLE u (id int PRIMARY KEY)") as s:
        check_says(s.pipeline, "public.t")
        s.start(wait=False)
        halts(s.apply, 5, "public.t")
        assert s.target("SELECT * FROM u") == [] and not (s.position() or {}).get("complete")
        s.target("CREATE TABLE t (id int PRIMARY KEY, v text)")
        s.apply.start()
        s.wait_complete()
        s.assert_equal()


@pytest.mark.parametrize("on_nonempty", ["refuse", "truncate"])
def test_target_is_the_source_itself(servers, on_nonempty):
    """The same URL on both sides: apply must not empty the source's tables, whatever it is told to do with rows it finds."""
    with scenario(*servers, T) as s:
        s.pipeline.settings["target"]["url"] = s.source_url
        s.pipeline.settings.setdefault("apply", {})["on_nonempty"] = on_nonempty
        s.pipeline.write()
        check_says(s.pipeline, "the target is the source itself")
        s.capture.start()
        s.apply.start()
        halts(s.apply, 2, "the target is the source itself", "target.url")
        assert s.source("SELECT count(*) FROM t") == [(100,)]


def test_target_column_is_missing(servers):
    with scenario(*servers, T, "CREATE TABLE t (id int PRIMARY KEY)") as s:
        check_says(s.pipeline, "public.t")
        s.start(wait=False)
        halts(s.apply, 5, "public.t", "v")
        assert s.target("SELECT * FROM t") == []


def test_target_lacks_the_key(servers):
    """Without a unique index on the key an upsert cannot find its row."""
    with scenario(*servers, T, "CREATE TABLE t (id int, v text)") as s:
        check_says(s.pipeline, "public.t")
        s.start(wait=False)
        with contextlib.suppress(AssertionError):
            s.wait_complete(10)
        if s.apply.running:  # it may also cope; then it has to be right
            s.source("UPDATE t SET v = 'x' WHERE id = 1", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (2, 'again')")
            s.assert_equal()
        else:
            halts(s.apply, 5, "public.t")


def test_constraint_that_only_the_target_has(servers):
    with scenario(*servers, T, "CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v <> 'bad'))") as s:
        s.start()
        s.source("INSERT INTO t VALUES (300, 'good')", "UPDATE t SET v = 'bad' WHERE id = 7", "INSERT INTO t VALUES (301, 'good')")
        halts(s.apply, 5, "public.t", "23514")
        assert s.target("SELECT v FROM t WHERE id = 7") == [("v7",)]
        s.apply.start()  # it does not get by, however often it tries
        halts(s.apply, 5, "public.t")
        s.target("ALTER TABLE t DROP CONSTRAINT t_v_check")
        s.apply.start()
        s.assert_equal()


def test_no_table_fits_the_patterns(servers):
    with scenario(*servers, T, tables=["nowhere.*"]) as s:
        s.capture.start()
        halts(s.capture, 2, "source.tables")
        assert s.slots() == []


# -- source, slot, journal

def test_source_is_not_logical(servers):
    folder, _, target = servers
    with Postgres(folder, "replica", settings={"wal_level": "replica"}) as source, scenario(folder, source, target, T) as s:
        check_says(s.pipeline, "wal_level")
        s.capture.start()
        halts(s.capture, 2, "wal_level")
        assert s.source("SELECT count(*) FROM pg_publication") == [(0,)]
        source.configure(wal_level="logical")
        source.restart()
        s.start()
        s.assert_equal()


def test_servers_that_are_away_at_the_start(servers):
    folder, _, _ = servers
    with Postgres(folder, "late-source") as source, Postgres(folder, "late-target") as target, scenario(folder, source, target, T) as s:
        source.stop()
        target.stop()
        s.start(wait=False)
        retries(s.capture)
        retries(s.apply)
        source.start()
        target.start()
        s.wait_complete()
        s.assert_equal()


def second(s, subcommand, **settings):
    """Another process of a role with the same pipeline on another port."""
    port = free_port()
    keep, path = s.pipeline.config, os.path.join(s.pipeline.folder, f"{s.name}-second.yaml")
    saved = {section: dict(values) if isinstance(values, dict) else values for section, values in s.pipeline.settings.items()}
    s.pipeline.settings[subcommand]["listen"] = f"127.0.0.1:{port}"
    for section, values in settings.items():
        s.pipeline.settings[section].update(values)
    s.pipeline.config = path
    s.pipeline.write()
    s.pipeline.config, s.pipeline.settings = keep, saved
    return Role(subcommand, path, os.path.join(s.pipeline.folder, f"{s.name}-second-{subcommand}.log"), port=port)


@pytest.mark.parametrize("role", ["capture", "apply"])
def test_second_process_of_a_role(servers, role):
    """It waits, or says that it could not run; the first is not disturbed; when the first dies the second can take over."""
    with scenario(*servers, T) as s:
        s.start()
        with second(s, role) as other:
            other.start()
            wait_until(lambda: other.exit_code is not None or (other.status() or {}).get("phase") == "retrying", 30, "the second one notices")
            assert other.exit_code in (None, 4), other.log_tail()
            s.source("INSERT INTO t VALUES (400, 'first')")
            s.assert_equal()
            first = getattr(s, role)
            assert first.running
            first.kill9()
            if not other.running:
                other.start()
            s.source("INSERT INTO t VALUES (401, 'second')", "UPDATE t SET v = 'x' WHERE id < 5")
            wait_until(lambda: s.target("SELECT 1 FROM t WHERE id = 401"), 60, "the second one takes over")
            assert_equal(s.source_url, s.target_url)
            assert not other.sanitizer_reports()


def test_slot_in_use_by_a_stranger(servers):
    with scenario(*servers, T) as s:
        s.start()
        s.source("INSERT INTO t VALUES (500, 'x')")
        s.wait()
        assert s.capture.terminate() == 0
        slot = s.slots()[0]
        _, source, _ = servers
        from rig import Process
        with Process("pg_recvlogical", [source.binary("pg_recvlogical"), "-d", s.source_url, "--slot", slot, "--start", "-f", "/dev/null", "-o", "proto_version=1",
                                        "-o", f"publication_names=crossfade_{s.name}"], os.path.join(s.pipeline.folder, "stranger.log")) as stranger:
            stranger.start()
            wait_until(lambda: source.value("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,)), 20, "the slot is in use")
            s.capture.start()
            status = retries(s.capture, slot)
            assert "in use" in status["last_error"] or "active" in status["last_error"]
        s.source("INSERT INTO t VALUES (501, 'x')")
        s.assert_equal()


def test_slot_is_gone(servers):
    """Changes made meanwhile cannot be had any more: capture says so and does not begin anew by itself."""
    with scenario(*servers, T) as s:
        s.start()
        s.source("INSERT INTO t VALUES (600, 'x')")
        s.wait()
        assert s.capture.terminate() == 0
        slot = s.slots()[0]
        servers[1].sql("SELECT pg_drop_replication_slot(%s)", (slot,))
        s.source("INSERT INTO t VALUES (601, 'lost to the pipeline')")
        s.capture.start()
        halts(s.capture, 5, slot)
        assert s.apply.running
        assert s.target("SELECT 1 FROM t WHERE id = 601") == []


def test_slot_was_advanced_by_a_stranger(servers):
    """The slot has let go of changes that the journal does not hold: never streamed around in silence."""
    with scenario(*servers, T) as s:
        s.start()
        s.source("INSERT INTO t VALUES (600, 'x')")
        s.wait()
        assert s.capture.terminate() == 0
        s.source("INSERT INTO t VALUES (601, 'lost to the pipeline')")
        servers[1].sql("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", (s.slots()[0],), db=s.name)
        s.source("INSERT INTO t VALUES (602, 'x')")
        s.capture.start()
        halts(s.capture, 5, s.slots()[0])


def test_journal_of_another_pipeline(servers):
    with scenario(*servers, T) as one, scenario(*servers, T) as two:
        one.start()
        two.pipeline.settings["journal"]["url"] = one.pipeline.settings["journal"]["url"]
        two.pipeline.write()
        one.capture.terminate()
        two.capture.start()
        halts(two.capture, 5, one.name)
        two.apply.start()
        halts(two.apply, 5, one.name)
        assert two.target("SELECT * FROM t") == []
        one.capture.start()
        one.source("INSERT INTO t VALUES (700, 'x')")
        one.assert_equal()


def test_journal_is_another_one_than_the_target_knows(servers):
    """The position on the target belongs to a journal that is gone: a new one must not be mixed with it."""
    with scenario(*servers, T) as s:
        s.start()
        s.source("INSERT INTO t VALUES (800, 'x')")
        s.wait()
        assert s.capture.terminate() == 0 and s.apply.terminate() == 0
        s.pipeline.settings["journal"]["url"] += "-new"
        s.pipeline.write()
        s.capture.start()  # an empty journal and a slot that is in the middle: what came before cannot be had
        wait_until(lambda: not s.capture.running or (s.capture.status() or {}).get("complete"), 30, "capture decides")
        s.apply.start()
        if s.capture.running:  # it copied anew: then the target has to end up right
            with contextlib.suppress(AssertionError):
                s.wait_complete(10)
            if s.apply.running:
                s.source("DELETE FROM t WHERE id = 3")
                s.assert_equal()
            else:
                halts(s.apply, 5)
        else:
            halts(s.capture, 5)


def test_source_is_another_system(servers):
    folder, _, target = servers
    with Postgres(folder, "other-source") as other, scenario(*servers, T) as s:
        s.start()
        s.source("INSERT INTO t VALUES (900, 'x')")
        s.wait()
        assert s.capture.terminate() == 0
        other.create_db(s.name)
        other.sql(T + "; UPDATE t SET v = 'other'", db=s.name)
        s.pipeline.settings["source"]["url"] = other.url(s.name)
        s.pipeline.write()
        s.capture.start()
        halts(s.capture, 5, "system")
        assert other.sql("SELECT count(*) FROM pg_replication_slots") == [(0,)]
        assert s.target("SELECT count(*) FROM t WHERE v = 'other'") == [(0,)]
        assert target.process.running


@pytest.mark.parametrize("how", ["files", "basebackup", "beyond"])
def test_source_restored_from_a_backup(servers, how):
    """The same system identifier, an earlier position: the journal holds transactions that this source never had.

    beyond: it is written to until its WAL is longer than the journal knows.
    """
    folder, _, target = servers
    with Postgres(folder, f"restored-{how}") as source, scenario(folder, source, target, T) as s:
        s.start()
        s.source("INSERT INTO t VALUES (1000, 'before')")
        s.wait()
        assert s.capture.terminate() == 0
        if how == "basebackup":
            backup = source.basebackup(source.backup_path("backup"))
        else:
            source.stop()
            backup = source.copy_data(source.backup_path("backup"))
            source.start()
        s.capture.start()
        s.source("INSERT INTO t VALUES (1001, 'lost by the restore')", "UPDATE t SET v = repeat('x', 5000)", "UPDATE t SET v = 'lost by the restore' WHERE id = 1001")
        s.wait()
        assert s.capture.terminate() == 0
        fence = s.position()["lsn"]
        source.stop()
        source.restore(backup)
        source.start()
        s.source("INSERT INTO t VALUES (1002, 'written after the restore')")
        assert lsn_value(source.lsn()) < lsn_value(fence), "write more before the restore"
        while how == "beyond" and lsn_value(source.lsn()) <= lsn_value(fence):
            s.source("INSERT INTO t SELECT max(id) + 1, repeat('x', 1000) FROM t")
        s.capture.start()
        halts(s.capture, 5)
        assert s.target("SELECT v FROM t WHERE id > 1000") == [("lost by the restore",)]


# -- bad days

@contextlib.contextmanager
def tmpfs(path, size):
    os.makedirs(path)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_full_disk_under_the_journal(servers):
    folder = servers[0]
    path = os.path.join(folder, "small")
    with tmpfs(path, "24m"), scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, v text)", journal=f"lmdb:{path}/journal", more={"journal": {"keep": "24h"}}) as s:
        s.start()
        for turn in range(60):
            s.source(f"INSERT INTO t SELECT i, repeat(md5(i::text), 30) FROM generate_series({turn} * 1000 + 1, {turn} * 1000 + 1000) i")
        retries(s.capture, "disk is full", timeout=60)
        assert s.apply.running
        before = s.target("SELECT count(*) FROM t")[0][0]
        assert before % 1000 == 0  # whole transactions
        subprocess.run(["mount", "-o", "remount,size=400m", path], check=True)
        s.assert_equal(120)
        assert s.target("SELECT count(*) FROM t") == [(60000,)]


def test_full_disk_under_the_journal_and_a_restart(servers):
    folder = servers[0]
    path = os.path.join(folder, "small-2")
    with tmpfs(path, "16m"), scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, v text)", journal=f"lmdb:{path}/journal") as s:
        s.start()
        s.source("INSERT INTO t SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 50000) i", "INSERT INTO t VALUES (0, 'behind')")
        retries(s.capture, "disk is full", timeout=60)
        s.capture.kill9()
        s.apply.kill9()
        s.start(wait=False)
        retries(s.capture, "disk is full", timeout=60)
        assert s.target("SELECT count(*) FROM t") == [(0,)]
        subprocess.run(["mount", "-o", "remount,size=400m", path], check=True)
        s.assert_equal(120)


def test_full_disk_under_the_spill(servers):
    folder = servers[0]
    path = os.path.join(folder, "spill")
    with tmpfs(path, "8m"), scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, v text)", more={"capture": {"spill_dir": path, "max_memory": "4MiB"}}) as s:
        s.source_server.configure(logical_decoding_work_mem="64kB")
        try:
            s.start()
            s.source("INSERT INTO t SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 60000) i", "INSERT INTO t VALUES (0, 'behind')")
            wait_until(lambda: (s.capture.status() or {}).get("phase") == "retrying" or s.target("SELECT count(*) FROM t") == [(60001,)], 60, "the spill is full, or not needed")
            subprocess.run(["mount", "-o", "remount,size=400m", path], check=True)
            s.assert_equal(120)
        finally:
            s.source_server.configure(logical_decoding_work_mem="64MB")


def test_target_is_restarted_under_load(servers):
    folder, source, target = servers
    shop, copy = source.create_db("restarted"), target.create_db("restarted")
    load_simshop(shop)
    copy_schema(shop, copy)
    try:
        with Pipeline(folder, shop, copy, name="restarted") as p, Load(shop, folder, clients=3, rate=150, seed=seed()) as load:
            p.start()
            for turn in range(count(5, 30)):
                load.wait_acked(60)
                target.restart(immediate=turn % 2 == 0)
                assert p.apply.running, p.apply.log_tail()
            load.stop()
            p.wait_caught_up(120)
            assert p.apply.status()["phase"] == "streaming"
        assert_equal(shop, copy)
        ledger = check_ledger(copy, load.acked, load.unknown, load.run_id)
        assert not ledger.missing and not ledger.unexpected and not ledger.repeated
    finally:
        drop_database(source, "restarted")
        drop_database(target, "restarted")


@pytest.mark.parametrize("apply_runs", [True, False])
def test_target_restored_to_an_earlier_backup(servers, apply_runs):
    folder, source, _ = servers
    with Postgres(folder, f"restored-target-{apply_runs}") as target, scenario(folder, source, target, T + "; CREATE TABLE bag (a int); ALTER TABLE bag REPLICA IDENTITY FULL") as s:
        s.start()
        s.source("INSERT INTO t VALUES (1000, 'in the backup')", "INSERT INTO bag SELECT 1 FROM generate_series(1, 10)")
        s.wait()
        backup = target.basebackup(target.backup_path("backup"))
        s.source("UPDATE t SET v = 'after' WHERE id < 50", "UPDATE t SET id = 2000 WHERE id = 60", "DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag)", "DELETE FROM t WHERE id = 70")
        s.wait()
        if not apply_runs:
            assert s.apply.terminate() == 0
        target.stop()
        target.restore(backup)
        target.start()
        if not apply_runs:
            s.apply.start()
        s.source("INSERT INTO t VALUES (3000, 'after the restore')")
        if apply_runs:  # it may also halt, because the position is not the one it wrote: then it is started again
            wait_until(lambda: not s.apply.running or s.target("SELECT 1 FROM t WHERE id = 3000"), 60, "apply goes on or halts")
            if not s.apply.running:
                assert s.apply.exit_code == 5, s.apply.log_tail()
                s.apply.start()
        s.assert_equal()


def test_target_restored_to_what_the_journal_no_longer_holds(servers):
    folder, source, _ = servers
    with Postgres(folder, "too-old-target") as target, scenario(folder, source, target, T, more={"journal": {"keep": "0s"}}) as s:
        s.start()
        s.wait()
        assert s.apply.terminate() == 0
        target.stop()
        backup = target.copy_data(target.backup_path("backup"))
        target.start()
        s.apply.start()

        def kept():
            s.source("INSERT INTO t SELECT max(id) + 1, repeat('x', 2000) FROM t", "UPDATE t SET v = repeat('y', 500)")
            s.wait()
            done = s.pipeline.run("journal", "cat", f"{s.name}.public.t")
            assert done.returncode == 0, done.stderr
            return '"offset": 150' not in done.stdout and '"offset":150' not in done.stdout
        wait_until(kept, 60, "the journal has let go of its beginning", interval=0.5)
        assert s.apply.terminate() == 0
        target.stop()
        target.restore(backup)
        target.start()
        s.apply.start()
        halts(s.apply, 5, "offset")
        before = s.target("SELECT count(*) FROM t")
        s.apply.start()
        halts(s.apply, 5)
        assert s.target("SELECT count(*) FROM t") == before  # no silent reset


def test_stop_by_signal(servers):
    with scenario(*servers, T) as s:
        s.start()
        s.source("INSERT INTO t VALUES (1, 'x') ON CONFLICT DO NOTHING", "INSERT INTO t VALUES (5000, 'x')")
        for role in (s.capture, s.apply):
            assert role.terminate(12) == 0
            assert not role.sanitizer_reports()
        s.start()
        s.assert_equal()


def test_port_is_taken(servers):
    import socket
    with scenario(*servers, T) as s, socket.socket() as holder:
        holder.bind(("127.0.0.1", s.pipeline.capture_port))
        holder.listen()
        s.capture.start()
        halts(s.capture, 4, "listen")
