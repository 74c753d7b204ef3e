"""bench/run: see there."""

import argparse
import contextlib
import statistics
import sys

from rig import Workdir

from . import compare, journalling, large, latency, mariadb, size, snapshot, stream
from .rigging import Bench

# name: (function, limit, "at most" or "at least", unit)
FIGURES = {
    "snapshot-lmdb": (snapshot.lmdb, 3.0, "<=", "x time of COPY | COPY"),
    "snapshot-kafka": (snapshot.kafka, 3.0, "<=", "x time of COPY | COPY"),
    "drain-lmdb": (stream.drain_lmdb, 0.7, ">=", "x rate of pg_recvlogical"),
    "drain-kafka": (stream.drain_kafka, 0.7, ">=", "x rate of pg_recvlogical"),
    "apply-lmdb-sync": (stream.apply_lmdb_on, 1.5, ">=", "x rate of a native subscription, synchronous_commit=on"),
    "apply-lmdb-async": (stream.apply_lmdb_off, 0.5, ">=", "x rate of a native subscription, synchronous_commit=off"),
    "apply-kafka-sync": (stream.apply_kafka_on, 1.5, ">=", "x rate of a native subscription, synchronous_commit=on"),
    "apply-kafka-async": (stream.apply_kafka_off, 0.5, ">=", "x rate of a native subscription, synchronous_commit=off"),
    "large-transaction": (large.lmdb, 3.0, ">=", "x shorter from COMMIT to journal than without streaming, LMDB"),
    "large-transaction-at-once": (large.lmdb_at_once, 1.0, ">=", "x shorter, COMMIT right behind the last row"),
    "large-transaction-kafka": (large.kafka, 3.0, ">=", "x shorter, Kafka"),
    "journal-snapshot-kafka": (journalling.kafka, 1.3, "<=", "x time of COPY binary to nowhere + a plain librdkafka producer"),
    "latency-lmdb-500": (latency.lmdb_500, 5, "<=", "ms, p99 from commit to journal at 500 tx/s"),
    "latency-kafka-500": (latency.kafka_500, 80, "<=", "ms, p99 from commit to journal at 500 tx/s, Kafka transactions"),
    "latency-lmdb-5000": (latency.lmdb_5000, None, "", "ms, p99 at 5,000 tx/s"),
    "latency-kafka-5000": (latency.kafka_5000, None, "", "ms, p99 at 5,000 tx/s"),
    "bytes-avro-none": (size.figure("avro", "none"), 0.4, "<=", "x bytes a change of Debezium's JSON without schemas"),
    "bytes-avro-lz4": (size.figure("avro", "lz4"), None, "", "x bytes, lz4"),
    "bytes-avro-zstd": (size.figure("avro", "zstd"), None, "", "x bytes, zstd"),
    "bytes-json-none": (size.figure("json", "none"), None, "", "x bytes, our JSON"),
    "bytes-json-lz4": (size.figure("json", "lz4"), None, "", "x bytes, our JSON, lz4"),
    "bytes-json-zstd": (size.figure("json", "zstd"), None, "", "x bytes, our JSON, zstd"),
    "snapshot-mariadb": (mariadb.snapshot, 2.0, "<=", "x time of LOAD DATA LOCAL INFILE into MariaDB, through LMDB"),
    "stream-mariadb": (mariadb.stream, 50, ">=", "thousand updates/s, journal to MariaDB"),
    "compare": (compare.compare, 1.0, "<=", "x time of reladiff"),
}
MEMORY_LIMIT_MIB = 256


def show(name, values, limit, sense, unit):
    median = statistics.median(values)
    met = "" if limit is None else "ok" if (median <= limit if sense == "<=" else median >= limit) else "MISSED"
    print(f"{name:<24} {median:8.2f} {min(values):8.2f} {max(values):8.2f}   {sense:<2} {'' if limit is None else f'{limit:g}':<5} {met:<6} {unit}",
          flush=True)


def main():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        print("\n".join(FIGURES))
        return 0
    unknown = [n for n in args.names if n not in FIGURES]
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)} (bench/run --list)")
    print(f"{'name':<24} {'median':>8} {'min':>8} {'max':>8}   limit           unit")
    with Workdir("bench") as folder, contextlib.ExitStack() as stack:
        bench = Bench(folder, stack, args.verbose)
        for name in args.names or FIGURES:
            function, limit, sense, unit = FIGURES[name]
            show(name, [function(bench) for _ in range(args.runs)], limit, sense, unit)
        for role, kib in sorted(bench.peak_kib.items()):
            show(f"memory-{role}", [kib / 1024], MEMORY_LIMIT_MIB, "<=", "MiB RssAnon at the peak of all of these")
    return 0


if __name__ == "__main__":
    sys.exit(main())
