"""cutover-stall: the longest time for which one of 16 clients waited for a transaction while a cutover switched the PgBouncer before them.

500 transactions a second through PgBouncer in transaction pooling, protocol extended; both servers with fsync, the pipeline has caught up and all is
compared beforehand. No transaction may fail, and each acknowledged one is on the target.
"""

import contextlib

from rig import Pgbouncer, Pipeline
from rig.clients import SCHEMA, Clients, check
from rig.postgres import copy_schema
from rig.scenario import drop_database

CLIENTS, RATE, BEFORE, AFTER = 16, 500, 5000, 1000
SETTINGS = {"lag_stable_ms": 500, "max_lag_ms": 10000}


def answered(pipeline, *words):
    done = pipeline.run(*words, timeout=300)
    assert done.returncode == 0, f"{words}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr}"
    return done


def one(bench):
    bench.count += 1
    name = f"stall{bench.count}"
    source, target = bench.source.create_db(name), bench.target.create_db(name)
    bench.source.psql("-c", SCHEMA, db=name)
    copy_schema(source, target)
    entry = {"app": f"host=127.0.0.1 port={bench.source.port} dbname={name}"}
    with contextlib.ExitStack() as stack:
        pooler = stack.enter_context(Pgbouncer(bench.folder, f"{name}-pooler", entry))
        p = stack.enter_context(Pipeline(bench.folder, source, target, name=name, tables=("public.*",), roles=False,
                                         more={"cutover": {**SETTINGS, "poolers": [pooler.rule("app")]}}))
        p.start()
        p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
        clients = stack.enter_context(Clients(pooler.url("app"), bench.folder, CLIENTS, RATE, name=f"{name}-clients"))
        clients.wait(BEFORE, source, 120)
        answered(p, "compare", "run")
        said = answered(p, "cutover", "run", "--execute").stderr
        clients.wait(AFTER, target, 120)
        stall_ms = clients.stop()
        check(target, clients)
    steps = ", ".join(f"{words[0]} {float(words[1]):.0f}" for words in map(str.split, said.splitlines()) if len(words) > 2 and words[2] == "ms")
    bench.say(f"longest stall {stall_ms:.0f} ms; steps in ms: {steps}")
    for server in (bench.source, bench.target):
        drop_database(server, name)
    return stall_ms / 1000

