"""State that an earlier version has left (tests/system/data/upgrade, made by tests/support/make_upgrade_fixture.py), brought to life on servers of today."""

import json
import lzma
import os
import shutil
import struct
import subprocess
import tarfile

from . import privileges
from .pipeline import Pipeline

DATA = os.path.join(privileges.ROOT, "tests", "system", "data", "upgrade")


def facts(version):
    with open(os.path.join(DATA, version, "facts.json"), encoding="utf-8") as f:
        return json.load(f)


def versions(mariadb=False):
    """Those with migrations to PostgreSQL, or to MariaDB."""
    return sorted(name for name in os.listdir(DATA) if os.path.exists(os.path.join(DATA, name, "facts.json")) and name.endswith("-mariadb") == mariadb)


def _crc32c(data):
    """As PostgreSQL has it in pg_control (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def become(server, system_id):
    """A server that was never started yet gets another's identity: the journal is of that one, and capture knows it by its number."""
    server.initdb()
    path = os.path.join(server.data, "global", "pg_control")
    with open(path, "r+b") as f:
        was = f.read()
        ends = [at for at in range(100, 1000) if struct.unpack_from("<I", was, at)[0] == _crc32c(was[:at])]
        assert len(ends) == 1, f"{path}: {len(ends)} places look like the checksum"
        now = struct.pack("<Q", int(system_id)) + was[8:ends[0]]
        f.seek(0)
        f.write(now + struct.pack("<I", _crc32c(now)))
    server.as_server_user(server.binary("pg_resetwal"), "-f", server.data)
    server.start()
    assert server.system_id == system_id


def dumped(version, name, side):
    with lzma.open(os.path.join(DATA, version, f"{name}-{side}.sql.xz"), "rt", encoding="utf-8") as f:
        return f.read()


def restore(server, version, name, side):
    """The dump of that side as a database of that name; its URL."""
    text, url = dumped(version, name, side), server.create_db(name)
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return url


def unpack(version, file, to):
    """to: the folder that is made of it."""
    above = os.path.dirname(to)
    with tarfile.open(os.path.join(DATA, version, file)) as tar:
        tar.extractall(above, filter="data")
    shutil.move(os.path.join(above, "data"), to)


def number(lsn):
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def restore_sources(source, version, names):
    """The sources as capture left them: with their slots, which no dump has, confirmed up to the journals' ends."""
    last = {name: facts(version)[name]["last_lsn"] for name in names}
    for name in names:
        privileges.prepare_source(restore(source, version, name, "source"))
        source.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (f"crossfade_{name}",), db=name)
    assert number(source.lsn()) < min(last.values()), "the slots must be older than the journals' ends"
    while number(source.lsn()) <= max(last.values()):
        source.sql("CREATE TABLE filler (); DROP TABLE filler; SELECT pg_switch_wal()")
    for name, lsn in last.items():
        source.sql("SELECT pg_replication_slot_advance(%s, %s::pg_lsn)", (f"crossfade_{name}", f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"), db=name)


def bring_up(folder, source, target, version, name, journal):
    """The pipeline as it was when the roles of that version were stopped."""
    url = restore(target, version, name, "target")
    privileges.prepare_target(url, owner=privileges.OWNER)
    return _pipeline(folder, source, url, name, journal)


def bring_up_mariadb(folder, source, target, version, name, journal):
    """As bring_up(), to a MariaDB."""
    url = target.create_db(name, jobs=("apply", "schema", "cutover"))
    target.script(dumped(version, name, "target"), name)
    return _pipeline(folder, source, url, name, journal)


def _pipeline(folder, source, target_url, name, journal):
    return Pipeline(folder, source.url(name), target_url, journal=journal, name=name, tables=("public.*",), roles=True,
                    more={"capture": {"heartbeat_interval_ms": 500}, "apply": {"on_row_error": "dead_letter"},
                          "cutover": {"lag_stable_ms": 100, "max_lag_ms": 30000, "drain_timeout_s": 60, "straggler_grace_ms": 300, "freeze_timeout_ms": 4000}})
