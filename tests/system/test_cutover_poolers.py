"""Cutovers with real PgBouncers: clients behind them see a stall and no failure, all are switched or none, and whoever dies, one side serves."""

import contextlib
import json
import os
import signal

import psycopg
import pytest

from rig import Pgbouncer, Postgres, Workdir, wait_until
from rig.clients import SCHEMA, Clients, check
from rig.failpoints import failpoints
from rig.oracle import assert_equal
from rig.pgbouncer import WATCHER
from rig.privileges import OWNER
from rig.procs import Role
from rig.scenario import count, scenario
from rig.wait import patient
from test_hostile_cutover import stopped

SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 30000, "straggler_grace_ms": 500, "pooler_timeout_ms": 4000}
POINTS = ["cutover.marking", "cutover.switching", *sorted(failpoints("cutover/poolers"))]
UNDECIDED = ["cutover.marking", "cutover.poolers_paused"]


class Switch:
    """A scenario, its poolers with the source behind them, and the cutover that switches them."""

    def __init__(self, folder, made, poolers, protocol="extended"):
        self.s, self.folder, self.poolers, self.protocol = made, str(folder), poolers, protocol
        made.target(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {OWNER}")
        self.configure()
        self.before = [self.text(pooler) for pooler in poolers]

    def configure(self, **more):
        rules = [pooler.rule("app") for pooler in self.poolers]
        self.s.pipeline.settings["cutover"] = {**SETTINGS, "poolers": rules, **more}
        self.s.pipeline.write()

    @staticmethod
    def text(pooler):
        with open(pooler.ini, encoding="utf-8") as f:
            return f.read()

    def compare(self):
        done = self.s.pipeline.run("compare", "run", "--json")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr

    def run(self, *words, expected=0):
        done = self.s.pipeline.run("cutover", *words, "--json", timeout=300)
        assert done.returncode == expected, f"{words}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr}"
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def process(self, failpoint):
        log = os.path.join(self.folder, f"{self.s.name}-cutover.log")
        with Role("cutover run --execute", self.s.pipeline.config_of("cutover"), log) as process:
            yield process.start(failpoint=failpoint)
            assert not process.sanitizer_reports(), process.log_tail(100)

    def at(self, point, event, expected):
        """event() happens while the cutover stands still at the point; returns what it says."""
        with self.process(f"{point}:1:stop") as process:
            wait_until(lambda: not process.running or stopped(process.pid), 60, f"it stands still at {point}")
            assert process.running, process.log_tail()
            event()
            process.signal(signal.SIGCONT)
            code = process.wait(90)
            assert code == expected, f"exit code {code}\n{process.log_tail(40)}"
            return process.log_text()

    def leads(self, pooler):
        row = pooler.database("app")
        return {self.s.source_server.port: "source", self.s.target_server.port: "target"}[int(row["port"])], bool(row["paused"])

    def assert_all(self, side, poolers=None):
        """All poolers lead there and hold nobody; a transaction of an application goes through each."""
        for pooler in poolers or self.poolers:
            assert self.leads(pooler) == (side, False), pooler.name
            try:
                with psycopg.connect(pooler.url("app", OWNER), autocommit=True, connect_timeout=patient(10)) as connection:
                    connection.execute("UPDATE account SET moves = moves WHERE id = 1")
            except psycopg.OperationalError as error:
                raise AssertionError(f"{error}\n{pooler.show('POOLS')}\n{pooler.show('SERVERS')}\n{pooler.log_tail()}") from error
        if side == "source":
            assert [self.text(pooler) for pooler in self.poolers] == self.before
            assert self.s.admin("SELECT coalesce(max(state), 'aborted') FROM crossfade.decision") == [("aborted",)]


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("poolers") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="switch")
def fixture_switch(servers, request):
    asked = getattr(request, "param", 1)
    poolers, protocol = asked if isinstance(asked, tuple) else (asked, "extended")
    settings = {"max_prepared_statements": 100} if protocol == "prepared" else None
    with scenario(*servers, SCHEMA, more={"cutover": SETTINGS}) as made, contextlib.ExitStack() as stack:
        made_poolers = [stack.enter_context(Pgbouncer.before(made, servers[0], f"pooler{i}", settings=settings, newer=bool(settings))) for i in range(poolers)]
        made.start()
        switch = Switch(servers[0], made, made_poolers, protocol)
        switch.compare()
        yield switch


