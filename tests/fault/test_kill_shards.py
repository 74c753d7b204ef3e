"""Several apply processes share the tables of one journal in Kafka, and are killed; then their number changes.

Whatever is killed, each shard comes back to a fence, no change is lost or doubled, a comparison waits for all of them; another number of
shards begins only where all of the old ones stand.
"""

import random
import time

from rig import Kafka, Postgres, Workdir
from rig.procs import retries
from rig.scenario import count, scenario, seed
from rig.shards import shard_roles
from rig.wait import wait_until
from rig.writer import Writer

TABLES = [f"t{i}" for i in range(8)]
SCHEMA = ";".join(f"CREATE TABLE {t} (id int PRIMARY KEY, n int NOT NULL, big text); INSERT INTO {t} SELECT i, 0, repeat('x', 3000) FROM generate_series(1, 100) i"
                  for t in TABLES) + "; CREATE TABLE bare (a int, b text); ALTER TABLE bare REPLICA IDENTITY FULL"


def positions(s):
    return dict(s.target("SELECT shard, fence_id FROM crossfade.position ORDER BY shard"))


def work(rng):
    def statements(round_):
        t, a = rng.choice(TABLES), rng.randint(1, 100)
        yield f"UPDATE {t} SET n = n + 1 WHERE id <= {a}"  # (the large value is not sent)
        yield f"INSERT INTO {t} VALUES ({1000 + round_}, {round_}, 'new')"
        yield f"INSERT INTO bare VALUES ({a}, 'twin'), ({a}, 'twin'); DELETE FROM bare WHERE ctid = (SELECT min(ctid) FROM bare)"
        yield f"DELETE FROM {t} WHERE id = {1000 + round_ - 40}"
    return statements


def compare(s):
    done = s.pipeline.run("compare", "run", "--json", timeout=240)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def wait_caught_up(roles, s):
    lsn = s.admin("INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('%s', gen_random_uuid()::text, 'ping')" % s.name,
                   "SELECT pg_current_wal_insert_lsn()::text")[0][0]
    s.admin("INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('%s', gen_random_uuid()::text, 'ping')" % s.name)
    for role in roles:
        role.wait_lsn("applied_lsn", lsn, 120)


def test_shards_are_killed_and_their_number_changes():
    rng = random.Random(seed())
    more = {"compare": {"deadline_ms": 120000}}
    with Workdir("kill-shards") as folder, Kafka(folder) as kafka, Postgres(folder, "source") as source, Postgres(folder, "target") as target, \
            scenario(folder, source, target, SCHEMA, more=more, journal=kafka.url) as s:
        roles = shard_roles(s.pipeline.settings, folder, "shard", 2)
        try:
            s.capture.start()
            for role in roles:
                role.start()
            for role in roles:
                role.wait_for(lambda status: status.get("complete"), 90, "the copy is complete")
            with Writer(s.source_url, work(rng), pause=0.01) as writer:
                for _ in range(count(8, 60)):
                    time.sleep(rng.uniform(0.05, 0.6))
                    victim = rng.choice(roles * 2 + [s.capture])
                    assert victim.exit_code in (None, -9), victim.log_tail()
                    victim.kill9()
                    victim.start()
                writer.wait_rounds(30)
                compare(s)  # live: all shards stop at one fence
            wait_caught_up(roles, s)
            compare(s)
            assert sorted(positions(s)) == ["1/2", "2/2"]
            assert [role.status()["shard"] for role in roles] == ["1/2", "2/2"] and 'shard="2/2"' in roles[1].get("/metrics")[1]
            assert s.target("SELECT count(DISTINCT shard) FROM crossfade.loaded") == [(2,)], "all tables are of one shard: the test proves nothing"

            # One of the old ones is behind: the new ones refuse.
            s.capture.terminate()
            wait_until(lambda: len(set(positions(s).values())) == 1, 60, "both shards are at the last fence")
            roles[1].terminate()
            s.source("UPDATE t1 SET n = n + 1", "UPDATE t2 SET n = n + 1")
            s.capture.start()
            wait_until(lambda: positions(s)["1/2"] > positions(s)["2/2"], 60, "one shard is ahead")
            s.capture.terminate()
            roles[0].terminate()
            new = shard_roles(s.pipeline.settings, folder, "shard", 3)
            new[0].start()
            new[0].assert_exit(2, 60)
            assert "do not all stand at the same fence" in new[0].log_text(), new[0].log_tail()
            # They come together, and the new ones take over.
            for role in roles:
                role.start()
            wait_until(lambda: len(set(positions(s).values())) == 1 and positions(s)["2/2"] > 0 and roles[0].status() and roles[1].status(), 90, "both shards are at the last fence")
            new[0].start()  # the old ones are still there: it waits for their locks
            retries(new[0], "is connected to the target")
            for role in roles:
                role.terminate()
            for role in new[1:]:
                role.start()
            roles = new
            wait_until(lambda: sorted(positions(s)) == ["1/3", "2/3", "3/3"], 60, "the positions are those of the new shards")
            s.capture.start()
            s.source("UPDATE t1 SET n = n + 1", "INSERT INTO bare VALUES (1, 'after')", *(f"DELETE FROM {t} WHERE id = 7" for t in TABLES))
            wait_caught_up(roles, s)
            compare(s)
        finally:
            for role in roles:
                role.close()
