"""The demonstration that tools/demo runs: SimShop moves from one PostgreSQL to another while its customers go on buying."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to clean up: main() takes it over

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from rig import Kafka, Pipeline, Postgres, Process, Workdir
from rig.load import load_simshop
from rig.postgres import copy_schema
from rig.wait import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
TERMINAL = sys.stdout.isatty()
COLOUR = TERMINAL and not os.environ.get("NO_COLOR")
QUIET_SECONDS = 3  # between two lines of progress where no line can be redrawn


def bold(text):
    return f"\033[1m{text}\033[0m" if COLOUR else text


def step(text):
    print(f"\n{bold('▸ ' + text)}", flush=True)


class Progress:
    """with Progress() as show: show("43 %") …: one line that is redrawn on a terminal, elsewhere a line every few seconds."""

    def __init__(self):
        self.text, self.told = None, time.monotonic()

    def __enter__(self):
        return self

    def __call__(self, text):
        self.text = "  " + text
        if TERMINAL:
            width = shutil.get_terminal_size().columns
            print(f"\r\033[K{self.text[:width - 1]}", end="", flush=True)
        elif time.monotonic() - self.told >= QUIET_SECONDS:
            self.told = time.monotonic()
            print(self.text, flush=True)
            self.text = None

    def __exit__(self, *exc):
        """What was shown last stays."""
        if TERMINAL:
            print(flush=True)
        elif self.text:
            print(self.text, flush=True)


def seconds(value):
    return f"{value:.0f} s" if value < 120 else f"{value // 60:.0f} min {value % 60:02.0f} s"


class Demo:
    def __init__(self, args, folder, stack):
        self.args, self.folder, self.stack = args, folder, stack
        self.detached = args.keep
        self.finished = False
        self.verdicts, self.lag, self.pause = {}, "", ""

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
        print(f"  {rows:,} rows; the target has the same tables, empty (pg_dump --schema-only)", flush=True)

    def start_traffic(self):
        step(f"customers arrive: pgbench, 4 clients, {self.args.rate} transactions a second")
        self.traffic = self.pgbench(self.shop, "traffic", seconds=3600)

    def pgbench(self, url, name, seconds):
        argv = [os.path.join(HERE, "load", "run"), "--url", url, "--clients", "4", "--seconds", str(seconds),
                "--rate", str(self.args.rate)]
        process = Process(f"pgbench {name}", argv, os.path.join(self.folder, f"{name}.log"), stop_signal=signal.SIGINT)
        process.start()
        self.stack.callback(process.close)
        return process

    # -- the pipeline

    def start_pipeline(self):
        kafka = {"journal": f"kafka://{self.kafka.bootstrap}", "journal_format": "json"} if self.kafka else {}
        self.pipeline = Pipeline(self.folder, self.shop, self.copy, **kafka)
        self.check()
        for role in (self.pipeline.capture, self.pipeline.apply):
            role.detached = self.detached
            self.stack.callback(self.end_role, role)
            role.start()

    def end_role(self, role):
        """Asks it to stop; kills it when something was interrupted: then it may wait long for what is not there any more."""
        if self.finished:
            if not self.args.kept:
                role.close()
        elif role.running:
            role.kill9()

    def crossfade(self, *words, expect=(0,), quiet=False):
        """Runs a command and returns its standard output; its progress goes to the terminal unless quiet."""
        argv = [os.environ["CROSSFADE_BIN"], "-c", self.pipeline.config, *words]
        done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if quiet else None, check=False)
        if done.returncode not in expect:
            raise RuntimeError(f"`crossfade {' '.join(words)}` ended with {done.returncode}\n{done.stdout}")
        return done.stdout

    def status(self):
        for role in (self.pipeline.capture, self.pipeline.apply):
            if not role.running:
                raise RuntimeError(f"{role.name} ended with {role.exit_code}\n{role.log_tail()}")
        return json.loads(self.crossfade("status", "--json", expect=(0, 1), quiet=True))

    def check(self):
        step("crossfade check")
        report = json.loads(self.crossfade("check", "--json", expect=(0, 1)))
        for check in report["checks"]:
            if check["state"] != "ok":
                print(f"  {check['state']}: {check['found']}")
        print(f"  {report['counts']['ok']} preconditions hold", flush=True)
        if not report["ok"]:
            raise RuntimeError("a precondition does not hold")

    def copy_all(self):
        step("crossfade capture, crossfade apply: the snapshot, while customers write")
        started = time.monotonic()

        def complete():
            status = self.status()
            show(self.copy_line(status, time.monotonic() - started))
            return status.get("apply", {}).get("complete")
        with Progress() as show:
            wait_until(complete, 120 + 30 * self.args.scale, "the snapshot to be applied", interval=0.5)

    @staticmethod
    def copy_line(status, elapsed):
        snapshot, apply = status.get("snapshot") or {}, status.get("apply", {})
        rows, total = snapshot.get("rows") or 0, max(snapshot.get("estimate") or 0, snapshot.get("rows") or 0)
        there = min(apply.get("changes") or 0, total)
        if apply.get("complete"):
            return f"{rows:,} rows copied and on the target after {elapsed:.1f} s"
        if not total or not there:
            return f"journal {rows:,} of {total:,} rows" if rows else "starting"
        left = elapsed * (total - there) / there
        return f"journal {rows:,} of {total:,} rows, target {there:,} ({100 * there / total:.0f} %), ETA {seconds(left)}"

    def follow(self):
        step("the stream: lag under traffic")
        self.crossfade("status", "--wait", "caught-up", "--timeout", "60")
        with Progress() as show:
            for _ in range(4):
                status = self.status()
                show(f"lag {self.lag_of(status)}; {self.streamed(status):,} changes streamed so far")
                time.sleep(1)  # a look at a running system, not a test

    @staticmethod
    def lag_of(status):
        return f"{status.get('lag_bytes') or 0:,} bytes, {status.get('lag_seconds') or 0:.2f} s"

    @staticmethod
    def streamed(status):
        return (status.get("capture", {}).get("changes") or 0) - ((status.get("snapshot") or {}).get("rows") or 0)

    def compare(self, when):
        step(f"crossfade compare run, {when}")
        text = self.crossfade("compare", "run", expect=(0, 1, 3))
        print("\n".join("  " + line for line in text.splitlines() if "report:" not in line), flush=True)
        with open(os.path.join(self.pipeline.report_dir, "latest", "report.json")) as f:
            self.verdicts[when] = json.load(f)["verdict"]

    def cut_over(self):
        step("crossfade cutover run --execute")
        before = self.status()
        report = json.loads(self.crossfade("cutover", "run", "--execute", "--json", expect=(0, 10, 11, 12)))
        gates = report.get("gates", [])
        for gate in gates:
            if gate["verdict"] != "ok":
                print(f"  gate {gate['name']} is closed: {gate['measured']} ({gate['limit']}): {gate['hint']}")
        print(f"  {sum(gate['verdict'] == 'ok' for gate in gates)} of {len(gates)} gates are open")
        steps = [f"{taken['state']} {taken['ms']:.0f}" for taken in report.get("steps", [])]
        print(f"  milliseconds: {', '.join(steps)}", flush=True)
        if report["outcome"] != "done":
            raise RuntimeError(f"the cutover is {report['outcome']}: {report.get('reason', '')}")
        self.lag = self.lag_of(before)
        self.pause = f"{report['pause_ms']:,.0f} ms"

    def serve_on_target(self):
        step("customers go on buying, on the new database")
        self.traffic.wait(30)  # the source refuses their writes now
        process = self.pgbench(self.copy, "after", seconds=4)
        process.wait(60)
        with open(process.log) as f:
            text = f.read()
        done, failed = (re.search(rf"^number of {what}: (\d+)", text, re.M)
                        for what in ("transactions actually processed", "failed transactions"))
        if not done or not failed or done[1] == "0":
            raise RuntimeError(f"nobody can buy there\n{process.log_tail()}")
        print(f"  {done[1]} transactions, {failed[1]} failed", flush=True)

    # -- the end

    def print_summary(self):
        report = os.path.join(self.pipeline.report_dir, "latest", "report.html")
        if not self.args.keep:
            kept = os.path.join(tempfile.gettempdir(), f"crossfade-demo-{time.strftime('%Y%m%dT%H%M%S')}.html")
            shutil.copyfile(report, kept)
            report = kept
        status = self.status()
        print("\n" + bold("Summary"))
        for name, value in (("rows copied", f"{(status.get('snapshot') or {}).get('rows', 0):,}"),
                            ("changes streamed", f"{self.streamed(status):,}"),
                            ("lag at the end", self.lag + " before the cutover"),
                            ("write pause", self.pause),
                            ("verdicts", ", ".join(f"{verdict} {when}" for when, verdict in self.verdicts.items())),
                            ("report", report)):
            print(f"  {name:<18} {value}")

    def write_end_script(self):
        """--keep: a script that ends everything and removes the folder. Returns its path."""
        servers = [self.source.process, self.target.process]
        others = [self.pipeline.capture, self.pipeline.apply] + ([self.kafka.process] if self.kafka else [])
        pids, fast = " ".join(str(p.pid) for p in others), " ".join(str(p.pid) for p in servers)
        path = os.path.join(self.folder, "end")
        with open(path, "w") as f:
            f.write(f"#!/bin/sh\nkill {pids} 2>/dev/null\nkill -INT {fast} 2>/dev/null\n"
                    f"for pid in {pids} {fast}; do while kill -0 $pid 2>/dev/null; do sleep 0.1; done; done\n"
                    f"rm -rf '{self.folder}'\n")
        os.chmod(path, 0o755)
        return path

    def print_how_to_look(self):
        crossfade = f"{os.environ['CROSSFADE_BIN']} -c {self.pipeline.config}"
        print(f"""
{bold('Everything is still running.')}
  source      psql '{self.shop}'
  target      psql '{self.copy}'
  crossfade   {crossfade} status --watch
              {crossfade} journal list
              {crossfade} journal cat shop.simshop_oltp.orders""")
        if self.kafka:
            print(f"  topics      kcat -b {self.kafka.bootstrap} -L\n"
                  f"              kcat -b {self.kafka.bootstrap} -C -o beginning -e -t shop.simshop_oltp.orders")
        print(f"  to end it   {self.write_end_script()}")

    def run(self):
        self.start_servers()
        self.load_shop()
        self.start_traffic()
        self.start_pipeline()
        self.copy_all()
        self.follow()
        self.compare("under traffic")
        self.cut_over()
        self.compare("after the cutover")
        self.serve_on_target()
        self.print_summary()
        wrong = [when for when, verdict in self.verdicts.items() if verdict != "PASS"]
        if wrong:
            raise RuntimeError(f"the comparison {wrong[0]} is {self.verdicts[wrong[0]]}")
        self.finished = True
        if self.args.keep:
            self.args.kept = True
            self.print_how_to_look()


@contextlib.contextmanager
def cleaning_up():
    """While this ends what was started, a second Ctrl-C or SIGTERM changes nothing."""
    with contextlib.ExitStack() as stack:
        try:
            yield stack
        except KeyboardInterrupt:
            print("\ndemo: interrupted, cleaning up …", file=sys.stderr, flush=True)
            raise
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/demo")
    parser.add_argument("--journal", choices=("lmdb", "kafka"), default="lmdb")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--scale", type=int, default=3)
    parser.add_argument("--rate", type=int, default=150, help="transactions a second")
    args = parser.parse_args()
    args.kept = False
    return args


def main():
    args = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    started = time.monotonic()
    try:
        with cleaning_up() as stack:
            workdir = Workdir("demo")
            stack.callback(lambda: None if args.kept else workdir.remove())
            signal.signal(signal.SIGINT, signal.default_int_handler)
            Demo(args, workdir.path, stack).run()
    except KeyboardInterrupt:
        print("demo: everything is cleaned up", file=sys.stderr)
        return 130
    except (RuntimeError, AssertionError, OSError, subprocess.CalledProcessError) as error:
        print(f"\ndemo: {error}\ndemo: that went wrong; everything is cleaned up", file=sys.stderr)
        return 1
    print(f"\n{time.monotonic() - started:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
