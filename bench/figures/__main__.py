"""bench/run: see there."""

import argparse
import contextlib
import json
import statistics
import sys

from rig import Workdir

from . import applying, compare, debezium, direct, journalling, large, latency, mariadb, size, snapshot, stall, stream, visible
from .rigging import Bench
from .workloads import MIXED, PGBENCH

# name: (function, limit, "at most" or "at least", unit)
FIGURES = {
    "snapshot-lmdb": (snapshot.lmdb, 1.6, "<=", "x time of COPY | COPY"),
    "snapshot-kafka": (snapshot.kafka, 2.2, "<=", "x time of COPY | COPY"),
    "direct": (direct.direct, 1.0, "<=", "x time of pgcopydb clone, a whole database with its indexes"),
    "drain-lmdb": (stream.drain_lmdb, 0.9, ">=", "x rate of pg_recvlogical"),
    "drain-kafka": (stream.drain_kafka, 0.9, ">=", "x rate of pg_recvlogical"),
    "mixed-drain-lmdb": (stream.mixed_lmdb, 0.9, ">=", "x rate of pg_recvlogical, mixed workload"),
    "mixed-drain-kafka": (stream.mixed_kafka, 0.9, ">=", "x rate of pg_recvlogical, mixed workload"),
    "apply-lmdb-sync": (applying.figure("lmdb", "on", PGBENCH), 3, ">=", "x rate of a native subscription, synchronous_commit=on"),
    "apply-lmdb-async": (applying.figure("lmdb", "off", PGBENCH), 1.0, ">=", "x rate of a native subscription, synchronous_commit=off"),
    "apply-kafka-sync": (applying.figure("kafka", "on", PGBENCH), 3, ">=", "x rate of a native subscription, synchronous_commit=on"),
    "apply-kafka-async": (applying.figure("kafka", "off", PGBENCH), 0.85, ">=", "x rate of a native subscription, synchronous_commit=off"),
    "apply-mixed-lmdb-sync": (applying.figure("lmdb", "on", MIXED), 3, ">=", "x rate of a native subscription, synchronous_commit=on, mixed workload"),
    "apply-mixed-lmdb-async": (applying.figure("lmdb", "off", MIXED), 1.0, ">=", "x rate of a native subscription, synchronous_commit=off, mixed workload"),
    "apply-mixed-kafka-sync": (applying.figure("kafka", "on", MIXED), 3, ">=", "x rate of a native subscription, synchronous_commit=on, mixed workload"),
    "apply-mixed-kafka-async": (applying.figure("kafka", "off", MIXED), 0.85, ">=", "x rate of a native subscription, synchronous_commit=off, mixed workload"),
    "apply-writers-1": (applying.writers_figure(1), None, "", "thousand changes/s, a backlog in the journal to PostgreSQL, durable commits"),
    "apply-writers-2": (applying.writers_figure(2), None, "", "thousand changes/s by 2 writers"),
    "apply-writers-4": (applying.writers_figure(4), None, "", "thousand changes/s by 4 writers"),
    "apply-memory-wide": (applying.wide_transaction, 256, "<=", "MiB of apply, a transaction of a million rows of 1 kB"),
    "dbz-sink": (applying.debezium_sink_figure("usual"), 5, ">=", "x changes/s of Debezium with its JDBC sink, source to target (ours from the start of both processes)"),
    "dbz-sink-tuned": (applying.debezium_sink_figure("tuned"), None, "", "x changes/s of a tuned Debezium with its JDBC sink"),
    "visible-lmdb-500": (visible.figure("lmdb", "transactions", 500), 3, "<=", "x p50 of a native subscription, commit to commit at 500 tx/s"),
    "visible-kafka-idempotent-500": (visible.figure("kafka", "idempotent", 500), 6, "<=", "x p50 of a native subscription"),
    "visible-kafka-500": (visible.figure("kafka", "transactions", 500), 20, "<=", "x p50 of a native subscription, Kafka transactions"),
    "visible-lmdb-5000": (visible.figure("lmdb", "transactions", 5000), None, "", "x p50 of a native subscription at 5,000 tx/s"),
    "visible-kafka-5000": (visible.figure("kafka", "transactions", 5000), None, "", "x p50 of a native subscription at 5,000 tx/s"),
    "visible-dbz-500": (visible.debezium_figure(500), None, "", "x p50 of a native subscription, Debezium with its JDBC sink"),
    "visible-dbz-5000": (visible.debezium_figure(5000), None, "", "x p50 of a native subscription, Debezium with its JDBC sink, at 5,000 tx/s"),
    "large-transaction": (large.lmdb, 3.0, ">=", "x shorter from COMMIT to journal than without streaming, LMDB"),
    "large-transaction-at-once": (large.lmdb_at_once, 1.0, ">=", "x shorter, COMMIT right behind the last row"),
    "large-transaction-kafka": (large.kafka, 3.0, ">=", "x shorter, Kafka"),
    "journal-snapshot-kafka": (journalling.kafka, 1.3, "<=", "x time of COPY binary to nowhere + a plain librdkafka producer"),
    "latency-lmdb-500": (latency.lmdb_500, 5, "<=", "ms, p99 from commit to journal at 500 tx/s"),
    "latency-kafka-500": (latency.kafka_500, 80, "<=", "ms, p99 from commit to journal at 500 tx/s, Kafka transactions"),
    "latency-kafka-idempotent-500": (latency.kafka_idempotent_500, 10, "<=", "ms, p99 from commit to journal at 500 tx/s, Kafka without transactions"),
    "latency-lmdb-5000": (latency.lmdb_5000, None, "", "ms, p99 at 5,000 tx/s"),
    "latency-kafka-5000": (latency.kafka_5000, None, "", "ms, p99 at 5,000 tx/s"),
    "dbz-snapshot-schemas": (debezium.snapshot_figure("usual", True), 15, ">=", "x rows/s of Debezium, JSON with schemas (ours: Avro, Kafka)"),
    "dbz-snapshot": (debezium.snapshot_figure("usual", False), 5, ">=", "x rows/s of Debezium, JSON without schemas"),
    "dbz-stream": (debezium.stream_figure("usual", PGBENCH), 3, ">=", "x changes/s of Debezium, JSON without schemas"),
    "dbz-mixed": (debezium.stream_figure("usual", MIXED), 3, ">=", "x changes/s of Debezium, JSON without schemas, mixed workload"),
    "dbz-snapshot-schemas-tuned": (debezium.snapshot_figure("tuned", True), None, "", "x rows/s of a tuned and warm Debezium, with schemas"),
    "dbz-snapshot-tuned": (debezium.snapshot_figure("tuned", False), None, "", "x rows/s of a tuned and warm Debezium, without"),
    "dbz-stream-tuned": (debezium.stream_figure("tuned", PGBENCH), None, "", "x changes/s of a tuned and warm Debezium"),
    "dbz-mixed-tuned": (debezium.stream_figure("tuned", MIXED), None, "", "x changes/s of a tuned and warm Debezium, mixed workload"),
    "bytes-dbz": (debezium.bytes_each, None, "", "bytes a change of Debezium's JSON without schemas, not compressed"),
    "bytes-avro-none": (size.figure("avro", "none"), 0.4, "<=", "x bytes a change of Debezium's JSON without schemas"),
    "bytes-avro-lz4": (size.figure("avro", "lz4"), None, "", "x bytes, lz4"),
    "bytes-avro-zstd": (size.figure("avro", "zstd"), None, "", "x bytes, zstd"),
    "bytes-json-none": (size.figure("json", "none"), None, "", "x bytes, our JSON"),
    "bytes-json-lz4": (size.figure("json", "lz4"), None, "", "x bytes, our JSON, lz4"),
    "bytes-json-zstd": (size.figure("json", "zstd"), None, "", "x bytes, our JSON, zstd"),
    "snapshot-mariadb": (mariadb.snapshot, 2.0, "<=", "x time of LOAD DATA LOCAL INFILE into MariaDB, through LMDB"),
    "stream-mariadb": (mariadb.stream, 50, ">=", "thousand updates/s, journal to MariaDB"),
    "mariadb-writers-1": (mariadb.writers_figure(1), None, "", "thousand updates/s, journal to MariaDB"),
    "mariadb-writers-2": (mariadb.writers_figure(2), None, "", "thousand updates/s by 2 writers"),
    "mariadb-writers-4": (mariadb.writers_figure(4), None, "", "thousand updates/s by 4 writers"),
    "compare-same": (compare.same, 0.65, "<=", "x time of reladiff, equal rows"),
    "compare-six": (compare.six, 0.65, "<=", "x time of reladiff, six rows differ"),
    "compare-small": (compare.small, 0.2, "<=", "x time of reladiff, 200 tables of 100 rows, in one process"),
    "compare-validator": (compare.validator, 0.07, "<=", "x time of Google's data validator, row hashes"),
    "compare-physical": (compare.physical, 1.2, "<=", "x time of sha256 of every row on both sides at once"),
    "compare-mariadb-same": (mariadb.compare_same, None, "", "x time of SHA-256 of every row on PostgreSQL and MariaDB at once, 500,000 equal rows"),
    "compare-wire": (compare.wire, 1000, "<=", "bytes between all three for 100,000 equal rows"),
    "compare-hold": (compare.hold, 50, "<=", "ms, longest of 60 times for which apply was held at a fence"),
    "compare-load": (compare.load, 0.95, ">=", "x pgbench's tps without comparisons, with one after the other beside it"),
    "compare-changed": (compare.changed, 0.1, "<=", "x time of reading 2 M rows, 1 % of the keys changed since an earlier comparison"),
    "cutover-stall": (stall.one, 1, "<=", "s, longest wait of 16 clients at 500 tx/s behind PgBouncer while a cutover switches it"),
}
MEMORY_LIMIT_MIB = 256


