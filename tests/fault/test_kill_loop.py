"""The kill loop over the embedded journal: see rig/killloop.py for what is killed and rig/journal.py for who judges."""

from rig import Workdir
from rig.journal import read_cat
from rig.killloop import KillLoop
from rig.scenario import count, seed

# Points that this load cannot come by, with the reason.
NOT_HERE = {}


def test_everything_is_killed_at_every_point_and_at_random_moments():
    with Workdir("kill") as folder, KillLoop(folder, seed()) as loop:
        missed = {}
        for point, roles in loop.points("lmdb"):
            hit = loop.kill_at(point, roles)
            print(f"{point}: {hit}")
            if hit is None:
                missed[point] = roles
        assert missed.keys() == NOT_HERE.keys(), f"never reached: {missed}, expected {NOT_HERE}"
        loop.kill_at_random(max(count(20, 120) - loop.kills, count(8, 60)))
        print(f"{loop.kills} kills")
        loop.finish(lambda: read_cat(loop.pipeline))
