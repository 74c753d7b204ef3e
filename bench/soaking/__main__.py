"""Runs a soak: see bench/soak."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

import psycopg

from rig import Workdir
from rig.oracle import check_ledger, compare

from . import report
from .faults import ROLES, SERVERS
from .rigging import DISK_MB, Rig
from .watch import Watch

CALM_S = 60  # between two faults
BACK_S = 300  # within this long the lag has to be zero again
ROLES_SHARE = 0.2  # of the time: in the rest no role is restarted, and its memory can be watched


class Soak:
    def __init__(self, args, rig, watch):
        self.args, self.rig, self.watch = args, rig, watch
        self.random = random.Random(args.seed)
        self.result = {"faults": [], "calm": [], "comparisons": [], "ended": [], "samples": watch.samples, "seed": args.seed, "rate": args.rate, "disk_mb": DISK_MB}

    def say(self, text):
        print(f"{self.watch.now() / 60:7.1f} min  {text}", flush=True)

    def hurt(self, name, fault):
        """One fault, and how long until all that was committed at its end is on the target."""
        entry = {"name": name, "at_s": round(self.watch.now(), 1), "held_s": None, "back_s": None, "failure": None}
        self.result["faults"].append(entry)
        try:
            fault(self.rig)
            over = self.watch.now()
            entry["held_s"] = round(over - entry["at_s"], 1)
            self.come_back()
            entry["back_s"] = round(self.watch.now() - over, 1)
        except (AssertionError, RuntimeError, psycopg.Error) as error:
            entry["failure"] = str(error).splitlines()[0][:300]
            self.say(f"{name}: {error}")
        self.say(f"{name}: held {entry['held_s']} s, back after {entry['back_s']} s")
        self.started_again()

    def come_back(self):
        deadline = time.monotonic() + BACK_S
        while True:
            try:
                self.rig.pipeline.wait_caught_up(BACK_S)
                return
            except psycopg.OperationalError:  # the source is just coming back itself
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def started_again(self):
        """A role that has ended by itself is told, and the soak goes on with a new one."""
        for name in ("capture", "apply"):
            role = getattr(self.rig.pipeline, name)
            if not role.running:
                self.result["ended"].append(f"{name} with {role.exit_code} at {self.watch.now() / 60:.1f} min: {role.log_text().strip().splitlines()[-1][:300]}")
                self.say(self.result["ended"][-1])
                role.start()

    def compare(self):
        done = self.rig.pipeline.run("compare", "run", "--json", timeout=900)
        verdict = json.loads(done.stdout)["verdict"] if done.stdout else f"none (exit code {done.returncode}): {done.stderr.strip()[-300:]}"
        self.result["comparisons"].append({"at_s": round(self.watch.now(), 1), "verdict": verdict})
        self.say(f"compare run: {verdict}")

    def round_of(self, faults, until_s):
        """Each once in random order, as long as there is time."""
        names = list(faults)
        self.random.shuffle(names)
        for name in names:
            if not self.args.quick and self.watch.now() >= until_s:
                return
            self.hurt(name, faults[name])
            if not self.args.quick:
                time.sleep(CALM_S)
            if faults is SERVERS:
                self.result["calm"].append(self.watch.sample())
        self.compare()

    def run(self):
        end_s = self.args.hours * 3600
        roles_end_s = end_s * ROLES_SHARE
        self.round_of(ROLES, roles_end_s)
        while not self.args.quick and self.watch.now() < roles_end_s:
            self.round_of(ROLES, roles_end_s)
        self.round_of(SERVERS, end_s)
        while not self.args.quick and self.watch.now() < end_s:
            self.round_of(SERVERS, end_s)

    def finish(self):
        load, result = self.rig.load.stop(), self.result
        self.rig.pipeline.wait_caught_up(BACK_S)
        self.compare()
        result["differences"] = compare(self.rig.shop, self.rig.copy)
        result["missing"] = len(check_ledger(self.rig.copy, load.acked, load.unknown, load.run_id).missing)
        result["acknowledged"], result["refused"], result["hours"] = len(load.acked), load.refused, self.watch.now() / 3600
        return result


def commit():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=os.path.dirname(__file__))
    return done.stdout.strip() or "unknown"


def main():
    parser = argparse.ArgumentParser(prog="bench/soak")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=50, help="transactions a second")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--report", default="soak.md", help="the page; its drawing and its data go beside it")
    parser.add_argument("--quick", action="store_true", help="each kind of fault once")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):  # as an exception: everything is cleaned up
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    began = {"commit": commit(), "when": time.strftime("%Y-%m-%d")}
    with Workdir("soak") as folder, Rig(folder, args.rate, args.seed) as rig, Watch(rig) as watch:
        soak = Soak(args, rig, watch)
        soak.say(f"seed {args.seed}; the copy is complete")
        soak.run()
        result = soak.finish()
    result.update(began)
    report.judge(result)
    report.write(result, args.report)
    for claim in result["claims"]:
        print(f"{'ok  ' if claim['held'] else 'FAIL'}  {claim['claim']}: {claim['found']}")
    print(f"{'PASS' if result['passed'] else 'FAIL'}: {args.report}")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
