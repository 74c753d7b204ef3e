"""Another number of shards on both kinds of target, killed while positions are handed over; and shards where foreign keys fire."""

import urllib.parse

import psycopg
import pytest

from rig import Workdir
from rig.dialects import Into
from rig.privileges import as_role
from rig.procs import retries
from rig.wait import wait_until

TABLES = [f"t{i}" for i in range(7)] + ["picky"]
DDL = ";\n".join(f"CREATE TABLE {t} (id int PRIMARY KEY, n int)" for t in TABLES)
ROWS = 30


def die(role, failpoint):
    role.start(failpoint=failpoint)
    wait_until(lambda: role.exit_code is not None, 90, f"apply is killed at {failpoint}")
    assert role.exit_code == -9, role.log_tail()


def journal_more(x, *statements):
    """More changes in the journal than anybody has applied; capture is stopped."""
    x.capture.start()
    x.source(*statements, *(f"UPDATE {t} SET n = n + 1" for t in TABLES))
    x.journaled()
    x.capture.terminate()


def end(roles):
    for role in roles:
        role.terminate()


def come_together(x, roles):
    """All of them apply what is there."""
    for role in roles:
        role.start()
    x.one_fence(len(roles))
    end(roles)
    x.one_fence(len(roles))


def stream_and_compare(x, roles):
    x.capture.start()
    for role in roles:
        if not role.running:
            role.start()
    x.source(*(f"UPDATE {t} SET n = n + 1 WHERE id % 2 = 0" for t in TABLES), *(f"DELETE FROM {t} WHERE id = (SELECT min(id) FROM {t})" for t in TABLES))
    x.caught_up(roles)
    x.assert_equal(TABLES)
    x.assert_settled()
    x.capture.terminate()
    x.one_fence(len(roles))
    end(roles)


def hand_over(x, old, new):
    """Killed before and after its commit; a shard of the old ones was killed with prepared transactions that nothing has decided."""
    journal_more(x)
    before = x.positions()
    die(old[0], "apply.writers_before_decision")
    assert len(x.prepared()) == 1, x.prepared()
    die(new[0], "apply.shards_before_commit")
    assert x.positions() == before
    assert x.prepared() == []
    die(new[0], "apply.shards_committed")
    assert x.positions() == {f"{k}/{len(new)}": before[f"1/{len(old)}"] for k in range(1, len(new) + 1)}
    assert {row[0].split("/")[1] for row in x.target(f"SELECT shard FROM {x.control('loaded')}")} == {str(len(new))}


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_the_number_of_shards_changes_and_the_change_is_killed(dialect):
    more = {"apply": {"writers": 2, "writer_rows": 1, "on_row_error": "dead_letter"}}
    settings = {"max_prepared_transactions": 10} if dialect == "postgresql" else None
    with Workdir("shards-change") as folder, Into(folder, dialect, "shards", DDL, more, settings) as x:
        x.source(*(f"INSERT INTO {t} SELECT i, 0 FROM generate_series(1, {ROWS}) i" for t in TABLES))
        two, three, one = x.shards(2), x.shards(3), x.shards(1)
        x.capture.start()
        for role in two:
            role.start()
        for role in two:
            role.wait_for(lambda status: status.get("complete"), 90, "the copy is complete")
        # A change that the target refuses is held by the shard of its table.
        x.target("ALTER TABLE picky ADD CONSTRAINT small CHECK (n < 1000)")
        x.source("UPDATE picky SET n = 5000 WHERE id = 1")
        wait_until(lambda: x.target(f"SELECT count(*) FROM {x.control('dead_letter')} WHERE state = 'held'") == [("1",)], 60, "the letter is held")
        x.caught_up(two)
        x.capture.terminate()
        x.one_fence(2)
        end(two)
        # One of the old ones has decided what it was killed in: it is ahead of the other one.
        journal_more(x)
        die(two[0], "apply.writers_decided")
        assert x.pending() == ["1/2"]
        three[0].start()
        three[0].assert_exit(2, 60)
        assert "do not all stand at the same fence" in three[0].log_tail(), three[0].log_tail()
        assert x.pending() == [] and sorted(x.positions()) == ["1/2", "2/2"]
        come_together(x, two)

        hand_over(x, two, three)
        letter = x.target(f"SELECT DISTINCT shard FROM {x.control('dead_letter')} WHERE state = 'held'")
        assert letter == x.target(f"SELECT shard FROM {x.control('loaded')} WHERE table_name = 'picky'")
        x.target("ALTER TABLE picky DROP CONSTRAINT small")
        for role in three:
            role.start()
        for role in three:
            role.wait_for(lambda status: status.get("phase") == "streaming", 60, "its session is open")
        two[0].start()  # one of the old ones comes back: it finds the new ones there
        retries(two[0], "is connected to the target")
        two[0].kill9()
        done = x.pipeline.run("apply", "dlq", "retry", "--all")
        assert done.returncode == 0, done.stderr
        stream_and_compare(x, three)

        hand_over(x, three, one)
        stream_and_compare(x, one)
        assert sorted(x.positions()) == ["1/1"]


