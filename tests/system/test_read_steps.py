"""Reads that go to the target in steps before the cutover, through a real proxy: measured, held, recorded, and led back when anything is wrong."""

import os
import signal
import sys

import pytest

from rig import Postgres, Workdir, wait_until
from rig.haproxy import Haproxy
from rig.privileges import OWNER
from rig.procs import Role
from rig.scenario import scenario
from test_hostile_cutover import SETTINGS, Cut, gates_of, refuses, stopped

SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, 1 FROM generate_series(1, 200) i"
SHADOW = {"queries": [{"sql": "SELECT * FROM public.t WHERE id = $1", "params": [[1], [2], [3]]}], "samples": 5, "rate": 0, "min_coverage": 0, "latency_regression": "0", "rechecks": 1}
HOOK = """import os, socket, sys
share = int(os.environ["CROSSFADE_READ_SHARE"])
with open(sys.argv[2], "a") as f:
    f.write(f"{share}\\n")
for server, weight in (("target", share), ("source", 100 - share)):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        s.sendall(f"set weight reads/{server} {weight}\\n".encode())
        answer = s.recv(1000).decode().strip()
        assert not answer, answer
"""


class Reads:
    """A pipeline, a proxy in front of both sides, and a cutover that leads reads over in steps."""

    def __init__(self, folder, made, proxy):
        self.cut, self.s, self.proxy, self.folder = Cut(folder, made), made, proxy, str(folder)
        self.notes, script = (os.path.join(self.folder, f"{made.name}-{name}") for name in ("shares", "hook.py"))
        with open(script, "w", encoding="utf-8") as f:
            f.write(HOOK)
        self.hook = f"{sys.executable} {script} {proxy.socket} {self.notes}"
        self.configure()
        made.start()
        made.target(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {OWNER}")
        self.cut.compare()

    def configure(self, shadow=None, **more):
        self.s.pipeline.settings["cutover"] = {**SETTINGS, "read_steps": [1, 10, 100], "read_step_hold": "0s", "on_read_step": [self.hook], **more}
        self.s.pipeline.settings["compare"]["shadow"] = {**SHADOW, **(shadow or {})}
        self.s.pipeline.write()

    def shares(self):
        """That the hook was called with, since the last time."""
        if not os.path.exists(self.notes):
            return []
        with open(self.notes, encoding="utf-8") as f:
            found = [int(line) for line in f]
        os.unlink(self.notes)
        return found

    def recorded(self):
        return [share for (share,) in self.s.target("SELECT (detail->>'read_share')::int FROM crossfade.cutover WHERE state = 'reading' ORDER BY at, seq")]

    def process(self):
        return Role("cutover run --execute", self.s.pipeline.config_of("cutover"), os.path.join(self.folder, f"{self.s.name}-cutover.log"))

    def all_go_to(self, side):
        port = {"source": self.s.source_server.port, "target": self.s.target_server.port}[side]
        assert set(self.proxy.ports(8, OWNER, self.s.name)) == {port}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("read-steps") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="reads")
def fixture_reads(servers):
    folder, source, target = servers
    with scenario(*servers, SCHEMA, more={"cutover": SETTINGS}) as made, Haproxy(folder, f"{made.name}-proxy", {"source": source.port, "target": target.port}) as proxy:
        yield Reads(folder, made, proxy)


def test_steps_up_to_the_cutover(reads):
    """Each share is what the proxy has while it is held; nothing is closed, and the source takes writes all the time."""
    assert gates_of(reads.cut, expected=0)["read_steps"]["measured"].startswith("3 steps up to 100 %")
    reads.all_go_to("source")
    reads.configure(read_step_hold="3s")
    with reads.process() as process:
        process.start()
        for share in (1, 10, 100):
            wait_until(lambda wanted=share: not process.running or reads.proxy.weights() == {"source": 100 - wanted, "target": wanted}, 60, f"{share} % go to the target")
            assert process.running and reads.cut.serves(), process.log_tail()
        reads.all_go_to("target")
        process.assert_exit(0, 120)
    assert reads.shares() == [1, 10, 100] and reads.recorded() == [0, 1, 10, 100]
    assert "reads: 10 % on the target: 1 shadow queries" in process.log_text()
    reads.all_go_to("target")


