"""The kill loop over Kafka without transactions: records may be there twice, yet fences, verify and the target tell each change once."""

import json

from rig import Kafka, Workdir
from rig.journal import read_kafka_by_fences
from rig.killloop import KillLoop
from rig.scenario import count, seed


def test_everything_is_killed_at_every_point_and_at_random_moments():
    with Workdir("kill-idempotent") as folder, Kafka(folder) as kafka, \
            KillLoop(folder, seed(), broker=kafka, rate=50, journal={"delivery": "idempotent", "partitions": 2}) as loop:
        missed = []
        points = loop.points("kafka")
        mine = ("capture.fence", "capture.committed", "capture.txn_part", "capture.snapshot_part", "capture.snapshot_begun", "journal.kafka", "apply.before_write", "apply.after_commit")
        for point, roles in points if count(False, True) else [p for p in points if p[0].startswith(mine)]:
            hit = loop.kill_at(point, roles)
            print(f"{point}: {hit}")
            if hit is None:
                missed.append(point)
        assert not missed, f"never reached: {missed}"
        loop.kill_at_random(count(10, 100))
        print(f"{loop.kills} kills")
        strays = []

        def judged():
            topics, fences, found = read_kafka_by_fences(kafka, loop.pipeline.name)
            strays.extend(found)
            return topics, fences
        loop.finish(judged)
        done = loop.pipeline.run("journal", "verify", "--json", timeout=300)
        assert done.returncode == 0, done.stdout[-3000:]
        totals = json.loads(done.stdout.splitlines()[-1])["totals"]
        print(f"stray records and fences: {strays}; {totals}")
        assert [totals["stray_records"], totals["stray_fences"]] == strays
        assert strays[0] > 0, "no kill left a record that no fence covers: the loop proves nothing"
