"""The kill loop over Kafka: the broker dies too, and the judge is a read_committed consumer of its own."""

from rig import Kafka, Workdir
from rig.journal import read_kafka
from rig.killloop import KillLoop
from rig.scenario import count, seed

# Points that this load cannot come by, with the reason.
NOT_HERE = {}


def test_everything_is_killed_at_every_point_and_at_random_moments():
    with Workdir("kill-kafka") as folder, Kafka(folder) as kafka, KillLoop(folder, seed(), broker=kafka, rate=50) as loop:
        missed = {}
        for point, roles in loop.points("kafka"):
            hit = loop.kill_at(point, roles)
            print(f"{point}: {hit}")
            if hit is None:
                missed[point] = roles
        assert missed.keys() == NOT_HERE.keys(), f"never reached: {missed}, expected {NOT_HERE}"
        loop.kill_at_random(max(count(20, 120) - loop.kills, count(6, 60)))
        print(f"{loop.kills} kills")
        loop.finish(lambda: read_kafka(kafka, loop.pipeline.name))
