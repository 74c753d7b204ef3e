"""The rig for shell scripts: servers that go on running, a load, the oracle.

    python3 -m rig postgres DIR NAME [--set KEY=VALUE]… [--fsync] [--bindir DIR]    prints the server's state as JSON
    python3 -m rig kafka DIR [NAME] [--heap 512m]                                   prints the broker's state as JSON
    python3 -m rig get DIR NAME KEY                                                 one field of that: url, port, pid, log…
    python3 -m rig stop DIR [NAME]                                                  stops what was started there
    python3 -m rig copy-schema SOURCE_URL TARGET_URL [SCHEMA]…
    python3 -m rig oracle SOURCE_URL TARGET_URL [--ignore TABLE]…                   exit code 1 and a line per table that differs
    python3 -m rig load URL DIR [--clients N] [--rate TPS] [--seconds S]            until SIGTERM/SIGINT, then a JSON report
    python3 -m rig free-port

DIR holds <name>/state.json for everything started there, so that `stop DIR` finds it again. Run with PYTHONPATH=tests/support.
"""

import argparse
import glob
import json
import os
import signal
import sys
import threading

from . import Kafka, Load, Postgres, compare, free_port
from .postgres import copy_schema
from .procs import pid_alive, send_signal
from .wait import Timeout, wait_until


def start_time(pid):
    """When the process started, in clock ticks: with the pid it names one process for ever."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rpartition(")")[2].split()[19])
    except OSError:
        return None


def save(server):
    state = dict(server.state(), started=start_time(server.process.pid))
    with open(os.path.join(server.home, "state.json"), "w") as f:
        json.dump(state, f)
    print(json.dumps(state))


def read_states(folder, name=None):
    states = []
    for path in sorted(glob.glob(os.path.join(folder, name or "*", "state.json"))):
        with open(path) as f:
            states.append(json.load(f))
    return states


def stop(state):
    pid = state["pid"]
    if start_time(pid) != state["started"]:
        return
    send_signal(pid, signal.Signals["SIG" + state["stop"]])
    try:
        wait_until(lambda: not pid_alive(pid), 20, f"{state['name']} is gone")
    except Timeout:
        send_signal(pid, signal.SIGKILL)
        wait_until(lambda: not pid_alive(pid), 10, f"{state['name']} is gone")


def run_load(args):
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with Load(args.url, args.dir, clients=args.clients, rate=args.rate, seed=args.seed) as load:
        ended.wait(args.seconds)
    print(json.dumps({"run_id": load.run_id, "acked": len(load.acked), "unknown": len(load.unknown),
                      "refused": load.refused, "file": load.path}))


def parse(argv):
    parser = argparse.ArgumentParser(prog="rig", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    p = commands.add_parser("postgres")
    p.add_argument("dir")
    p.add_argument("name")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    p.add_argument("--fsync", action="store_true")
    p.add_argument("--bindir")
    p = commands.add_parser("kafka")
    p.add_argument("dir")
    p.add_argument("name", nargs="?", default="kafka")
    p.add_argument("--heap", default="512m")
    p = commands.add_parser("get")
    p.add_argument("dir")
    p.add_argument("name")
    p.add_argument("key")
    p = commands.add_parser("stop")
    p.add_argument("dir")
    p.add_argument("name", nargs="?")
    p = commands.add_parser("copy-schema")
    p.add_argument("source")
    p.add_argument("target")
    p.add_argument("schema", nargs="*")
    p = commands.add_parser("oracle")
    p.add_argument("source")
    p.add_argument("target")
    p.add_argument("--ignore", action="append", default=[])
    p = commands.add_parser("load")
    p.add_argument("url")
    p.add_argument("dir")
    p.add_argument("--clients", type=int, default=4)
    p.add_argument("--rate", type=float)
    p.add_argument("--seconds", type=float)
    p.add_argument("--seed", type=int, default=1)
    commands.add_parser("free-port")
    return parser.parse_args(argv)


def start_server(server):
    """Starts a detached server; nothing is left when that fails or is interrupted."""
    try:
        save(server.__enter__())
    except BaseException:
        server.close()
        raise


def main(argv):
    args = parse(argv)
    if args.command == "postgres":
        settings = dict(pair.split("=", 1) for pair in args.set)
        start_server(Postgres(args.dir, args.name, bindir=args.bindir, fsync=args.fsync, settings=settings, detached=True))
    elif args.command == "kafka":
        start_server(Kafka(args.dir, args.name, heap=args.heap, detached=True))
    elif args.command == "get":
        states = read_states(args.dir, args.name)
        if not states:
            sys.exit(f"rig: nothing called {args.name} in {args.dir}")
        print(states[0][args.key])
    elif args.command == "stop":
        for state in read_states(args.dir, args.name):
            stop(state)
    elif args.command == "copy-schema":
        copy_schema(args.source, args.target, args.schema)
    elif args.command == "oracle":
        differences = compare(args.source, args.target, args.ignore)
        for table, text in differences.items():
            print(f"{table}: {text}")
        return 1 if differences else 0
    elif args.command == "load":
        run_load(args)
    elif args.command == "free-port":
        print(free_port())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
