"""Cutover under load: it completes or the source goes on serving, and no acknowledged transaction is lost either way."""

import os
import signal

import psycopg
import pytest

from rig import Load, Postgres, Workdir, check_ledger, wait_until
from rig.cutting import POINTS, READ_ONLY, SETTINGS, Shop, recorded_once, stopped
from rig.load import load_simshop
from rig.oracle import assert_equal, sequences
from rig.postgres import copy_schema
from rig.procs import Role
from rig.scenario import count, seed

@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("cutover") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        full, empty = source.create_db("full"), target.create_db("empty")
        load_simshop(full)
        copy_schema(full, empty)
        yield folder, source, target


def test_writes_during_cutover(servers):
    with Shop(*servers, "busy") as shop:
        with Load(shop.application(), shop.folder, clients=4, seed=seed()) as load:
            load.wait_acked(300)
            shop.compare()
            assert shop.cutover("run", expected=0)["outcome"] == "planned"  # without --execute nothing happens
            assert shop.serves() and shop.steps() == []
            report = shop.cutover("run", "--execute")
            frozen = dict(shop.steps())["marking"]
            wait_until(lambda: load.refused.get(READ_ONLY, 0) > 20, 30, "clients are refused")
            load.pause()
            assert report["outcome"] == "done" and report["verdict"] == "PASS" and shop.decision() == "switched"
            assert 0 < report["pause_ms"] < 60000
            late = [nonce for nonce, (sent, _) in load.ack_times.items() if sent > frozen]
            assert late == [], f"acknowledged after the freeze: {late[:3]}"
            assert not shop.serves()
            shop.assert_safe(load)
            before = sequences(shop.url)
            for name, value in sequences(shop.copy).items():
                assert before[name] is None or value >= before[name], f"{name}: {value} on the target, {before[name]} on the source"
            # Clients go to the target and work there as before: no key is given twice.
            refused = dict(load.refused)
            load.set_url(shop.application(shop.copy))
            load.resume()
            load.wait_acked(300)
            load.stop()
        assert load.refused.keys() == refused.keys() and load.refused[READ_ONLY] == refused[READ_ONLY], load.refused
        ledger = check_ledger(shop.copy, load.acked, load.unknown, load.run_id)
        assert not ledger.missing and not ledger.unexpected and not ledger.repeated
        again = shop.pipeline.run("cutover", "run", "--execute", "--json")
        assert again.returncode == 10, again.stdout + again.stderr  # it was cut over already
        assert shop.decision() == "switched" and not shop.serves()


def test_freeze_cannot_be_undone_by_a_session(servers):
    with Shop(*servers, "closed") as shop:
        shop.compare()
        for server in (shop.source, shop.target):
            server.sql("DO $$ BEGIN CREATE ROLE clerk LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$", db=shop.name)
            server.sql("GRANT USAGE ON SCHEMA simshop_oltp TO clerk; GRANT ALL ON ALL TABLES IN SCHEMA simshop_oltp TO clerk", db=shop.name)
        shop.cutover("run", "--execute")
        for attempt in ("BEGIN READ WRITE; UPDATE simshop_oltp.accounts SET moves = 0; COMMIT", "SET default_transaction_read_only = off; TRUNCATE simshop_oltp.stock_movements",
                        "SET session_replication_role = replica", "ALTER TABLE simshop_oltp.accounts DISABLE TRIGGER ALL", "DELETE FROM simshop_oltp.ledger",
                        "INSERT INTO simshop_oltp.stock_movements VALUES (1, 'W1', 1, 'x', 1, now())"):
            with shop.source.connect(shop.name, user="clerk") as connection, pytest.raises(psycopg.Error):
                connection.execute(attempt)
        shop.source.restart()
        assert not shop.serves()  # it outlives a restart