LONGEST = []  # stalls of all repetitions, in ms


REPETITIONS = {(1, "extended"): count(1, 30), (2, "extended"): count(1, 10), (2, "prepared"): count(1, 30)}


@pytest.mark.parametrize("switch,repetition", [pytest.param(case, i, id=f"{case[1]}-{case[0]}-{i}") for case, times in REPETITIONS.items() for i in range(times)], indirect=["switch"])
def test_clients_see_a_stall_and_no_failure(switch, repetition):
    """16 clients, 500 transactions a second, also with prepared statements (PgBouncer 1.24); with CF_CHECK_MODE=full again and again."""
    s = switch.s
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Clients(pooler.url("app", OWNER), switch.folder, clients=16 // len(switch.poolers), rate=500 // len(switch.poolers),
                                               protocol=switch.protocol, name=pooler.name, first=100 * i)) for i, pooler in enumerate(switch.poolers)]
        for one in clients:
            one.wait(count(300, 1000), s.source_url)
        report = switch.run("run", "--execute")
        assert report["outcome"] == "done"
        switch.assert_all("target")
        for one in clients:
            one.wait(count(300, 1000), s.target_url)
        for pooler in switch.poolers if switch.protocol == "prepared" else ():
            stats = next(row for row in pooler.show("STATS_TOTALS") if row["database"] == "app")
            assert 0 < stats["server_parse_count"] < stats["bind_count"] / 2, stats
        stalls = [one.stop() for one in clients]
    LONGEST.append(max(stalls))
    print(f"repetition {repetition}: longest stall {max(stalls):.0f} ms, of {len(LONGEST)} so far {max(LONGEST):.0f} ms; writers refused for {report['pause_ms']:.0f} ms")
    check(s.target_url, *clients)
    for pooler, before in zip(switch.poolers, switch.before):
        text = switch.text(pooler)
        lines = [line for line in before.splitlines() if not line.startswith("app =")]
        assert [line for line in text.splitlines() if line in lines] == lines  # nothing else has changed
        assert f";crossfade-before {report['id']} app = host=127.0.0.1 port={s.source_server.port}" in text and f"port={s.target_server.port}" in text
        assert "pool_size=12" in text and os.stat(pooler.ini).st_mode & 0o777 == 0o640 and os.stat(pooler.ini).st_uid == os.stat(pooler.home).st_uid


@pytest.mark.parametrize("switch", [2], indirect=True)
def test_one_that_does_not_pause_in_time_resumes_all(switch):
    switch.configure(pooler_timeout_ms=700)
    with psycopg.connect(switch.poolers[1].url("app", OWNER)) as connection:
        connection.execute("SELECT 1")  # and its transaction goes on; it holds no lock, so nobody ends it
        report = switch.run("run", "--execute", expected=11)
        assert "not paused after 700 ms" in report["reason"] and switch.poolers[1].admin in report["reason"], report["reason"]
        connection.execute("UPDATE account SET moves = moves WHERE id = 8")
        connection.commit()
    switch.assert_all("source")
    switch.run("run", "--execute")
    switch.assert_all("target")


