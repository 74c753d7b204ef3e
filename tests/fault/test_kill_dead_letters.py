"""Apply is killed around the commits that hold dead letters and those that apply them again: none lost, none doubled."""

import pytest

from rig import Postgres, Workdir, wait_until
from rig.scenario import count, scenario

KILLED = -9
HOLDING = ["apply.dead_letter:1", "apply.dead_letter:3", "apply.after_write:1", "apply.before_commit:1", "apply.after_commit:1", "apply.before_confirm:1"]
SETTLING = ["apply.retry_before_commit:1", "apply.retry_after_commit:1", "apply.retry_before_commit:2", "apply.retry_after_commit:3"]
SCHEMA = "CREATE TABLE t (id int PRIMARY KEY, v text, n int); INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 50) i"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("kill-letters") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def letters(s, state="held"):
    return s.target(f"SELECT record_offset, key_shown, behind FROM crossfade.dead_letter WHERE state = '{state}' ORDER BY id")


def restart(s, failpoint=None):
    if s.apply.running:
        s.apply.terminate()
    s.apply.start(failpoint=failpoint)


def test_killed_around_dead_letters(servers):
    strict, lax = "ALTER TABLE t ADD CONSTRAINT strict CHECK (length(v) < 7) NOT VALID", "ALTER TABLE t DROP CONSTRAINT strict"
    with scenario(*servers, SCHEMA, more={"apply": {"on_row_error": "dead_letter"}}) as s:
        s.start()
        s.wait()
        s.target(strict)
        expected = 0
        for number, point in enumerate(HOLDING * count(1, 5)):
            restart(s, point)
            base = 1000 * (number + 1)
            s.source(f"INSERT INTO t SELECT {base} + i, CASE WHEN i % 4 = 0 THEN 'far too long' ELSE 'ok' END, 0 FROM generate_series(1, 12) i",
                     f"UPDATE t SET n = n + 1 WHERE id > {base} OR id < 10", f"DELETE FROM t WHERE id = {base + 8}")
            s.apply.assert_exit(KILLED, 60)
            s.apply.start()
            s.wait()
            expected += 7  # 3 that were refused, 3 updates and a delete behind them
            held = letters(s)
            assert len(held) == expected and len(set(held)) == expected, held

        for number, point in enumerate(SETTLING * count(1, 3)):
            s.target(lax)
            restart(s, point)
            done = s.pipeline.run("apply", "dlq", "retry", "--all", "--timeout", "0")
            assert done.returncode in (0, 1), done.stderr
            s.apply.assert_exit(KILLED, 60)
            s.apply.start()
            wait_until(lambda: not letters(s), 60, "all are applied")
            s.assert_equal()  # each once: n counts the updates
            s.target(strict)
            s.source(f"INSERT INTO t SELECT {100000 + 100 * number} + i, 'far too long', 0 FROM generate_series(1, 4) i", "UPDATE t SET n = n + 1 WHERE id < 10",
                     f"UPDATE t SET n = n + 1 WHERE id > {100000 + 100 * number}")
            s.wait()
            assert len(letters(s)) == 8
        assert s.target("SELECT count(*) = count(DISTINCT (stream, partition, record_offset)) FROM crossfade.dead_letter") == [(True,)]