LINE = "{:<25} {:>9} {:>9} {:>9}   {:<8} {:<7} {}"


def limit_text(limit, sense):
    return "" if limit is None else f"{sense} {limit:g}"


def show(name, values, limit, sense, unit, costs=None, notes=None):
    """Prints a figure's line, and under it what its CPU time was; the same as a dictionary."""
    median = statistics.median(values)
    met = None if limit is None else median <= limit if sense == "<=" else median >= limit
    numbers = [f"{v:,.2f}" for v in (median, min(values), max(values))]
    print(LINE.format(name, *numbers, limit_text(limit, sense), {None: "", True: "ok", False: "MISSED"}[met], unit), flush=True)
    costs = {who: statistics.median(each) for who, each in (costs or {}).items()}
    if costs:
        print("    CPU seconds per million changes: " + ", ".join(f"{who} {seconds:.2f}" for who, seconds in costs.items()), flush=True)
    return {"name": name, "values": values, "median": median, "limit": limit, "sense": sense, "met": met, "unit": unit,
            "cpu_s_per_million": costs, "notes": notes or []}


def list_figures():
    width = max(map(len, FIGURES))
    for name, (_, limit, sense, unit) in FIGURES.items():
        print(f"{name:<{width}}  {limit_text(limit, sense):<8} {unit}")