@pytest.mark.parametrize("switch", [2], indirect=True)
def test_gates_tell_beforehand(switch):
    first, second = switch.poolers

    def gate(code):
        return next(g for g in switch.run("plan", expected=code)["gates"] if g["name"] == "poolers")

    def refused(*words, **rule):
        switch.configure(poolers=[first.rule("app"), {**second.rule("app"), **rule}])
        found = gate(10)
        assert found["verdict"] == "refused" and all(word in found["hint"] for word in words), found
        switch.run("run", "--execute", expected=10)

    refused("admin_users", admin=second.url("pgbouncer", WATCHER))
    refused("no such database", database="other")
    refused("login on the target as nobody_there", login=second.url("app", "nobody_there"))
    refused("its configuration is", ini=first.ini)
    refused("No such file", ini=second.ini + ".none")
    unknown = os.path.join(second.home, "pgbouncer.ini.crossfade-new")
    os.mkdir(unknown)  # whoever it is that runs this, no new file can be made there
    refused("cannot be replaced")
    os.rmdir(unknown)
    switch.assert_all("source")
    second.console('PAUSE "app"')
    refused("it is paused")
    second.console('RESUME "app"')
    second.console("SET pool_mode = session")
    refused("pools sessions")
    second.console("SET pool_mode = transaction")
    second.console("SET query_wait_timeout = 3")
    refused("query_wait_timeout")
    second.console("SET query_wait_timeout = 120")
    second.kill9()
    refused("cannot connect")
    assert switch.leads(first) == ("source", False)
    second.start()
    switch.configure(poolers=[first.rule("app"), second.rule("app", login=second.url("app", OWNER))])
    found = gate(0)
    assert found["verdict"] == "ok" and found["measured"] == \
        "2: transaction pooling, login NOT TRIED; transaction pooling, login tried, query_wait_timeout 120 s", found
    assert f":{first.port}/" in found["hint"] and f":{second.port}/" not in found["hint"] and "add login:" in found["hint"], found
    told = switch.s.pipeline.run("cutover", "plan").stdout
    assert "warn" in next(line for line in told.splitlines() if "login NOT TRIED" in line), told
    page = os.path.join(switch.folder, f"{switch.s.name}-plan.html")
    assert switch.s.pipeline.run("cutover", "plan", "--report", page).returncode == 0
    with open(page, encoding="utf-8") as f:
        told = f.read()
    assert "! warns" in told and "login NOT TRIED" in told and "add login:" in told
    switch.configure(poolers=[one.rule("app", login=one.url("app", OWNER)) for one in switch.poolers])
    found = gate(0)
    assert "NOT TRIED" not in found["measured"] and found["hint"] == "", found
    switch.assert_all("source")


@pytest.mark.parametrize("switch", [2], indirect=True)
def test_a_pooler_that_dies_after_pause_aborts(switch):
    """Its clients are gone with it; those of the other are resumed, and the source serves."""
    said = switch.at("cutover.draining", lambda: (assert_paused(switch), switch.poolers[1].kill9()), 11)
    assert "nobody listens there" in said, said
    switch.assert_all("source", switch.poolers[:1])
    switch.poolers[1].start()
    switch.assert_all("source")


def assert_paused(switch):
    assert [switch.leads(pooler) for pooler in switch.poolers] == [("source", True)] * len(switch.poolers)


@pytest.mark.parametrize("switch", [2], indirect=True)
def test_a_pooler_that_was_restarted_is_paused_again(switch):
    def event():
        assert_paused(switch)
        switch.poolers[1].kill9()
        switch.poolers[1].start()
        assert switch.leads(switch.poolers[1]) == ("source", False)
    said = switch.at("cutover.draining", event, 0)
    assert "paused again" in said, said
    switch.assert_all("target")
    assert_equal(switch.s.source_url, switch.s.target_url)


@pytest.mark.parametrize("switch", [2], indirect=True)
def test_a_pooler_that_is_away_behind_the_decision_is_waited_for(switch):
    """Its file leads to the target already: whenever it comes back, it leads there; the cutover asks for a person until then."""
    switch.at("cutover.switching", switch.poolers[0].kill9, 12)
    assert switch.leads(switch.poolers[1]) == ("target", False)
    switch.run("abort", expected=10)
    switch.poolers[0].start()
    assert switch.leads(switch.poolers[0]) == ("target", False)
    assert switch.run("run", "--execute")["outcome"] == "done"
    switch.assert_all("target")


@pytest.mark.parametrize("point,then", [*((point, "run") for point in POINTS), *((point, "abort") for point in UNDECIDED)])
@pytest.mark.parametrize("switch", [2], indirect=True)
def test_a_cutover_killed_while_poolers_are_paused(switch, point, then):
    s = switch.s
    with Clients(switch.poolers[0].url("app", OWNER), switch.folder, clients=4, rate=100, name=f"{s.name}-clients") as clients:
        clients.wait(100, s.source_url)
        with switch.process(point) as process:
            process.assert_exit(-signal.SIGKILL, 60)
        if point != "cutover.pooler_reloaded":
            assert_paused(switch)
        if then == "run":
            assert switch.run("run", "--execute")["outcome"] == "done"
        else:
            assert switch.run("abort", expected=11)["outcome"] == "aborted"
        side, url = ("target", s.target_url) if then == "run" else ("source", s.source_url)
        switch.assert_all(side)
        assert not any(os.path.exists(f"{pooler.ini}.crossfade-new") for pooler in switch.poolers)
        clients.wait(100, url)
        clients.stop()
    check(url, clients)