def test_reads_are_complete_when_the_last_step_is_less(reads):
    reads.configure(read_steps=[5])
    assert reads.cut.run("run", "--execute")["outcome"] == "done"
    assert reads.shares() == [5, 100]
    reads.all_go_to("target")


@pytest.mark.parametrize("wrong", ["answers", "latency", "hook"])
def test_what_is_wrong_leads_back(reads, wrong):
    """Before anything was closed: no trigger, no pause; the proxy leads to the source as before."""
    hook = reads.hook
    if wrong == "answers":
        reads.s.target("UPDATE t SET v = 2 WHERE id = 2")
        reason = "no PASS"
    elif wrong == "latency":
        reads.configure(shadow_latency_ratio="0.001")
        assert reads.s.pipeline.run("compare", "shadow").returncode == 0
        # The gate would refuse before the first step: what it goes by is made to look well.
        reads.s.target("UPDATE crossfade.verdict SET detail = detail || '{\"p95_target_us\": 0}' WHERE scope = 'shadow'")
        reason = "too slowly"
    else:
        reads.configure(on_read_step=[hook, 'test "$CROSSFADE_READ_SHARE" -lt 10'])
        reason = "exit code 1"
    report = reads.cut.run("run", "--execute", expected=11)
    assert report["outcome"] == "aborted" and reason in report["reason"] and report["pause_ms"] == 0, report
    assert reads.shares() == ([1, 10, 0] if wrong == "hook" else [1, 0]) and reads.cut.serves()
    assert "arming" not in [step["state"] for step in report["steps"]] and reads.s.admin("SELECT count(*) FROM pg_trigger WHERE tgname = 'crossfade_freeze'") == [(0,)]
    reads.all_go_to("source")
    if wrong == "answers":
        reads.s.target("UPDATE t SET v = 1 WHERE id = 2")
        reads.cut.compare()
    reads.configure()
    assert reads.cut.run("run", "--execute")["outcome"] == "done"


@pytest.mark.parametrize("then", ["run", "abort"])
def test_a_kill_between_steps(reads, then):
    """It goes on with the share at hand, or all are led back."""
    with reads.process() as process:
        process.start(failpoint="cutover.read_step:2:stop")
        wait_until(lambda: not process.running or stopped(process.pid), 60, "it stands still before the second step")
        assert process.running, process.log_tail()
        process.kill9()
    assert reads.shares() == [1] and reads.proxy.weights() == {"source": 99, "target": 1}
    if then == "run":
        assert reads.cut.run("run", "--execute")["outcome"] == "done"
        assert reads.shares() == [10, 100] and reads.recorded() == [0, 1, 10, 10, 100]
    else:
        assert reads.cut.run("abort", expected=11)["outcome"] == "aborted"
        assert reads.shares() == [0] and reads.cut.serves()
    reads.all_go_to("target" if then == "run" else "source")


def test_a_signal_while_a_share_is_held(reads):
    reads.configure(read_step_hold="1h")
    with reads.process() as process:
        process.start()
        wait_until(lambda: not process.running or reads.proxy.weights()["target"] == 1, 60, "the first share goes to the target")
        process.signal(signal.SIGTERM)
        process.assert_exit(11, 60)
    assert reads.shares() == [1, 0] and reads.cut.serves()
    reads.all_go_to("source")


def test_reads_that_cannot_be_led_back_are_for_a_person(reads):
    """The source serves; whoever mends it aborts again."""
    reads.configure(on_read_step=[reads.hook, f'test "$CROSSFADE_READ_SHARE" -lt 10 -a \\( "$CROSSFADE_READ_SHARE" -gt 0 -o -e {reads.notes}.mended \\)'])
    done = reads.s.pipeline.run("cutover", "run", "--execute")
    assert done.returncode == 12 and "may still be led to the target" in done.stderr, done.stdout + done.stderr
    assert reads.cut.serves()
    with open(f"{reads.notes}.mended", "w", encoding="utf-8"):
        pass
    assert reads.cut.run("abort", expected=11)["outcome"] == "aborted"
    reads.all_go_to("source")


def test_gate(reads):
    for words, hint in (({"on_read_step": []}, "on_read_step"), ({"read_steps": [10, 5]}, "greater"), ({"shadow": {"queries": []}}, "workload")):
        reads.configure(**words)
        refuses(reads.cut, "read_steps", hint)
    reads.configure(read_steps=[101])
    assert reads.s.pipeline.run("cutover", "plan").returncode == 2