def run(names, runs, verbose):
    """Every figure so many times; the results as they are written to --json."""
    results = []
    print(LINE.format("figure", "median", "min", "max", "limit", "", "unit"), flush=True)
    with Workdir("bench") as folder, contextlib.ExitStack() as stack:
        bench = Bench(folder, stack, verbose)
        for name in names:
            function, limit, sense, unit = FIGURES[name]
            bench.costs, bench.notes = {}, []
            values = [function(bench) for _ in range(runs)]
            results.append(show(name, values, limit, sense, unit, bench.costs, bench.notes))
        for role, kib in sorted(bench.peak_kib.items()):
            results.append(show(f"memory-{role}", [kib / 1024], MEMORY_LIMIT_MIB, "<=", "MiB RssAnon at the peak of all of these"))
    return results


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description="Figures as ratios against a yardstick that runs in turn with them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures (--list names them); without any: all")
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--verbose", action="store_true", help="the absolute figures, too")
    parser.add_argument("--json", metavar="FILE", help="writes all results into this file, with every run's value and the absolute figures")
    parser.add_argument("--list", action="store_true", help="names all figures with their limits")
    args = parser.parse_args()
    if args.list:
        list_figures()
        return 0
    unknown = [n for n in args.names if n not in FIGURES]
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)} (bench/run --list)")
    results = run(args.names or FIGURES, args.runs, args.verbose)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=2)
            f.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
