"""The state table of cutover against kill -9 of everybody at every state, deadlines, the pause budget, the postpone file, and the verbs that look on."""

import json
import os
import signal
import time

import pytest

from rig import Load, Postgres, Workdir, wait_until
from rig.cutting import POINTS, SETTINGS, Observer, Shop, stopped, strike
from rig.load import load_simshop
from rig.postgres import copy_schema
from rig.procs import send_signal
from rig.scenario import FULL, seed

BUDGET_S = SETTINGS["cutover"]["pause_budget_ms"] / 1000
SLACK_S = 30  # of a busy machine, in which the last step before the deadline is undone


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("cutover-states") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        full, empty = source.create_db("full"), target.create_db("empty")
        load_simshop(full)
        copy_schema(full, empty)
        yield folder, source, target


SIDES = ("source", "target")
ROLES = ("capture", "apply")
DECIDED = ("cutover.switching", "cutover.reopened", "cutover.finishing")
CASES = [(victim, then) for victim in ("cutover", "all") for then in ("resume", "abort")] + [(victim, "goes on") for victim in ("source", "apply")]
if FULL:
    CASES += [*((victim, "goes on") for victim in ("target", "capture")), *((side, then) for side in SIDES for then in ("resume", "abort"))]
FEW = ("cutover.arming", "cutover.marking", "cutover.deciding", "cutover.switching")


def kill_at(shop, point, victim, kill=True):
    """A cutover stands still at the point while the victim is killed: itself alone ("cutover"), the roles with it ("all"), one of them, or a server."""
    roles = dict(zip(ROLES, (shop.pipeline.capture, shop.pipeline.apply)))
    servers = dict(zip(SIDES, (shop.source, shop.target)))
    with shop.cutover_process() as process:
        code = strike(process, point, [role for name, role in roles.items() if victim in (name, "all")],
                      [server for name, server in servers.items() if victim == name], kill, roles.values())
        assert not process.sanitizer_reports(), process.log_tail(100)
        return code, process.log_tail(30)


def end_of(shop, then, code):
    """Leads it to its end and tells which: "done" or "aborted"."""
    if code in (0, 11):
        return "done" if code == 0 else "aborted"
    if then == "abort" and shop.decision() != "switched":
        return shop.cutover("abort", expected=11)["outcome"]
    done = shop.pipeline.run("cutover", "resume", "--json", timeout=300)
    assert done.returncode in ((0,) if then == "resume" else (0, 11)), f"exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr}"
    return json.loads(done.stdout)["outcome"]


@pytest.mark.parametrize("victim,then", CASES)
def test_killed_at_every_state(servers, victim, then):
    """Ends either done or with the source serving; never both sides take writes, and never neither for longer than the budget."""
    points = POINTS if FULL or victim in ("cutover", "all") else FEW
    name = f"s_{victim}_{then}".replace(" ", "_")
    with Shop(*servers, name) as shop, Load(shop.application(), shop.folder, clients=2, rate=60, seed=seed()) as load:
        shop.compare()
        longest, ends = 0, []
        for point in points:
            with Observer(shop) as observer:
                began = time.time()
                code, log = kill_at(shop, point, victim, kill=then != "goes on")
                was_decided = shop.decision() == "switched"
                outcome = end_of(shop, then, code)
                ends.append(f"{point}: {code}, {outcome}")
                assert outcome == ("done" if then == "resume" or was_decided else "aborted") or then == "goes on", f"{point}\n{log}"
                assert outcome == "done" or point not in DECIDED, f"{point}\n{log}"
                if outcome == "done":
                    assert shop.decision() == "switched" and not shop.serves(), point
                    decided_at, frozen = shop.decided_at(), dict(shop.steps())["marking"]
                    assert not [nonce for nonce, (sent, _) in load.ack_times.items() if sent > frozen], point
                    wait_until(lambda seen=observer: any(side == "target" for *_, side in seen.writes), 30, "the target takes writes")
                else:
                    assert shop.serves() and shop.decision() == "aborted", point
                    decided_at, back = None, time.time()
                    wait_until(lambda seen=observer, at=back: any(sent > at for sent, *_ in seen.writes), 30, "the source takes writes")
                longest = max(longest, observer.check(began, BUDGET_S + SLACK_S, decided_at))
            assert shop.cutover("status")["stands"] == outcome
            assert shop.pipeline.run("cutover", "resume", "--json").returncode == 10  # there is nothing left to do
            load.pause()
            shop.assert_safe(load)
            load.resume()
            shop.reset()
            load.wait_acked(10)
        load.stop()
        shop.assert_safe(load)
        print(*ends, f"longest time without a writable side: {longest:.1f} s", sep="\n")