FK_DDL = """CREATE TABLE parent (id int PRIMARY KEY, n int);
CREATE TABLE child (id int PRIMARY KEY, p int NOT NULL REFERENCES parent ON DELETE CASCADE, n int);
CREATE TABLE grandchild (id int PRIMARY KEY, c int REFERENCES child ON DELETE CASCADE);
CREATE TABLE loose (id int PRIMARY KEY, p int);
CREATE TABLE alone1 (id int PRIMARY KEY);
CREATE TABLE alone2 (id int PRIMARY KEY);
CREATE TABLE alone3 (id int PRIMARY KEY)"""
FK_TABLES = ["parent", "child", "grandchild", "loose", "alone1", "alone2", "alone3"]


def families(x, first):
    """Each transaction has a family that has to come parents first, and one that goes."""
    for i in range(first, first + 40):
        x.source(f"INSERT INTO parent VALUES ({i}, 0); INSERT INTO child VALUES ({i}, {i}, 0); INSERT INTO grandchild VALUES ({i}, {i});"
                 f"INSERT INTO loose VALUES ({i}, {i}); INSERT INTO alone1 VALUES ({i}); INSERT INTO alone2 VALUES ({i}); INSERT INTO alone3 VALUES ({i});"
                 f"DELETE FROM parent WHERE id = {i} - 3 AND id % 2 = 0; DELETE FROM loose WHERE p = {i} - 3 AND p % 2 = 0")


def shards_by_table(x):
    return dict(x.target("SELECT table_name, shard FROM crossfade.loaded"))


def as_plain(x):
    """Two shards whose role may not keep foreign keys from firing. Capture's configuration stays as it was; its role is a member of theirs."""
    with psycopg.connect(x.target_url, autocommit=True) as admin:
        user = urllib.parse.urlsplit(x.pipeline.settings["target"]["url"]).username
        admin.execute(f"DROP SCHEMA IF EXISTS crossfade; CREATE ROLE plain LOGIN; GRANT CREATE ON DATABASE family TO plain; GRANT plain TO {user}")
        for table in FK_TABLES:
            admin.execute(f"ALTER TABLE {table} OWNER TO plain")
    x.pipeline.settings["target"]["url"] = as_role(x.target_url, "plain")
    return x.shards(2)


def test_direct_load_knows_the_shard_of_a_family():
    """The loader's own role may keep foreign keys from firing; whose tables they are goes by the homes that apply has written (find_shard)."""
    with Workdir("shards-fk-direct") as folder, Into(folder, "postgresql", "family", FK_DDL, {"capture": {"snapshot_path": "direct"}}) as x:
        roles = as_plain(x)
        for role in roles:
            role.start()
        wait_until(lambda: x.target("SELECT to_regclass('crossfade.shard_home')") != [(None,)], 90, "apply has made its tables")
        families(x, 1)
        x.capture.start(failpoint="capture.direct_chunk_done:3")
        x.capture.assert_exit(-9, timeout=90)
        x.capture.start()
        for role in roles:
            role.wait_for(lambda status: status.get("complete"), 90, "the copy is complete")
        families(x, 100)
        x.caught_up(roles)
        x.assert_equal(FK_TABLES)
        assert x.target("SELECT bool_and(done) FROM crossfade.direct_chunk") == [("True",)]
        at = shards_by_table(x)
        assert at["parent"] == at["child"] == at["grandchild"] and set(at.values()) == {"1/2", "2/2"}, at
        assert x.target("SELECT count(*) FROM crossfade.loaded") == [(str(len(FK_TABLES)),)]


def test_tables_that_firing_foreign_keys_connect_are_of_one_shard():
    with Workdir("shards-fk") as folder, Into(folder, "postgresql", "family", FK_DDL) as x:
        roles = as_plain(x)
        x.capture.start()
        for role in roles:
            role.start()
        for role in roles:
            role.wait_for(lambda status: status.get("complete"), 90, "the copy is complete")
        assert "triggers_fire" in roles[0].log_text()
        families(x, 1)
        x.caught_up(roles)
        x.assert_equal(FK_TABLES)
        at = shards_by_table(x)
        assert at["parent"] == at["child"] == at["grandchild"] and set(at.values()) == {"1/2", "2/2"}, at

        # A foreign key is added between tables of two shards: they are shared out anew, where all stand at one fence.
        other = next(t for t in FK_TABLES[3:] if at[t] != at["parent"])
        x.capture.terminate()
        x.one_fence(2)
        x.target(f"ALTER TABLE {other} ADD CONSTRAINT torn FOREIGN KEY (id) REFERENCES parent ON DELETE CASCADE NOT VALID")
        roles[0].terminate()
        roles[0].start()
        retries(roles[0], "is connected to the target")  # the other one goes by the old layout
        roles[1].terminate()
        wait_until(lambda: len(set(shards_by_table(x)[t] for t in ("parent", other))) == 1, 60, "they are of one shard")
        roles[0].wait_log("shards_torn")
        roles[1].start()
        x.source(f"DELETE FROM {other}")
        x.capture.start()
        for i in range(100, 140):
            x.source(f"INSERT INTO parent VALUES ({i}, 0); INSERT INTO {other} (id) VALUES ({i})")
        x.caught_up(roles)
        x.assert_equal(FK_TABLES)
        assert not any(role.sanitizer_reports() for role in roles)
