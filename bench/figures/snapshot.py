"""snapshot-lmdb, snapshot-kafka: 2 M rows source → journal → target, against COPY | COPY into the table with its key."""

import time

from .rigging import ACCOUNTS, until


def one(bench, journal):
    yard_db = bench.fresh_target()
    yard_s = bench.copy_pipe(yard_db)
    bench.drop_target(yard_db)
    name = bench.fresh_target()
    bench.source.psql("-c", "CHECKPOINT", db="bench")
    bench.target.psql("-c", "CHECKPOINT")
    with bench.pipeline(journal, name) as p:
        started = time.monotonic()
        p.start()
        with bench.memory(p.capture, p.apply), bench.cpu(f"snapshot {journal}", int(ACCOUNTS),
                                                         **bench.pids(journal, capture=p.capture, apply=p.apply)):
            until(p.apply, lambda s: s.get("complete"), what="the snapshot on the target")
            ours_s = time.monotonic() - started
        rows = bench.target.value("SELECT count(*) FROM pgbench_accounts", db=name)
        assert str(rows) == ACCOUNTS, rows
    bench.drop_target(name)
    bench.say(f"snapshot {journal}: {ours_s:.2f} s, COPY | COPY {yard_s:.2f} s, {int(ACCOUNTS) / ours_s:,.0f} rows/s")
    return ours_s / yard_s


def lmdb(bench):
    return one(bench, "lmdb")


def kafka(bench):
    return one(bench, "kafka")
