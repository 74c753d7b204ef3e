"""visible-*: from the commit of a row on the source to its commit on the target, at 500 and 5,000 transactions a second, beside a native
subscription of the same tables; visible-dbz-*: Debezium and its JDBC sink in the place of ours (without the table that has no key: its sink wants one).

Rows of a heartbeat table carry clock_timestamp() of the source; a deferred trigger of the target, which fires for replicated rows, too, notes
the time as their transaction commits there (pg_xact_commit_timestamp() gives the source's time for a subscription's). Both servers have
one clock; synchronous_commit is off at the target, as the subscription has it by default.
"""

import time

from .applying import FIRST, debezium_and_sink, enabled, mark, prepare, settled, subscribe, wait_marked
from .latency import BEAT, INSERT, percentile, traffic
from .rigging import until
from .stream import slot, yard_publication
from .workloads import PGBENCH

BEATS, WARM_UP, PAUSE_S = 700, 200, 0.02
TABLES = ("beat", "pgbench_accounts", "pgbench_history")
SEEN = """CREATE TABLE seen (id int, at_us bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.seen VALUES (NEW.id, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON beat DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE beat ENABLE ALWAYS TRIGGER note"""
HISTORY = "CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))"


def made(bench, with_rows):
    """A target; the accounts with their rows or without, the other tables empty."""
    name = bench.fresh_target(with_rows=with_rows, workload=PGBENCH, synchronous_commit="off")
    bench.target.psql("-c", BEAT, "-c", HISTORY, "-c", SEEN, db=name)
    return name


def beat(bench, name, rate):
    """(p50, p95, p99) in ms of the heartbeats that one replication brings while the load runs."""
    with traffic(bench, rate), bench.source.connect("bench") as connection:
        for i in range(BEATS):
            connection.execute(INSERT, (i,))
            time.sleep(PAUSE_S)
        deadline = time.monotonic() + 120
        while bench.target.value("SELECT count(*) FROM seen", db=name) < BEATS:
            assert time.monotonic() < deadline, "heartbeats are missing on the target"
            time.sleep(0.1)
    took = bench.target.sql("SELECT seen.at_us - beat.at_us FROM seen JOIN beat USING (id) WHERE id >= %s", (WARM_UP,), db=name)
    ms = [us / 1000 for (us,) in took]
    return tuple(percentile(ms, share) for share in (0.5, 0.95, 0.99))


def fresh_beats(bench):
    bench.source.psql("-c", "DROP TABLE IF EXISTS beat", "-c", BEAT, "-c", "ALTER TABLE pgbench_history REPLICA IDENTITY FULL", "-c", "TRUNCATE pgbench_history",
                      db="bench")


def native(bench, rate):
    fresh_beats(bench)
    with yard_publication(bench, TABLES):
        name = made(bench, True)
        with slot(bench, "yard"):
            subscribe(bench, name, "off")
            with enabled(bench, name):
                result = beat(bench, name, rate)
    bench.drop_target(name)
    return result


def ours(bench, journal, delivery, rate):
    fresh_beats(bench)
    name = made(bench, False)
    with bench.pipeline(journal, name, table=list(TABLES), more={"journal": {"delivery": delivery}}) as p:
        prepare(p)
        settled(bench, name)
        p.start()
        until(p.apply, lambda s: s.get("complete"), what="streaming")
        with bench.memory(p.capture, p.apply):
            result = beat(bench, name, rate)
    bench.drop_target(name)
    return result


def told(ms):
    return "/".join(f"{each:.1f}" for each in ms)


def one(bench, journal, delivery, rate):
    yard, mine = native(bench, rate), ours(bench, journal, delivery, rate)
    bench.say(f"visible at {rate} tx/s, p50/p95/p99 ms: {journal} ({delivery}) {told(mine)}, native {told(yard)}")
    return mine[0] / yard[0]


def debezium(bench, rate):
    fresh_beats(bench)
    name = made(bench, True)
    with debezium_and_sink(bench, name, "usual", ("beat", "pgbench_accounts")) as connect:
        connect.start()
        mark(bench, FIRST, f"visible at {rate}")
        wait_marked(bench, connect, name, FIRST, f"visible at {rate}")
        result = beat(bench, name, rate)
    bench.drop_target(name)
    return result


def debezium_figure(rate):
    def one_run(bench):
        yard, theirs = native(bench, rate), debezium(bench, rate)
        bench.say(f"visible at {rate} tx/s, p50/p95/p99 ms: Debezium with its sink {told(theirs)}, native {told(yard)}")
        return theirs[0] / yard[0]
    return one_run


def figure(journal, delivery, rate):
    return lambda bench: one(bench, journal, delivery, rate)
