"""The faults: each is done to a Rig, stays for a while, and is over when its function returns. What the pipeline has to do then is the same for all:
come back by itself, unless it was one of its own processes that was ended (then it is started again)."""

import time

import psycopg

from rig.wait import wait_until

BULK_ROWS = 40000
HOLD_S = 20  # how long something stays away: longer than wal_sender_timeout and apply's timeouts would have it hang


def role_killed(name):
    def fault(rig):
        role = getattr(rig.pipeline, name)
        role.kill9()
        role.start()
    return fault


def role_restarted(name):
    def fault(rig):
        role = getattr(rig.pipeline, name)
        code = role.terminate(60)
        if code != 0:
            raise RuntimeError(f"{name} ended with {code} when it was asked to\n{role.log_tail()}")
        role.start()
    return fault


def server_killed(name):
    def fault(rig):
        server = getattr(rig, name)
        server.kill9()
        time.sleep(HOLD_S / 4)
        server.start()
    return fault


def server_restarted(name):
    def fault(rig):
        getattr(rig, name).restart()
    return fault


def server_away(name):
    def fault(rig):
        server = getattr(rig, name)
        server.stop()
        time.sleep(HOLD_S)
        server.start()
    return fault


def partition(*names):
    """Of the pipeline, and of customers: whoever talks to that port gets no answer."""
    def fault(rig):
        rig.firewall.cut(*(getattr(rig, name).port for name in names))
        try:
            time.sleep(HOLD_S)
        finally:
            rig.firewall.heal()
    return fault


def flapping(rig):
    for _ in range(5):
        rig.firewall.cut(rig.kafka.port, rig.target.port)
        time.sleep(2)
        rig.firewall.heal()
        time.sleep(2)


def no_room(rig):
    with open(rig.target.log, encoding="utf-8", errors="replace") as f:
        return f.read().count("No space left on device")


def disk_full(rig):
    """Until the server has noticed, and some time longer. A large transaction sees to it that it does."""
    before = no_room(rig)
    rig.disk.fill()
    try:
        bulk(rig)
        wait_until(lambda: no_room(rig) > before, 120, "the target's disk is full", interval=0.5)
        time.sleep(HOLD_S / 2)
    finally:
        rig.disk.free()
    if not rig.target.process.running:  # PostgreSQL stops where it cannot write WAL
        rig.target.start()


def sessions_ended(rig):
    for server in (rig.source, rig.target):
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'crossfade%' AND pid <> pg_backend_pid()")


def bulk(rig):
    """A large transaction, always of the same size, and the way back; customers' locks may make it begin anew."""
    for value in ("kind || '+'", "rtrim(kind, '+')"):
        statement = f"UPDATE simshop_oltp.ledger SET kind = {value} WHERE nonce IN (SELECT nonce FROM simshop_oltp.ledger ORDER BY nonce LIMIT {BULK_ROWS})"
        while True:
            try:
                rig.source.sql(statement, db="shop")
                break
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                continue


# Of the pipeline's own processes: in the first part of a soak, so that in the rest their memory can be watched over hours.
ROLES = {"capture killed": role_killed("capture"), "apply killed": role_killed("apply"), "capture restarted": role_restarted("capture"),
         "apply restarted": role_restarted("apply")}
SERVERS = {"source killed": server_killed("source"), "target killed": server_killed("target"), "broker killed": server_killed("kafka"),
           "source restarted": server_restarted("source"), "target restarted": server_restarted("target"), "broker restarted": server_restarted("kafka"),
           "source away": server_away("source"), "target away": server_away("target"), "broker away": server_away("kafka"),
           "partition: source": partition("source"), "partition: target": partition("target"), "partition: broker": partition("kafka"),
           "partition: all": partition("source", "target", "kafka"), "partitions that come and go": flapping, "target's disk full": disk_full,
           "all sessions ended": sessions_ended, "a large transaction": bulk}