def test_nobody_comes_back(servers):
    """The process dies behind the freeze and nobody resumes: the source serves again by itself when the pause budget ends."""
    budget_s = 6
    with Shop(*servers, "alone", cutover=dict(SETTINGS["cutover"], pause_budget_ms=budget_s * 1000)) as shop:
        shop.compare()
        kill_at(shop, "cutover.marking", "cutover")
        closed = dict(shop.steps())["pausing"]
        assert not shop.serves() or time.time() - closed >= budget_s
        status = shop.cutover("status")
        assert status["stands"] == "interrupted" and status["state"] == "marking" and status["decision"] == "open"
        wait_until(shop.serves, 60, "the source serves again")
        assert time.time() - closed >= budget_s - 1
        report = shop.cutover("resume", expected=11)
        assert "pause_budget_ms" in report["reason"] and shop.serves() and shop.decision() == "aborted"
        assert shop.freeze_triggers() == 0
        assert shop.pipeline.run("compare", "run").returncode == 0


@pytest.mark.parametrize("what", ["apply", "target"])
def test_pause_budget_ends_what_does_not(servers, what):
    """Apply that does not go on, a target that does not answer: the source serves again when the budget has gone by."""
    budget_s = 8
    with Shop(*servers, f"budget_{what}", cutover=dict(SETTINGS["cutover"], pause_budget_ms=budget_s * 1000)) as shop:
        shop.compare()
        with shop.cutover_process() as process:
            process.start(failpoint="cutover.draining:1:stop")
            wait_until(lambda: stopped(process.pid), 60, "it stands still")
            if what == "apply":
                still = [shop.pipeline.apply.pid]
            else:
                still = [pid for (pid,) in shop.target.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'crossfade cutover%'", db=shop.name)]
            for pid in still:
                send_signal(pid, signal.SIGSTOP)
            try:
                process.signal(signal.SIGCONT)
                code = process.wait(120)
            finally:
                for pid in still:
                    send_signal(pid, signal.SIGCONT)
            assert code == 11, process.log_tail(60)
        closed = dict(shop.steps())["pausing"]
        assert shop.serves() and shop.decision() == "aborted"
        opened = shop.decided_at()
        assert budget_s - 1 <= opened - closed <= budget_s + SLACK_S


def test_postpone_file(servers):
    with Workdir("postpone") as folder:
        path = os.path.join(str(folder), "postpone")
        with Shop(*servers, "later", cutover=dict(SETTINGS["cutover"], postpone_file=path)) as shop, \
                Load(shop.application(), shop.folder, clients=2, rate=60, seed=seed()) as load:
            shop.compare()

            def waits(process):
                process.start()
                wait_until(lambda: shop.steps() and shop.steps()[-1][0] == "waiting", 60, "it waits")
                assert shop.serves() and shop.freeze_triggers() == 0 and process.running
                status = shop.cutover("status")
                assert status["stands"] == "running" and status["decision"] == "open" and status["pause_ms"] == 0

            with open(path, "w"):
                pass
            with shop.cutover_process() as process:  # told to stop from elsewhere
                waits(process)
                second = shop.pipeline.run("cutover", "run", "--execute", "--json")
                assert second.returncode not in (0, 10, 11) and "running" in second.stdout, second.stdout
                assert shop.cutover("abort", expected=11)["outcome"] == "aborted"
                process.assert_exit(11, 60)
            assert shop.serves() and shop.decision() == "aborted"
            with shop.cutover_process() as process:  # a signal
                waits(process)
                process.terminate()
                process.assert_exit(11, 60)
            with shop.cutover_process() as process:  # the gates that held before do not hold any more
                waits(process)
                shop.source.sql("BEGIN; UPDATE simshop_oltp.accounts SET moves = moves WHERE account_id = 2; PREPARE TRANSACTION 'open'", db=shop.name)
                os.remove(path)
                process.assert_exit(11, 60)
                assert "prepared_transactions" in process.log_tail(), process.log_tail()
            shop.source.sql("ROLLBACK PREPARED 'open'", db=shop.name)
            with open(path, "w"):
                pass
            with shop.cutover_process() as process:
                waits(process)
                for server in (shop.source, shop.target):  # it lasts longer than a server
                    server.restart()
                load.wait_acked(50)
                shop.pipeline.wait_caught_up()
                os.remove(path)
                process.assert_exit(0, 120)
            load.stop()
            assert shop.decision() == "switched" and not shop.serves()
            listed = shop.cutover("list")["cutovers"]
            assert [c["stands"] for c in listed] == ["done", "aborted", "aborted", "aborted"] and listed[0]["pause_ms"] > 0
            shop.assert_safe(load)


def test_abort_of_one_that_runs(servers):
    """An abort while another process stands behind the freeze: that one may not go on, whatever it was about to do."""
    with Shop(*servers, "told") as shop:
        shop.compare()
        with shop.cutover_process() as process:
            process.start(failpoint="cutover.sequencing:1:stop")
            wait_until(lambda: stopped(process.pid), 60, "it stands still")
            with shop.cutover_process("abort") as abort:
                abort.start()
                wait_until(lambda: shop.decision() == "aborted", 60, "the decision is aborted")
                process.signal(signal.SIGCONT)
                process.assert_exit(11, 60)
                abort.assert_exit(11, 60)
        assert shop.serves() and shop.freeze_triggers() == 0
        # Decided: nobody can be told any more.
        shop.cutover("run", "--execute")
        assert shop.pipeline.run("cutover", "abort", "--json").returncode == 10


def test_plan_tells_what_it_will_take(servers):
    with Shop(*servers, "plan") as shop:
        shop.compare()
        plan = shop.cutover("plan")
        steps = {e["state"]: e for e in plan["estimates"]}
        assert list(steps) == [p.partition(".")[2] for p in POINTS if p.partition(".")[2] in steps]
        assert all(e["basis"] for e in steps.values()) and all(e["ms"] is not None for state, e in steps.items() if state != "preparing")
        assert all(e["action"] and e["undo"] and e["then"] for e in steps.values()) and steps["freezing"]["guard"]
        assert plan["pause_estimate_ms"] == sum(e["ms"] for e in steps.values() if e["clients_wait"])
        assert plan["pause_budget_ms"] == BUDGET_S * 1000 and "markers now" in steps["draining"]["basis"]
        assert all(e["deadline_ms"] is not None for state, e in steps.items() if state not in ("waiting", "reading"))
        text = shop.pipeline.run("cutover", "plan").stdout
        for word in ("Gates", "Steps", "Estimates", "estimated_pause", "close the source to writers", "undo: open the source again"):
            assert word in text, text
        # An earlier one whose freeze took long: what is not expected to fit is not begun.
        shop.target.sql("""INSERT INTO crossfade.cutover (cutover_id, pipeline, seq, state, detail)
                           VALUES ('earlier', 'plan', 1, 'aborted', '{"from": "freezing", "took_us": 200000000}')""", db=shop.name)
        refused = shop.cutover("run", "--execute", expected=10)
        gate = {g["name"]: g for g in refused["gates"]}["estimated_pause"]
        assert gate["verdict"] == "refused" and gate["hint"] and refused["pause_estimate_ms"] >= 200000 and shop.serves() and shop.decision() is None
        shop.target.sql("DELETE FROM crossfade.cutover", db=shop.name)
        report = shop.cutover("run", "--execute")
        again = {s["state"]: s["ms"] for s in shop.cutover("status")["steps"]}
        assert report["pause_ms"] > 0 and again["freezing"] is not None and again["done"] is None
