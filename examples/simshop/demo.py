"""The demonstration that tools/demo runs: SimShop moves from one PostgreSQL to another while its customers go on buying."""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from rig import Kafka, Pipeline, Postgres, Process, Workdir
from rig.load import load_simshop
from rig.postgres import copy_schema
from rig.wait import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def bold(text):
    return f"\033[1m{text}\033[0m" if COLOUR else text


def step(text):
    print(f"\n{bold('▸ ' + text)}", flush=True)


class Demo:
    def __init__(self, args, folder, stack):
        self.args, self.folder, self.stack = args, folder, stack
        self.detached = args.keep
        self.summary = []

    # -- servers

    def start_servers(self):
        step("starting two PostgreSQL clusters" + (" and Kafka" if self.args.journal == "kafka" else ""))
        self.source = self.keep(Postgres(self.folder, "source", detached=self.detached))
        self.target = self.keep(Postgres(self.folder, "target", detached=self.detached))
        self.kafka = self.keep(Kafka(self.folder, detached=self.detached)) if self.args.journal == "kafka" else None
        for server in filter(None, (self.source, self.target, self.kafka)):
            server.__enter__()  # prepares its folder and starts; keep() ends it
        self.shop, self.copy = self.source.create_db("shop"), self.target.create_db("shop")

    def keep(self, server):
        """Ended with the demonstration, whatever happens; with --keep only if it fails."""
        self.stack.callback(lambda: None if self.args.kept else server.close())
        return server

    def load_shop(self):
        step(f"loading SimShop, scale {self.args.scale}")
        load_simshop(self.shop, scale=self.args.scale)
        copy_schema(self.shop, self.copy)
        rows = self.source.value("SELECT sum(reltuples)::bigint FROM pg_class WHERE relkind = 'r' AND reltuples > 0"
                                 " AND relnamespace::regnamespace::text LIKE 'simshop%'", db="shop")
        print(f"  {rows:,} rows; the target has the same tables, empty (pg_dump --schema-only)")

    def start_traffic(self):
        step(f"customers arrive: pgbench, 4 clients, {self.args.rate} transactions a second")
        self.traffic = self.pgbench(self.shop, "traffic", seconds=600)

    def pgbench(self, url, name, seconds):
        argv = [os.path.join(HERE, "load", "run"), "--url", url, "--clients", "4", "--seconds", str(seconds),
                "--rate", str(self.args.rate)]
        process = Process(f"pgbench {name}", argv, os.path.join(self.folder, f"{name}.log"), stop_signal=signal.SIGINT)
        process.start()
        self.stack.callback(process.close)
        return process

    # -- the pipeline

    def start_pipeline(self):
        step("crossfade check, then capture and apply")
        kafka = {"journal": f"kafka://{self.kafka.bootstrap}", "journal_format": "json"} if self.kafka else {}
        self.pipeline = Pipeline(self.folder, self.shop, self.copy, **kafka)
        self.crossfade("check")
        for role in (self.pipeline.capture, self.pipeline.apply):
            role.detached = self.detached
            self.stack.callback(lambda r=role: None if self.args.kept else r.close())
            role.start()

    def crossfade(self, *words, expect=(0,), quiet=False):
        argv = [os.environ["CROSSFADE_BIN"], "-c", self.pipeline.config, *words]
        done = subprocess.run(argv, text=True, stdout=subprocess.PIPE if quiet else None)
        if done.returncode not in expect:
            raise SystemExit(f"demo: `crossfade {' '.join(words)}` ended with {done.returncode}")
        return done.stdout

    def status(self):
        return json.loads(self.crossfade("status", "--json", quiet=True, expect=(0, 1)))

    def show_progress(self):
        """The snapshot until apply is complete, then a few looks at the lag under traffic."""
        def complete():
            self.print_status()
            return self.status().get("apply", {}).get("complete")
        wait_until(complete, 120, "the snapshot to be applied", interval=1.0)
        self.crossfade("status", "--wait", "caught-up", "--timeout", "60")
        for _ in range(3):
            self.print_status()
            time.sleep(1)  # a look at a running system, not a test

    def print_status(self):
        s = self.status()
        capture, apply = s.get("capture", {}), s.get("apply", {})
        snapshot = capture.get("snapshot") or {}
        done = "  ".join(f"{k} {v}" for k, v in (
            ("phase", s.get("phase")), ("copied", f"{snapshot.get('rows', 0):,}"),
            ("ETA", f"{snapshot['eta_seconds']:.0f} s" if snapshot.get("eta_seconds") else "–"),
            ("streamed", f"{capture.get('changes', 0):,}"), ("applied", f"{apply.get('changes', 0):,}"),
            ("lag", f"{s.get('lag_bytes') or 0:,} B, {s.get('lag_seconds') or 0:.2f} s")))
        print("  " + done, flush=True)

    def compare(self, when):
        step(f"compare, {when}")
        self.crossfade("compare", "run", expect=(0, 1, 3))
        with open(os.path.join(self.pipeline.report_dir, "latest", "report.json")) as f:
            report = json.load(f)
        self.summary.append((f"verdict {when}", report["verdict"]))
        return report["verdict"]

    def cut_over(self):
        step("cutover run --execute")
        before = self.status()
        text = self.crossfade("cutover", "run", "--execute", "--json", quiet=True, expect=(0, 10, 11, 12))
        report = json.loads(text)
        for gate in report.get("gates", []):
            print(f"  gate {gate['name']:<22} {gate['verdict']:<8} {gate['measured']}")
        for taken in report.get("steps", []):
            print(f"  {taken['state']:<12} {taken['ms']:8.1f} ms")
        capture = before.get("capture", {})
        self.summary += [("rows copied", f"{(capture.get('snapshot') or {}).get('rows', 0):,}"),
                         ("changes streamed", f"{capture.get('changes', 0) - (capture.get('snapshot') or {}).get('rows', 0):,}"),
                         ("lag before the cutover", f"{before.get('lag_bytes') or 0:,} bytes, {before.get('lag_seconds') or 0:.2f} s"),
                         ("write pause", f"{report.get('pause_ms', 0):.0f} ms"), ("cutover", report["outcome"])]
        if report["outcome"] != "done":
            raise SystemExit(f"demo: the cutover is {report['outcome']}: {report.get('reason', '')}")

    def serve_on_target(self):
        step("customers go on buying, on the new database")
        self.traffic.wait(30)  # the source refuses their writes now
        process = self.pgbench(self.copy, "after", seconds=4)
        process.wait(60)
        with open(process.log) as f:
            text = f.read()
        for wanted in ("number of transactions actually processed", "number of failed transactions"):
            line = re.search(rf"^{wanted}: .*$", text, re.M)
            print(f"  {line.group(0) if line else wanted + ': ?'}")

    # -- the end

    def print_summary(self):
        report = os.path.join(self.pipeline.report_dir, "latest", "report.html")
        if not self.args.keep:
            kept = os.path.join(tempfile.gettempdir(), f"crossfade-demo-{time.strftime('%Y%m%dT%H%M%S')}.html")
            shutil.copyfile(report, kept)
            report = kept
        self.summary.append(("report", report))
        print("\n" + bold("Summary"))
        for name, value in self.summary:
            print(f"  {name:<32} {value}")

    def print_how_to_look(self):
        print(f"""
{bold('Everything is still running.')}
  source      psql '{self.shop}'
  target      psql '{self.copy}'
  crossfade   {os.environ['CROSSFADE_BIN']} -c {self.pipeline.config} status --watch
              {os.environ['CROSSFADE_BIN']} -c {self.pipeline.config} journal list""")
        if self.kafka:
            print(f"  topics      kcat -b {self.kafka.bootstrap} -L\n"
                  f"              kcat -b {self.kafka.bootstrap} -C -o beginning -e -t shop.simshop_oltp.orders")
        processes = [self.pipeline.capture, self.pipeline.apply, self.source.process, self.target.process]
        pids = [str(p.pid) for p in processes + ([self.kafka.process] if self.kafka else [])]
        print(f"  to end it   kill -INT {' '.join(pids)}; sleep 3; rm -r {self.folder}")

    def run(self):
        self.start_servers()
        self.load_shop()
        self.start_traffic()
        self.start_pipeline()
        step("snapshot and stream")
        self.show_progress()
        self.compare("under traffic")
        self.cut_over()
        self.compare("after the cutover")
        self.serve_on_target()
        self.print_summary()
        if self.args.keep:
            self.args.kept = True
            self.print_how_to_look()


def main():
    parser = argparse.ArgumentParser(prog="tools/demo")
    parser.add_argument("--journal", choices=("lmdb", "kafka"), default="lmdb")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--scale", type=int, default=3)
    parser.add_argument("--rate", type=int, default=150, help="transactions a second")
    args = parser.parse_args()
    args.kept = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    workdir = Workdir("demo")
    started = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: None if args.kept else workdir.remove())
            Demo(args, workdir.path, stack).run()
    except KeyboardInterrupt:
        print("\ndemo: interrupted, everything is cleaned up", file=sys.stderr)
        return 130
    print(f"\n{time.monotonic() - started:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
