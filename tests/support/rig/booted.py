"""A machine of its own with systemd as process 1: a Debian root (made by `tools/deps --systemd`) in namespaces of its own, with nothing but a loopback
network. It needs root, and nothing of the host's own service manager."""

import os
import subprocess

from .procs import Process, children_of, pid_alive
from .wait import patient, wait_until

_CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "crossfade")
ROOT_TAR = os.path.join(_CACHE, "systemd", "root.tar")

# As process 1 of the new PID namespace: into a control group of its own, so that this is the root of the tree that systemd sees.
_ENTER_GROUP = """set -eu
root=$1 group=$2
mount --make-rprivate /
mkdir -p "$root.cgroup"
mount -t cgroup2 none "$root.cgroup"
mkdir "$root.cgroup/$group"
echo 0 >"$root.cgroup/$group/cgroup.procs"
exec unshare --cgroup -- bash -c "$3" boot "$root"
"""
# Nothing that is the whole machine's can be changed from inside: the kernel's settings are read-only there, and what sets clocks, modules and the like is dropped.
_BOOT = """set -eu
root=$1
ip link set lo up
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
for part in sys sysrq-trigger irq bus acpi; do
    [ ! -e "$root/proc/$part" ] || { mount --bind "$root/proc/$part" "$root/proc/$part"; mount -o remount,bind,ro "$root/proc/$part"; }
done
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
hostname booted
cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
mount --make-rshared /
exec setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_resource,-syslog,-wake_alarm,-block_suspend -- env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 /lib/systemd/systemd --system --show-status=0 --log-target=journal
"""


def missing():
    """What a test with a booted machine lacks here, in words; None when all is there."""
    if os.getuid() != 0:
        return "namespaces and a service manager need root"
    return None if os.path.exists(ROOT_TAR) else f"no {ROOT_TAR}: run tools/deps --systemd"


class Machine:
    """with Machine(folder) as machine: machine.run("systemctl", "start", "x"). It is off, with all that runs in it, when the block ends."""

    def __init__(self, folder):
        self.folder, self.root = str(folder), os.path.join(str(folder), "root")
        self.group = f"crossfade-booted-{os.getpid()}"
        self.process = Process("machine", ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--net", "--",
                                           "bash", "-c", _ENTER_GROUP, "enter", self.root, self.group, _BOOT], os.path.join(self.folder, "machine.log"))
        self.init = None

    def __enter__(self):
        os.mkdir(self.root)
        subprocess.run(["tar", "-C", self.root, "--numeric-owner", "-xpf", ROOT_TAR], check=True, timeout=patient(300))
        try:
            self.boot()
        except BaseException:
            self.off()
            raise
        return self

    def __exit__(self, *exc):
        self.off()

    def boot(self):
        """Until systemd says that it has started all that it is to start."""
        self.process.start()
        self.process.wait_answers(lambda: children_of(self.process.pid), 30, what="has a process 1")
        self.init, = children_of(self.process.pid)
        self.process.wait_answers(lambda: self.ask("systemctl", "is-system-running")[1].strip() in ("running", "degraded"), 120, what="has booted")

    def off(self):
        """Its process 1 is killed, and with it everything in its namespace."""
        self.process.kill9()
        if self.init:
            wait_until(lambda: not pid_alive(self.init), 30, "the machine is off")
        self._remove_group()

    def _remove_group(self):
        """The control groups that it leaves are empty; they go away from the bottom up."""
        place = os.path.join(self.folder, "cgroup")
        os.makedirs(place, exist_ok=True)
        command = 'mount -t cgroup2 none "$1" && if [ -d "$1/$2" ]; then find "$1/$2" -depth -type d -exec rmdir {} +; fi'
        subprocess.run(["unshare", "--mount", "--", "bash", "-c", command, "remove", place, self.group], check=True, timeout=patient(60))

    # -- inside

    def ask(self, *argv, text=None, timeout=120):
        """Runs a program in it; (exit code, standard output, standard error)."""
        given = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(["nsenter", "--target", str(self.init), "--all", "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", *map(str, argv)],
                              capture_output=True, text=True, timeout=patient(timeout), check=False, **given)
        return done.returncode, done.stdout, done.stderr

    def run(self, *argv, **more):
        """As ask(), for what must succeed; its standard output."""
        code, out, err = self.ask(*argv, **more)
        assert code == 0, f"{' '.join(map(str, argv))}: exit code {code}\n{out}\n{err}\n{self.journal()}"
        return out

    def write(self, path, text, mode=0o644):
        inside = os.path.join(self.root, path.lstrip("/"))
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        with open(inside, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(inside, mode)

    def unit(self, name, *properties):
        """What systemd says of a unit: {property: text}"""
        said = self.run("systemctl", "show", name, *(f"--property={p}" for p in properties))
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def wait_unit(self, name, timeout=60, **wanted):
        """Until the unit's properties are these; what they are then."""
        def there():
            now = self.unit(name, *wanted)
            return all(now.get(key) == value for key, value in wanted.items())
        try:
            wait_until(there, timeout, f"{name} is {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.ask('systemctl', 'status', '--no-pager', '--full', name)[1]}\n{self.journal(name)}") from None

    def journal(self, unit=None, lines=40):
        return self.ask("journalctl", "--no-pager", "--quiet", "--output=short-monotonic", f"--lines={lines}", *(["--unit", unit] if unit else []))[1]