def test_gates_refuse_and_change_nothing(servers):
    with Shop(*servers, "gated", cutover=dict(SETTINGS["cutover"], verdict_max_age_s=600)) as shop:
        def refused(gate):
            report = shop.cutover("run", "--execute", expected=10)
            assert report["outcome"] == "refused"
            verdicts = {g["name"]: g for g in report["gates"]}
            assert verdicts[gate]["verdict"] == "refused" and verdicts[gate]["hint"], verdicts
            assert shop.cutover("plan", expected=10)["outcome"] == "refused"
            assert shop.serves() and shop.freeze_triggers() == 0 and shop.steps() == [] and shop.decision() is None

        refused("verdict")  # never compared
        shop.compare()
        assert shop.cutover("plan")["outcome"] == "planned"
        assert shop.serves() and shop.freeze_triggers() == 0 and shop.steps() == [] and shop.decision() is None

        shop.source.sql("BEGIN; UPDATE simshop_oltp.accounts SET moves = moves WHERE account_id = 2; PREPARE TRANSACTION 'open'", db=shop.name)
        refused("prepared_transactions")
        shop.source.sql("ROLLBACK PREPARED 'open'", db=shop.name)

        shop.target.sql("ALTER SEQUENCE simshop_oltp.order_number OWNED BY NONE; ALTER SEQUENCE simshop_oltp.order_number RENAME TO other_number", db=shop.name)
        refused("sequences")
        shop.target.sql("ALTER SEQUENCE simshop_oltp.other_number RENAME TO order_number; "
                        "ALTER SEQUENCE simshop_oltp.order_number OWNED BY simshop_oltp.orders.order_id", db=shop.name)

        shop.pipeline.apply.terminate()
        refused("apply_alive")
        shop.pipeline.apply.start()
        shop.pipeline.apply.wait_ready()

        shop.pipeline.capture.terminate()
        refused("capture_alive")
        shop.pipeline.capture.start()
        shop.pipeline.capture.wait_for(lambda status: status["phase"] == "streaming", 30, "streams")

        shop.target.sql("UPDATE crossfade.verdict SET finished_at = finished_at - interval '1 hour'", db=shop.name)
        refused("verdict")

        shop.target.sql("UPDATE simshop_oltp.accounts SET balance = balance + 1 WHERE account_id = 5", db=shop.name)
        shop.compare(expected=1)
        refused("verdict")
        shop.target.sql("UPDATE simshop_oltp.accounts SET balance = balance - 1 WHERE account_id = 5", db=shop.name)
        shop.compare()
        assert shop.cutover("run", "--execute")["outcome"] == "done"


def test_stragglers_are_ended(servers):
    """Sessions that hold locks: one that sleeps in a transaction, one that just writes; both lose it, nobody else waits long."""
    with Shop(*servers, "slow", cutover=dict(SETTINGS["cutover"], straggler_grace_ms=300)) as shop:
        shop.compare()
        idle, holding = (psycopg.connect(shop.application()) for _ in range(2))
        idle.execute("INSERT INTO simshop_oltp.ledger (client_id, nonce, kind) VALUES (0, 'straggler', 'x')")
        holding.execute("LOCK TABLE simshop_oltp.accounts IN EXCLUSIVE MODE")
        report = shop.cutover("run", "--execute")
        for connection in (idle, holding):
            with pytest.raises(psycopg.OperationalError):
                connection.commit()
            connection.close()
        assert report["outcome"] == "done" and report["stragglers"]
        assert shop.target.value("SELECT count(*) FROM simshop_oltp.ledger WHERE nonce = 'straggler'", db=shop.name) == 0
        assert_equal(shop.url, shop.copy)


def test_a_failure_at_any_step_puts_the_source_back(servers):
    with Shop(*servers, "errors") as shop, Load(shop.application(), shop.folder, clients=2, rate=80, seed=seed()) as load:
        shop.compare()
        for point in POINTS:
            with shop.cutover_process() as process:
                process.start(failpoint=f"{point}:1:error")
                code = process.wait(120)
                assert not process.sanitizer_reports(), process.log_tail(100)
            if point in ("cutover.switching", "cutover.reopened", "cutover.finishing"):  # decided: only forward
                assert code == 12 and shop.decision() == "switched" and not shop.serves(), f"{point}: {code}\n{process.log_tail()}"
                assert shop.pipeline.run("cutover", "abort", "--json").returncode not in (0, 11)
                assert shop.cutover("run", "--execute")["outcome"] == "done"
            elif code == 0:  # the step tried again and got by
                assert shop.decision() == "switched" and not shop.serves()
            else:
                assert code == 11, f"{point}: exit code {code}\n{process.log_tail()}"
                assert shop.decision() in ("aborted", None) and shop.serves(), point
            shop.reset()
            load.wait_acked(30)
        load.stop()
        shop.assert_safe(load)


