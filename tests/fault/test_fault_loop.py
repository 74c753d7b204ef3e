"""The fault loop: the n-th journal call fails, n = 1, 2, … until a run meets no failure. After each the same oracle.

A role may recover by itself or end with a documented code; then it is started again, as a supervisor would.
"""

import os
import struct
import time

import pytest

from rig import Postgres, Workdir
from rig.journal import assert_journal, read_cat
from rig.oracle import assert_equal
from rig.scenario import FULL, scenario

SCHEMA = """CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t);
    INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 300) i; INSERT INTO u SELECT i, i FROM generate_series(1, 100) i"""
TRAFFIC = ["INSERT INTO t VALUES (1000, 'new'); INSERT INTO u VALUES (1000, 1000)", "UPDATE t SET v = v || '!' WHERE id % 7 = 0", "DELETE FROM u WHERE id < 10",
           "UPDATE u SET t = 1 WHERE id = 20; UPDATE t SET id = 2000 WHERE id = 200", "INSERT INTO t SELECT i, 'more' FROM generate_series(3000, 3100) i"]
WRITER = ["open", "stream", "append", "flush", "commit"]
READER = ["open", "bounds", "assign", "next", "confirm"]
EXIT_CODES = (None, 0, 4, 5)


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("fault") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def counters(path):
    """(calls made, times fired)"""
    if not os.path.exists(path):
        return 0, 0
    with open(path, "rb") as f:
        return struct.unpack("<QQ", f.read(16).ljust(16, b"\0"))


def after(n):
    """The next n: 1, 2, 3, … in full (of many ever fewer), three times as far each time in normal mode."""
    return n + 1 + n // 20 if FULL else n + 1 if n < 3 else 3 * n


def run_once(servers, role, slot, n, action):
    """One pipeline from nothing to equal; the n-th call of the slot fails in that role. Returns (calls, fired)."""
    folder, source, target = servers
    with scenario(folder, source, target, SCHEMA, more={"capture": {"snapshot_chunk_rows": 100}}) as s:
        counter = os.path.join(folder, f"{s.name}.count")
        plain = s.pipeline.settings["journal"]["url"]
        faulty = os.path.join(folder, f"{s.name}-{role}.yaml")
        s.pipeline.settings["journal"]["url"] = f"fault:{slot}:{n}:{action}@{counter}:{plain}"
        config, s.pipeline.config = s.pipeline.config, faulty
        s.pipeline.write()
        s.pipeline.config = config
        victim = getattr(s, role)
        victim.argv[victim.argv.index("-c") + 1] = faulty
        s.start(wait=False)
        keep_running(s, lambda: (s.position() or {}).get("complete"))
        lsns = []
        for statement in TRAFFIC:
            s.source(statement)
            lsns.append(source.lsn())
        s.admin(f"INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('{s.name}', 'end', 'ping')")
        keep_running(s, lambda: s.target("SELECT lsn >= %s::pg_lsn FROM crossfade.position" % f"'{lsns[-1]}'")[0][0])
        assert_equal(s.source_url, s.target_url)
        for one in (s.capture, s.apply):
            one.terminate() if one.running else None
            assert one.exit_code in EXIT_CODES, one.log_tail()
        assert_journal(*read_cat(s.pipeline), s.source_url, s.name)
        return counters(counter)


def keep_running(s, done, timeout=60):
    deadline = time.monotonic() + timeout
    while not done():
        for role in (s.capture, s.apply):
            if not role.running:
                assert role.exit_code in EXIT_CODES, f"{role.name}: exit code {role.exit_code}\n{role.log_tail()}"
                assert role.exit_code != 0, f"{role.name} ended as if all were well\n{role.log_tail()}"
                role.start()
        assert time.monotonic() < deadline, f"not there within {timeout} s\n{s.capture.log_tail()}\n{s.apply.log_tail()}"
        time.sleep(0.02)


@pytest.mark.parametrize("action", ["error", "error_after"])
@pytest.mark.parametrize("role,slot", [("capture", slot) for slot in WRITER] + [("apply", slot) for slot in READER])
def test_nth_call_fails(servers, role, slot, action):
    if action == "error_after" and slot in ("open", "stream", "append", "bounds", "assign", "next") and not FULL:
        pytest.skip("much like error, one call later: with --full")
    n, tried = 1, 0
    while True:
        made, fired = run_once(servers, role, slot, n, action)
        print(f"{role} {slot} {n}: {made} calls, fired {fired}")
        if not fired:
            break
        n, tried = after(n), tried + 1
    assert tried > 0