@pytest.mark.parametrize("point,side", [("cutover.draining", "source"), ("cutover.pooler_reloaded", "target")])
@pytest.mark.parametrize("switch", [2], indirect=True)
def test_nobody_comes_after_a_kill(switch, point, side):
    """The poolers are let go by themselves, to where their files say; the cutover can be taken up all the same."""
    switch.configure(pooler_hold_ms=3000)
    with switch.process(point) as process:
        process.assert_exit(-signal.SIGKILL, 60)
    wait_until(lambda: [switch.leads(pooler) for pooler in switch.poolers] == [(side, False)] * 2, 60, "all poolers are let go")
    if side == "source":
        with psycopg.connect(switch.poolers[0].url("app", OWNER)) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("UPDATE account SET moves = moves WHERE id = 1")  # still closed: told at once, not kept waiting
    assert switch.run("run", "--execute")["outcome"] == "done"
    switch.assert_all("target")


def test_hooks(switch):
    """They are given the state and no secrets; what fails before the decision aborts, behind it is told and taken again."""
    notes = os.path.join(switch.folder, f"{switch.s.name}-notes")
    note = f'read -r json; echo "$CROSSFADE_EVENT $CROSSFADE_STATE $CROSSFADE_TARGET_PORT $json" >>{notes}'

    def events():
        with open(notes, encoding="utf-8") as f:
            return [line.split(" ", 3) for line in f]
    every = {event: [note] for event in ("on_freeze", "on_verified", "on_switch", "on_abort", "on_done")}
    for event, state, words in (("on_freeze", "pausing", "exit code 3"), ("on_verified", "deciding", "exit code 3")):
        switch.configure(**{**every, event: [note, "echo postgresql://u:s3cret@h/d; exit 3", note]})
        done = switch.s.pipeline.run("cutover", "run", "--execute")
        assert done.returncode == 11 and words in done.stdout and f"{event}: postgresql://u:***@h/d" in done.stderr and "s3cret" not in done.stderr + done.stdout, \
            done.stdout + done.stderr
        assert [line[:2] for line in events()][-2:] == [[event, state], ["on_abort", "aborting"]], events()
        switch.assert_all("source")
    switch.configure(hook_timeout_ms=300, on_freeze=["sleep 600 & echo begun; wait"])
    report = switch.run("run", "--execute", expected=11)
    assert "not done after 300 ms" in report["reason"], report
    os.unlink(notes)
    switch.configure(**{**every, "on_switch": [note, f"test -e {notes}.right"], "on_done": ["exit 9", note]})
    done = switch.s.pipeline.run("cutover", "run", "--execute")
    assert done.returncode == 12 and "hook on_switch" in done.stderr, done.stdout + done.stderr
    chain = switch.s.target("SELECT event, detail::jsonb ->> 'error', detail::jsonb ->> 'state', detail::jsonb ->> 'reason' FROM crossfade.audit ORDER BY seq")
    assert chain[-1][0] == "cutover.error" and "on_switch" in chain[-1][1], chain[-1]
    reasons = [reason for event, _, state, reason in chain if event == "cutover.step" and state == "aborting"]
    assert len(reasons) == 3 and all("exit code 3" in reason for reason in reasons[:2]) and "not done after 300 ms" in reasons[2], reasons
    switch.assert_all("target")
    with open(f"{notes}.right", "w", encoding="utf-8"):
        pass
    done = switch.s.pipeline.run("cutover", "run", "--execute")
    assert done.returncode == 0 and "hook on_done: exit 9: exit code 9" in done.stderr, done.stdout + done.stderr
    assert [line[0] for line in events()] == ["on_freeze", "on_verified", "on_switch", "on_switch", "on_done"]
    said = json.loads(events()[-1][3])
    assert said["event"] == "on_done" and said["target_port"] == str(switch.s.target_server.port) == events()[-1][2] and said["pipeline"] == switch.s.name
    assert said["cutover_id"] and not any("password" in key or "url" in key for key in said)
