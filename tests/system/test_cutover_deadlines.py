"""Deadlines of a cutover's steps on PostgreSQL: what takes longer is put back, says which deadline it was and who stands in the way, and the source serves."""

import contextlib
import json

import psycopg
import pytest

from rig import Postgres, Workdir
from rig.scenario import scenario
from test_hostile_cutover import SETTINGS, SIMPLE, Cut


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("deadlines") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="cut")
def fixture_cut(servers):
    with scenario(*servers, SIMPLE + "; CREATE SEQUENCE ticket; SELECT nextval('ticket')", more={"cutover": SETTINGS}) as made:
        made.start()
        cut = Cut(servers[0], made)
        cut.compare()
        yield cut


def configure(cut, **more):
    cut.s.pipeline.settings["cutover"] = {**SETTINGS, **more}
    cut.s.pipeline.write()


@contextlib.contextmanager
def holding(url, *statements, name="clerk"):
    """A session that keeps its transaction open."""
    with psycopg.connect(url, application_name=name) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.rollback()


def assert_put_back(cut):
    """The source takes writes, the decision says so, and nothing of the cutover stands in anybody's way; the next one gets through."""
    assert cut.serves() and cut.s.admin("SELECT state FROM crossfade.decision") == [("aborted",)]
    assert cut.s.admin("SELECT count(*) FROM pg_trigger WHERE tgname = 'crossfade_freeze'") == [(0,)]
    last = cut.s.target("SELECT detail FROM crossfade.audit WHERE event = 'cutover.step' ORDER BY seq DESC LIMIT 1")[0][0]
    assert json.loads(last)["state"] == "aborted"
    configure(cut)
    assert cut.run("run", "--execute")["outcome"] == "done" and not cut.serves()


@pytest.mark.parametrize("arm, freeze, deadline", [(1500, 60000, "cutover.arm_timeout_ms"), (60000, 1000, "cutover.freeze_timeout_ms")])
def test_arming_that_a_lock_holds_up(cut, arm, freeze, deadline):
    """A reader's lock, which is no writer's: nobody is ended, its holder is named, and with it the deadline that has passed."""
    configure(cut, arm_timeout_ms=arm, freeze_timeout_ms=freeze, straggler_grace_ms=0)
    with holding(cut.s.source_url, "LOCK TABLE t IN SHARE MODE") as reader:
        report = cut.run("run", "--execute", expected=11)
        assert report["outcome"] == "aborted" and report["stragglers"] == "", report
        reason = report["reason"]
        assert "table=public.t" in reason and f"pid={reader.info.backend_pid} " in reason and "application=clerk" in reason and deadline in reason, reason
        assert [step["state"] for step in report["steps"]][-1] == "aborting" and "freezing" not in [step["state"] for step in report["steps"]], report
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
    assert_put_back(cut)


@pytest.mark.parametrize("state, side, lock", [("marking", "source", "LOCK TABLE crossfade.marker IN SHARE MODE"), ("sequencing", "target", "ALTER SEQUENCE ticket CACHE 2")])
def test_a_step_that_takes_too_long(cut, state, side, lock):
    """Before the decision: the cutover leads back, whichever side it is that does not answer, and says whose deadline has passed."""
    configure(cut, step_timeout_ms=1500)
    with contextlib.ExitStack() as stack:
        url = cut.s.source_url if side == "source" else cut.s.target_url
        cut.at(f"cutover.{state}", lambda: stack.enter_context(holding(url, lock)), 11)
        steps = [json.loads(detail) for detail, in cut.s.target("SELECT detail FROM crossfade.audit WHERE event = 'cutover.step' ORDER BY seq")]
        assert [step["after"] for step in steps[-2:]] == [state, "aborting"] and "cutover.step_timeout_ms" in steps[-1]["reason"], steps
    assert_put_back(cut)