def test_a_record_whose_commit_was_not_acknowledged_is_there_once(servers):
    """The commit of a step is done, its answer lost: the step is looked for before it is written again, in the chain as in the records."""
    with Shop(*servers, "once") as shop:
        shop.compare()
        for number in (1, 2, 8, 13, 15):  # beginning, waiting, marking, switching, done
            with shop.cutover_process() as process:
                process.start(failpoint=f"cutover.recorded:{number}:error")
                code = process.wait(120)
                assert not process.sanitizer_reports(), process.log_tail(100)
                assert (code != 0) == (number == 1), process.log_tail()
            if number == 1:  # nothing had begun: a person begins again
                assert shop.cutover("resume")["outcome"] == "done"
            assert [row["stands"] for row in shop.cutover("list")["cutovers"]] == ["done"]
            assert recorded_once(shop.steps(), shop.target.sql("SELECT event, detail::text FROM crossfade.audit WHERE cutover_id = (SELECT max(cutover_id) FROM crossfade.cutover) ORDER BY seq",
                                                               db=shop.name)), number
            done = shop.pipeline.run("audit", "verify", "--json")
            assert done.returncode == 0, done.stdout + done.stderr
            shop.reset()


def test_abort_that_is_killed_is_taken_up_again(servers):
    with Shop(*servers, "twice") as shop:
        shop.compare()
        with shop.cutover_process() as process:
            process.start(failpoint="cutover.draining").assert_exit(-signal.SIGKILL, 60)
        with Role("cutover abort --json", shop.pipeline.config, os.path.join(shop.folder, "abort.log")) as abort:
            abort.start(failpoint="cutover.aborting").assert_exit(-signal.SIGKILL, 60)
        assert not shop.serves()
        assert shop.cutover("run", "--execute", expected=11)["outcome"] == "aborted"  # what is being aborted is not completed
        assert shop.serves() and shop.freeze_triggers() == 0
        assert shop.cutover("run", "--execute")["outcome"] == "done"


@pytest.mark.parametrize("victim", ["apply is away", "source is killed", "target is killed", "stopped by signal"])
def test_something_fails_in_the_middle(servers, victim):
    with Shop(*servers, f"middle_{victim.split()[0]}", cutover=dict(SETTINGS["cutover"], drain_timeout_s=count(4, 20))) as shop, \
            Load(shop.application(), shop.folder, clients=2, rate=80, seed=seed()) as load:
        shop.compare()
        with shop.cutover_process() as process:
            process.start(failpoint="cutover.draining:1:stop")
            wait_until(lambda: shop.steps() and shop.steps()[-1][0] == "draining", 60, "it drains")
            wait_until(lambda: stopped(process.pid), 30, "it stands still")
            if victim == "apply is away":
                shop.pipeline.apply.kill9()
            elif victim == "source is killed":
                shop.source.kill9()
                shop.source.start()
            elif victim == "target is killed":
                shop.target.kill9()
                shop.target.start()
            else:
                process.signal(signal.SIGTERM)
            process.signal(signal.SIGCONT)
            code = process.wait(120)
            assert not process.sanitizer_reports(), process.log_tail(100)
        if not shop.pipeline.apply.running:
            shop.pipeline.apply.start()
        if code == 12:  # a person: either way must be open
            assert shop.decision() == "open", process.log_tail(100)
            shop.cutover("abort", expected=11)
            code = 11
        if code == 11:
            assert shop.serves() and shop.decision() == "aborted"
            load.wait_acked(30)
        else:
            assert code == 0 and not shop.serves() and shop.decision() == "switched", process.log_tail()
        load.stop()
        shop.assert_safe(load)


def test_two_cutovers_at_once(servers):
    with Shop(*servers, "both") as shop:
        shop.compare()
        with shop.cutover_process() as process:
            process.start(failpoint="cutover.draining:1:stop")
            wait_until(lambda: stopped(process.pid), 60, "the first one stands still")
            second = shop.pipeline.run("cutover", "run", "--execute", "--json")
            assert second.returncode not in (0, 10, 11) and "running" in second.stdout + second.stderr
            process.signal(signal.SIGCONT)
            process.assert_exit(0, 120)
        assert shop.decision() == "switched"
        assert_equal(shop.url, shop.copy)
