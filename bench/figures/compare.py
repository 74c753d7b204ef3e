"""compare: identical 2 M rows at a fence, against reladiff over the same tables."""

import os
import subprocess
import time

from .rigging import until

RELADIFF = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "crossfade", "venv-bench", "bin",
                        "reladiff")


def reladiff(bench, name):
    started = time.monotonic()
    done = subprocess.run([RELADIFF, bench.source.url("bench"), "pgbench_accounts", bench.target.url(name), "pgbench_accounts",
                           "-k", "aid", "-c", "bid", "-c", "abalance", "-c", "filler"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "", done.stdout[:400]
    return time.monotonic() - started


def compare(bench):
    name = bench.fresh_target()
    with bench.pipeline("lmdb", name) as p:
        p.start()
        until(p.apply, lambda s: s.get("complete"), what="the snapshot on the target")
        bench.target.psql("-c", "VACUUM ANALYZE", db=name)
        started = time.monotonic()
        done = p.run("compare", "run", "--json")
        ours_s = time.monotonic() - started
        assert done.returncode == 0, done.stdout[-400:] + done.stderr[-400:]
        yard_s = reladiff(bench, name)
    bench.drop_target(name)
    bench.say(f"compare: {ours_s:.2f} s, reladiff {yard_s:.2f} s")
    return ours_s / yard_s
