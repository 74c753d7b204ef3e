"""Approvals of a cutover: signed, for one plan, one cutover and a time, by keys that are allowed and by somebody else; and confirming the database by its name."""

import hashlib
import json
import os
import pty
import pwd
import re
import signal
import subprocess

import pytest

from rig import Pipeline, Postgres, Workdir, find_crossfade
from rig.audit import OnPostgres, check, hash_of
from rig.postgres import copy_schema
from rig.scenario import count
from rig.wait import wait_until
from rig.workdir import server_user

USER = pwd.getpwuid(os.getuid()).pw_name
OTHER = server_user()  # somebody else, where there is one
SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 200) i; CREATE SEQUENCE s"
needs_other = pytest.mark.skipif(OTHER is None, reason="only root can come as somebody else")


def make_key(folder, name, owner=None):
    """A private key's file, and the public half as the configuration has it."""
    path = os.path.join(folder, f"{name}.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    os.chmod(path, 0o600)
    public = subprocess.run(["openssl", "pkey", "-in", path, "-pubout"], check=True, capture_output=True, text=True).stdout.splitlines()[1]
    if owner:
        os.chown(path, owner.pw_uid, owner.pw_gid)
    return path, public


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("approvals") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


class Case:
    """Two databases with a publication, and keys: anna's and bo's are allowed, carl's is not. No role runs: `cutover plan` tells of its gates all the same."""

    def __init__(self, servers, name, approval=("ticket", "second_person"), users=None, running=False, **more):
        self.folder, self.source_server, self.target_server = servers
        self.name = name
        self.source, self.target = self.source_server.create_db(name), self.target_server.create_db(name)
        self.source_server.sql(SCHEMA, db=name)
        copy_schema(self.source, self.target)
        if not running:
            self.source_server.sql(f"CREATE PUBLICATION crossfade_{name} FOR TABLE t", db=name)
        self.keys = {who: make_key(self.folder, f"{name}_{who}", OTHER if who == "bo" else None) for who in ("anna", "bo", "carl")}
        users = users or {}
        approvers = [{"name": who, "key": self.keys[who][1], **({"users": users[who]} if who in users else {})} for who in ("anna", "bo")]
        cutover = {"approval": approval if isinstance(approval, str) else list(approval), "approvers": approvers, "lag_stable_ms": 100, "max_lag_ms": 30000, **more}
        self.pipeline = Pipeline(self.folder, self.source, self.target, name=name, tables=("public.*",), roles=False,
                                 more={"cutover": cutover, "capture": {"heartbeat_interval_ms": 500}})
        self.chain = OnPostgres(self.target_server, name)
        os.chmod(self.pipeline.config, 0o644)

    def run(self, *words, user=None, env=None):
        argv = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", "--"] if user else []
        done = subprocess.run([*argv, find_crossfade(), "-c", self.pipeline.config, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
                              env=dict(os.environ, **(env or {})))
        assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
        return done

    def approve(self, who, *words, expected=0, user=None):
        done = self.run("approve", *words, "--key", self.keys[who][0], "--json", user=user)
        assert done.returncode == expected, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if expected == 0 else done.stderr

    def plan(self, *words):
        return json.loads(self.run("cutover", "plan", "--json", *words).stdout)

    def gate(self, name="approvals", *words):
        return next(gate for gate in self.plan(*words)["gates"] if gate["name"] == name)

    def states(self):
        done = self.run("approve", "list", "--json")
        found = {one["kind"]: one for one in json.loads(done.stdout)["approvals"]}
        assert done.returncode == (1 if any(one["wanted"] and not one["met"] for one in found.values()) else 0)
        return found

    def given(self):
        return [row for row in self.chain.rows() if row["event"] == "approval.given"]

    def add(self, row, **changes):
        """Appends a row as somebody who may INSERT and knows how hashes are made."""
        last = self.chain.rows()[-1]
        new = dict(row, seq=last["seq"] + 1, prev_hash=last["hash"], **changes)
        new["hash"] = hash_of(new)
        self.chain.insert(new)

    def rehearsed(self, **detail):
        """As `rollback rehearse` writes it down. Returns its number."""
        self.add(dict(self.chain.rows()[-1], event="rollback.rehearsed", cutover_id="", detail=json.dumps(detail)))
        return self.chain.rows()[-1]["seq"]

    def settings(self, **cutover):
        self.pipeline.settings["cutover"].update(cutover)
        self.pipeline.write()


@pytest.fixture(name="case")
def fixture_case(servers, request):
    made = []

    def make(**more):
        name = re.sub(r"\W+", "_", request.node.name).removeprefix("test_")[:24].strip("_").lower()
        made.append(Case(servers, name, **more))
        return made[-1]
    yield make
    for one in made:
        one.pipeline.close()


@needs_other
def test_all_that_is_asked_for(case):
    c = case(approval=("ticket", "second_person", "backup", "rehearsal"))
    gate = c.gate()
    assert gate["verdict"] == "refused" and all(f"{kind} (none was given)" in gate["hint"] for kind in ("ticket", "second_person", "backup")), gate
    given = c.approve("anna", "ticket", "backup", "--note", "CHG-7")
    assert given["approver"] == "anna" and [one["kind"] for one in given["given"]] == ["ticket", "backup"] and given["plan_hash"] == c.plan()["plan_hash"]
    assert {kind for kind, one in c.states().items() if one["met"]} == {"ticket", "backup"}
    c.approve("bo", "second_person", "--plan", given["plan_hash"], user=OTHER)
    assert c.gate()["verdict"] == "refused" and "rehearsal" in c.gate()["hint"]
    c.rehearsed(outcome="could_not_run", total_ms=5)
    assert "no rollback was rehearsed" in c.gate()["measured"]
    c.rehearsed(outcome="failed", reason="rollback: rows are lost", total_ms=4100)
    assert "rows are lost" in c.approve("anna", "rehearsal", expected=10) and "failed in 4.1 s" in c.gate()["measured"]
    seq = c.rehearsed(outcome="passed", reason="", total_ms=43210)
    c.approve("anna", "rehearsal")
    gate = c.gate()
    assert gate["verdict"] == "ok" and "second_person by bo" in gate["measured"] and gate["hint"] == "", gate
    assert f"passed in 43.2 s, audit seq {seq}" in gate["measured"] and f"audit seq {seq}" in json.loads(c.given()[-1]["detail"])["note"], gate
    check([json.loads(line) for line in c.run("audit", "export").stdout.splitlines()])
    rows = c.given()
    assert rows[0]["os_user"] == USER and rows[2]["os_user"] == OTHER.pw_name and json.loads(rows[0]["detail"])["note"] == "CHG-7"
    assert c.run("audit", "verify").returncode == 0
    # the last hash stands on the source, too
    assert c.source_server.sql("SELECT seq, hash FROM crossfade.audit_anchor", db=c.name) == [(rows[-1]["seq"], rows[-1]["hash"])]


@pytest.mark.parametrize("approval", [(), "none"], ids=["unset", "none"])
def test_no_gate(case, approval):
    c = case(approval=approval)
    plan = c.plan()
    assert not [gate for gate in plan["gates"] if gate["name"] in ("approvals", "confirmed")] and len(plan["plan_hash"]) == 64
    assert c.target_server.value("SELECT count(*) FROM crossfade.audit", db=c.name) == 0  # a plan decides nothing


def test_a_key_that_is_not_allowed(case):
    c = case()
    assert "not allowed" in c.approve("carl", "ticket", "--note", "x", expected=10)
    assert c.target_server.value("SELECT to_regclass('crossfade.audit') IS NULL", db=c.name)  # nothing was written at all
    # Allowed while it signed, not any more.
    c.approve("anna", "ticket", "--note", "x")
    c.settings(approvers=[one for one in c.pipeline.settings["cutover"]["approvers"] if one["name"] != "anna"])
    assert "not among cutover.approvers" in c.states()["ticket"]["why"]
    # Another key under her name.
    c.settings(approvers=[{"name": "anna", "key": c.keys["carl"][1]}])
    assert "not by the approver's key" in c.states()["ticket"]["why"]


def test_a_key_file_that_others_can_read(case):
    c = case()
    os.chmod(c.keys["anna"][0], 0o640)
    assert "chmod 600" in c.approve("anna", "ticket", "--note", "x", expected=2)


@needs_other
def test_own_approval(case):
    c = case(approval=("second_person",), users={"anna": [USER]})
    c.approve("bo", "second_person")  # bo's key, in the hands of the user that runs the cutover
    assert "own approval" in c.states()["second_person"]["why"] and c.gate()["verdict"] == "refused"
    c.approve("anna", "second_person", expected=0)
    assert "own approval" in c.states()["second_person"]["why"]
    os.chown(c.keys["anna"][0], OTHER.pw_uid, OTHER.pw_gid)
    c.approve("anna", "second_person", user=OTHER)  # another user, but anna is the one who runs it
    assert "own approval" in c.states()["second_person"]["why"]
    c.approve("bo", "second_person", user=OTHER)
    assert c.states()["second_person"]["met"]


def test_a_changed_plan(case):
    c = case(approval=("ticket",))
    c.approve("anna", "ticket", "--note", "x")
    before = c.plan()["plan_hash"]
    assert c.states()["ticket"]["met"]
    c.settings(drain_timeout_s=61)
    assert "another plan" in c.states()["ticket"]["why"] and c.plan()["plan_hash"] != before
    assert "not the one that was looked at" in c.approve("anna", "ticket", "--note", "x", "--plan", before, expected=10)
    del c.pipeline.settings["cutover"]["drain_timeout_s"]
    c.pipeline.write()
    assert c.states()["ticket"]["met"]
    # A table more is another plan, too.
    for server in (c.source_server, c.target_server):
        server.sql("CREATE TABLE u (id int PRIMARY KEY)", db=c.name)
    c.source_server.sql(f"ALTER PUBLICATION crossfade_{c.name} ADD TABLE u", db=c.name)
    assert "another plan" in c.states()["ticket"]["why"]


def test_an_expired_one(case):
    c = case(approval=("ticket",))
    c.approve("anna", "ticket", "--note", "x", "--valid", "1")
    wait_until(lambda: "expired" in (c.states()["ticket"]["why"] or ""), 60, "it expires")
    assert c.gate()["verdict"] == "refused"
    assert "approval_valid_s" in c.approve("anna", "ticket", "--note", "x", "--valid", "100000", expected=10)
    # Signed when more was allowed.
    c.approve("anna", "ticket", "--note", "x", "--valid", "80000")
    assert c.states()["ticket"]["met"]


def test_forged_and_changed_rows(case):
    c = case(approval=("ticket", "backup"))
    c.approve("anna", "ticket", "--note", "x", "--valid", "3")
    row = c.given()[0]
    detail = json.loads(row["detail"])
    for change in ({"kind": "backup"}, {"expires_us": detail["expires_us"] + 3600 * 1000000}, {"note": "y"}, {"nonce": "0" * 32}, {"plan": "0" * 64}, {"approver": "bo"},
                   {"signature": detail["signature"][:-4] + "AAA="}, {"signature": ""}):
        c.add(row, detail=json.dumps({**detail, **change}))
        states = c.states()
        assert not states["backup"]["met"], change
    for column, value in (("os_user", "nobody"), ("db_user", "nobody"), ("host", "elsewhere"), ("pipeline", "other")):
        c.add(row, **{column: value})
    for nonsense in ("{}", "[]", "null", "{\"kind\":5}", "{\"kind\":\"ticket\"}"):
        c.add(row, detail=nonsense)
    wait_until(lambda: not c.states()["ticket"]["met"], 60, "the one that was signed expires")
    assert not c.states()["backup"]["met"]


def test_taken_back(case):
    c = case(approval=("ticket",))
    first = c.approve("anna", "ticket", "--note", "x")["given"][0]["nonce"]
    row = c.given()[0]
    assert c.run("approve", "revoke", first).returncode == 0
    assert "taken back" in c.states()["ticket"]["why"]
    c.add(row)  # the same row once more, behind the one that takes it back
    assert not c.states()["ticket"]["met"]
    c.approve("anna", "ticket", "--note", "again")
    assert c.states()["ticket"]["met"]


def test_words(case):
    c = case()
    for words in (("ticket",), ("--key", "x"), ("confirm", "--key", "x"), ("tickets", "--key", "x"), ("revoke",)):
        assert c.run("approve", *words).returncode == 2, words
    assert "--note" in c.approve("anna", "ticket", expected=2)
    assert "/no/such" in c.run("approve", "backup", "--key", "/no/such").stderr


def test_a_refused_cutover_is_written_down(case):
    """Its gates with their values; nothing else is done."""
    c = case(approval=("ticket",))
    done = c.run("cutover", "run", "--execute", "--json")
    assert done.returncode == 10, done.stdout + done.stderr
    row = c.chain.rows()[-1]
    detail = json.loads(row["detail"])
    assert row["event"] == "cutover.gates" and row["cutover_id"] == "" and detail["outcome"] == "refused"
    told = json.loads(done.stdout)
    assert [(g["name"], g["measured"]) for g in detail["gates"]] == [(g["name"], g["measured"]) for g in told["gates"]]
    assert told["audit_seq"] == row["seq"] and told["audit_hash"] == row["hash"] and detail["plan"] == told["plan_hash"]
    assert c.run("audit", "verify").returncode == 0


def typed(c, *words, answer):
    """Runs it at a terminal of its own and types the answer once it is asked: what it wrote, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(find_crossfade(), [find_crossfade(), "-c", c.pipeline.config, *words])
    text, answered = b"", False
    try:
        while True:
            piece = os.read(terminal, 4096)
            if not piece:
                break
            text += piece
            if b"Type its name" in text and not answered:
                os.write(terminal, answer.encode() + b"\n")
                answered = True
    except OSError:  # EIO: it has ended
        pass
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    return text.decode(), os.waitstatus_to_exitcode(status), answered


def test_the_database_is_named(case):
    c = case(approval=("confirm",))
    assert not [gate for gate in c.plan()["gates"] if gate["name"] == "confirmed"]  # a plan asks nobody

    def confirmed(*words):
        done = c.run("cutover", "run", "--execute", "--json", *words)
        assert done.returncode == 10, done.stderr
        return next(gate["verdict"] for gate in json.loads(done.stdout)["gates"] if gate["name"] == "confirmed")
    assert confirmed() == "refused"  # no terminal
    assert confirmed("--confirm", "postgres") == "refused"
    assert confirmed("--confirm", c.name) == "ok"
    for answer, verdict in ((c.name, "ok"), ("yes", "refused"), ("", "refused")):
        text, code, asked = typed(c, "cutover", "run", "--execute", answer=answer)
        assert asked and code == 10 and f'database "{c.name}"' in text
        row = json.loads(c.chain.rows()[-1]["detail"])
        assert next(gate["verdict"] for gate in row["gates"] if gate["name"] == "confirmed") == verdict, text


def reset(c):
    """As if no cutover had been tried, but for what was written down."""
    c.source_server.sql("DROP TRIGGER IF EXISTS crossfade_freeze ON t; DELETE FROM crossfade.decision", db=c.name)
    c.target_server.sql("DELETE FROM crossfade.cutover", db=c.name)


def start(c):
    c.pipeline.start()
    c.pipeline.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
    done = c.pipeline.run("compare", "run", "--json", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_other
def test_whole_cutover_and_no_second_one_by_the_same_approvals(case):
    c = case(approval=("confirm", "ticket", "second_person"), running=True)
    start(c)
    c.approve("anna", "ticket", "--note", "CHG-1")
    c.approve("bo", "second_person", user=OTHER)
    old = c.given()
    done = c.run("cutover", "run", "--execute", "--json", "--confirm", c.name)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["outcome"] == "done", done.stdout + done.stderr
    rows = c.chain.rows()
    of_it = [row for row in rows if row["cutover_id"] == report["id"]]
    assert [row["event"] for row in of_it[:3]] == ["cutover.gates", "cutover.step", "approval.used"]
    steps = [json.loads(row["detail"])["state"] for row in of_it if row["event"] == "cutover.step"]
    assert steps == [state for (state,) in c.target_server.sql("SELECT state FROM crossfade.cutover ORDER BY seq", db=c.name)] and steps[-1] == "done"
    assert [json.loads(row["detail"])["decision"] for row in of_it if row["event"] == "cutover.decision"] == ["switched"]
    nonces = json.loads(next(row["detail"] for row in of_it if row["event"] == "approval.used"))["nonces"]
    assert sorted(nonces) == sorted(json.loads(row["detail"])["nonce"] for row in old)
    assert report["audit_seq"] == rows[-1]["seq"] and c.run("audit", "verify").returncode == 0
    assert c.source_server.value("SELECT seq FROM crossfade.audit_anchor", db=c.name) == rows[-1]["seq"]
    # the report tells who has approved it
    told = {one["kind"]: one for one in json.loads(c.run("cutover", "report", "--json").stdout)["approvals"]}
    signatures = {(detail := json.loads(row["detail"]))["kind"]: (detail["signature"], row["seq"]) for row in old}
    assert set(told) == {"ticket", "second_person"} and told["ticket"]["note"] == "CHG-1" and told["second_person"]["approver"] == "bo"
    for kind, (signature, seq) in signatures.items():
        assert hashlib.sha256(signature.encode()).hexdigest().startswith(told[kind]["signature_sha256"]) and told[kind]["audit_seq"] == seq
    # Replay: as they are, and as copies of the rows.
    reset(c)
    for row in old:
        c.add(row)
    states = c.states()
    assert f"used by cutover {report['id']}" in states["ticket"]["why"] and not states["second_person"]["met"]
    done = c.run("cutover", "run", "--execute", "--json", "--confirm", c.name)
    assert done.returncode == 10 and "used by cutover" in done.stdout, done.stdout + done.stderr


def test_killed_at_each_row(case):
    """Between a row and its action, and between row and commit: resumed or put back it ends well, and chain and steps say the same."""
    c = case(approval=("ticket",), running=True)
    start(c)
    points = [f"cutover.audited:{n}" for n in count((1, 4, 10), range(1, 12))] + [f"cutover.{state}" for state in count(("freezing", "deciding", "switching"), (
        "beginning", "arming", "pausing", "freezing", "marking", "draining", "sequencing", "verifying", "deciding", "switching"))]
    for number, point in enumerate(points):
        c.approve("anna", "ticket", "--note", f"CHG-{number}")
        done = c.run("cutover", "run", "--execute", "--json", env={"CROSSFADE_FAILPOINT": point})
        assert done.returncode == -signal.SIGKILL, f"{point}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert c.run("audit", "verify", "--no-source").returncode == 0, point
        ended = c.run("cutover", "run", "--execute", "--json")
        if point == "cutover.audited:1":  # nothing had begun: the approval is not used
            assert ended.returncode == 0, ended.stdout + ended.stderr
        assert ended.returncode in (0, 11), f"{point}\n{ended.stdout}{ended.stderr}"
        assert c.run("audit", "verify").returncode == 0, point
        steps = c.target_server.sql("SELECT cutover_id, state FROM crossfade.cutover ORDER BY at, seq", db=c.name)
        told = [(row["cutover_id"], json.loads(row["detail"])["state"]) for row in c.chain.rows() if row["event"] == "cutover.step"]
        assert told[-len(steps):] == steps, point
        reset(c)
        done = c.pipeline.run("compare", "run", "--json", timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
