"""What a soak runs on: two PostgreSQL clusters, a broker, SimShop with its customers, a pipeline, and the means to hurt each of them."""

import contextlib
import os
import subprocess

from rig import Kafka, Pipeline, Postgres
from rig.load import Load, load_simshop
from rig.postgres import copy_schema

SERVER = {"max_wal_size": "256MB", "wal_level": "logical", "max_replication_slots": 10, "max_wal_senders": 10, "wal_sender_timeout": "20s"}
DISK_MB = 3000  # of the target: what SimShop writes in some hours, and its WAL


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


class Firewall:
    """A table of nftables of our own: packets to and from a port of this machine vanish, and nobody is told."""

    def __init__(self):
        self.table = f"crossfade_soak_{os.getpid()}"

    def __enter__(self):
        run("nft", f"add table inet {self.table}")
        run("nft", f"add chain inet {self.table} drops {{ type filter hook input priority 0 ; }}")
        return self

    def __exit__(self, *exc):
        run("nft", f"delete table inet {self.table}")

    def cut(self, *ports):
        for port in ports:
            for side in ("sport", "dport"):
                run("nft", f"add rule inet {self.table} drops tcp {side} {port} drop")

    def heal(self):
        run("nft", f"flush chain inet {self.table} drops")


class Disk:
    """A file system in memory that can be made full, for the target's data."""

    def __init__(self, path, size_mb):
        self.path, self.size_mb = path, size_mb

    def __enter__(self):
        os.makedirs(self.path)
        run("mount", "-t", "tmpfs", "-o", f"size={self.size_mb}m", "tmpfs", self.path)
        return self

    def __exit__(self, *exc):
        run("umount", "-l", self.path)

    def used_kib(self):
        stat = os.statvfs(self.path)
        return (stat.f_blocks - stat.f_bfree) * stat.f_frsize // 1024

    def fill(self, left_kib=64):
        run("mount", "-o", f"remount,size={self.used_kib() + left_kib}k", self.path)

    def free(self):
        run("mount", "-o", f"remount,size={self.size_mb}m", self.path)


class Rig:
    """with Rig(folder, rate, seed) as rig: everything runs, customers write, the copy is complete."""

    def __init__(self, folder, rate, seed):
        self.folder, self.rate, self.seed = folder, rate, seed
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.firewall = stack.enter_context(Firewall())
            self.disk = stack.enter_context(Disk(os.path.join(self.folder, "target"), DISK_MB))
            self.source = stack.enter_context(Postgres(self.folder, "source", fsync=True, settings=SERVER))
            self.target = stack.enter_context(Postgres(self.folder, "target", fsync=True, settings=SERVER))
            self.kafka = stack.enter_context(Kafka(self.folder))
            self.shop, self.copy = self.source.create_db("shop"), self.target.create_db("shop")
            load_simshop(self.shop, scale=1)
            copy_schema(self.shop, self.copy)
            self.pipeline = stack.enter_context(Pipeline(self.folder, self.shop, self.copy, journal=self.kafka.url, name="soak"))
            self.load = stack.enter_context(Load(self.shop, self.folder, clients=4, rate=self.rate, seed=self.seed))
            self.pipeline.start()
            self.pipeline.apply.wait_for(lambda status: status.get("complete"), 600, "the copy is complete")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        return self.stack.__exit__(*exc)
