"""A network namespace with one cable to this machine, that can be cut without either side being told. Needs root."""

import itertools
import os
import subprocess

_numbers = itertools.count(1)


def why_not():
    """Why no namespace can be made here; None when one can."""
    if os.getuid() != 0:
        return "not root: no network namespaces"
    name = f"cfp{os.getpid() % 10000}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces: {made.stderr.strip()}"
    _ip("netns", "del", name)
    return None


def _ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Namespace:
    """with Namespace() as ns: run [*ns.enter, program…]; it is at ns.inside, we are at ns.outside; ns.cut(), ns.heal()"""

    def __init__(self):
        number = os.getpid() * 8 + next(_numbers)
        self.name = f"cf{os.getpid()}x{number % 8}"
        base = f"10.213.{number // 64 % 256}.{number % 64 * 4}"
        first = base.rsplit(".", 1)
        self.outside, self.inside = (f"{first[0]}.{int(first[1]) + n}" for n in (1, 2))
        self._cable = f"cfv{number % 1000000}"
        self.enter = ["ip", "netns", "exec", self.name]

    def __enter__(self):
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", self._cable, "type", "veth", "peer", "name", "cable", "netns", self.name)
            _ip("addr", "add", f"{self.outside}/30", "dev", self._cable)
            _ip("link", "set", self._cable, "up")
            _ip("-n", self.name, "addr", "add", f"{self.inside}/30", "dev", "cable")
            _ip("-n", self.name, "link", "set", "lo", "up")
            _ip("-n", self.name, "link", "set", "cable", "up")
        except RuntimeError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        subprocess.run(["ip", "link", "del", self._cable], capture_output=True, check=False)
        _ip("netns", "del", self.name)

    def cut(self):
        """Packets from inside vanish; nobody hears of it."""
        _ip("-n", self.name, "route", "add", "blackhole", f"{self.outside}/32")

    def heal(self):
        _ip("-n", self.name, "route", "del", "blackhole", f"{self.outside}/32")
