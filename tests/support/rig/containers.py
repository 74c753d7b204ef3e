"""A Docker daemon of one's own below a folder, and the images that deploy/compose.yaml names, built here (tests/support/containers): machines that
run tests have no image registry. It needs root, and what `tools/deps --containers` installs."""

import contextlib
import glob
import json
import os
import shutil
import subprocess

from .kafka import jars
from .procs import Process
from .registry import runner

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
_STAND_INS = os.path.join(ROOT, "tests", "support", "containers")
_CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "crossfade")
BASE = os.path.join(_CACHE, "containers", "bookworm-slim.tar")
COMPOSE = os.path.join(_CACHE, "containers", "docker-compose")
POSTGRES_17 = os.path.join(_CACHE, "postgresql-17")
# Name in compose.yaml → stand-in; in the order in which they build upon each other.
STAND_INS = {"postgres:15": "postgres-15", "postgres:17": "postgres-17", "stand-in/java:17": "java", "apache/kafka:3.9.1": "kafka",
             "apicurio/apicurio-registry-mem:2.6.13.Final": "registry", "prom/prometheus:v2.55.1": "prometheus"}


def missing():
    """What a test with containers lacks here, in words; None when all is there."""
    if os.getuid() != 0:
        return "a Docker daemon needs root"
    for path in ("/usr/sbin/dockerd", "/usr/bin/docker", BASE, COMPOSE):
        if not os.path.exists(path):
            return f"no {path}: run tools/deps --containers"
    return None


class Docker:
    """with Docker(folder) as docker: docker.run("ps"), docker.compose("up"). Its networks have no way out of this machine and it touches no firewall; builds
    use this machine's network."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.socket = os.path.join(self.folder, "sock")
        self.data, self.exec = os.path.join(self.folder, "data"), os.path.join(self.folder, "exec")
        self.env = {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": os.path.join(self.folder, "config"), "DOCKER": "/usr/bin/docker",
                    "HOME": self.folder}
        argv = ["/usr/sbin/dockerd", "--data-root", self.data, "--exec-root", self.exec, "-p", os.path.join(self.folder, "pid"), "-H", self.env["DOCKER_HOST"],
                "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none",
                "--default-address-pool", "base=10.211.0.0/16,size=24", "--shutdown-timeout", "20"]
        self.process = Process("dockerd", argv, os.path.join(self.folder, "dockerd.log"))

    def __enter__(self):
        os.makedirs(self.env["DOCKER_CONFIG"], exist_ok=True)
        self.process.start()
        self.process.wait_answers(lambda: self.run("version", "-f", "{{.Server.Version}}"), 60, (RuntimeError,))
        return self

    def __exit__(self, *exc):
        self.process.close()
        for path in self.mounts():  # of containers that a killed daemon left
            subprocess.run(["umount", "-l", path], check=False)

    def mounts(self):
        """What is still mounted below the folder, deepest first."""
        with open("/proc/self/mounts", encoding="utf-8") as f:
            return sorted((line.split()[1] for line in f if line.split()[1].startswith(self.folder + "/")), reverse=True)

    def command(self, *argv, timeout=120, env=None, check=True, cwd=ROOT):
        """Runs a program with this daemon as its Docker; returns its standard output."""
        done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd,
                              env=dict(os.environ, **self.env, **(env or {})))
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(map(str, argv))}: exit code {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done.stdout if check else done

    def run(self, *argv, **more):
        return self.command("/usr/bin/docker", *argv, **more)

    def inspect(self, name, kind="container"):
        return json.loads(self.run(kind, "inspect", name))[0]

    # -- images

    def has_image(self, name):
        return bool(self.run("image", "ls", "-q", name).strip())

    def import_base(self):
        if not self.has_image("debian:bookworm-slim"):
            self.run("import", "-c", 'CMD ["bash"]', "-c", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", BASE, "debian:bookworm-slim", timeout=600)

    def build(self, tag, containerfile, context, timeout=3000):
        self.run("build", "--network", "host", "-q", "-f", containerfile, "-t", tag, context, timeout=timeout, env={"DOCKER_BUILDKIT": "1"})

    def build_stand_ins(self, names=None):
        """Those of the images that are not there yet."""
        for tag, stand_in in STAND_INS.items():
            if self.has_image(tag) or (names is not None and tag not in names):
                continue
            context = os.path.join(self.folder, "context")
            shutil.rmtree(context, ignore_errors=True)
            shutil.copytree(_STAND_INS, context)
            if stand_in == "postgres-17":
                shutil.copytree(POSTGRES_17, os.path.join(context, "postgresql"), symlinks=True)
            elif stand_in == "kafka":
                shutil.copytree(os.path.dirname(jars()), os.path.join(context, "libs"))
            elif stand_in == "registry":
                shutil.copytree(os.path.dirname(runner()), os.path.join(context, "registry"))
            self.build(tag, os.path.join(context, f"{stand_in}.Containerfile"), context)
            shutil.rmtree(context)

    # -- compose

    def compose(self, *argv, file=os.path.join(ROOT, "deploy", "compose.yaml"), **more):
        return self.command(COMPOSE, "-f", file, *argv, **more)

    def left(self):
        """What is there besides images: names of containers, volumes, networks."""
        return (self.run("ps", "-aq", "--no-trunc").split() + self.run("volume", "ls", "-q").split() +
                [name for name in self.run("network", "ls", "--format", "{{.Name}}").split() if name not in ("host", "none", "bridge")])

    def remove_all(self):
        """Ends and removes every container, volume and network of this daemon."""
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            for kind, listed in (("container", ("ps", "-aq")), ("volume", ("volume", "ls", "-q")), ("network", ("network", "ls", "-q", "--filter", "type=custom"))):
                names = self.run(*listed).split()
                if names:
                    self.run(kind, "rm", *(["-f"] if kind != "network" else []), *names)


def stand_in_files():
    return sorted(glob.glob(os.path.join(_STAND_INS, "*")))
