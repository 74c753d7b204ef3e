"""Passwords stay where they were written down: a whole run, from check to cutover, with a marker in every secret, and then everything is searched for it that
others may read: logs, reports, journal, control tables, answers over HTTP, arguments of processes; and no core dump is made of our memory."""

import contextlib
import glob
import json
import os
import shutil
import signal
import stat
import subprocess
import threading

import psycopg
import pytest

from rig import Postgres, Workdir, find_crossfade, privileges, run_crossfade, wait_until
from rig.procs import Process
from rig.scenario import scenario
from rig.way_back import refusals
from rig.workdir import server_user

MARK = "Zx9markerZx9"
ROLES = [privileges.CAPTURE, privileges.APPLY, privileges.COMPARE, privileges.CUTOVER, privileges.OWNER]
SETTINGS = {"lag_stable_ms": 100, "max_lag_ms": 30000, "drain_timeout_s": 60, "straggler_grace_ms": 300, "freeze_timeout_ms": 4000}
T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"


class Watch(threading.Thread):
    """Looks at every process's arguments, all the time."""

    def __init__(self):
        super().__init__(daemon=True)
        self.found, self.over = set(), threading.Event()

    def run(self):
        while not self.over.wait(0.01):
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                with contextlib.suppress(OSError), open(path, "rb") as f:
                    words = f.read()
                    if MARK.encode() in words:
                        self.found.add(words)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.join()


def with_password(url, password):
    head, _, tail = url.partition("@")
    return f"{head}:{password}@{tail}"


def ask_for_passwords(server):
    """Of Crossfade's roles, from now on."""
    for role in ROLES:
        server.sql(f"ALTER ROLE {role} PASSWORD '{MARK}-{server.name}'")
    path = os.path.join(server.data, "pg_hba.conf")
    with open(path) as f:
        trust = f.read()
    with open(path, "w") as f:
        f.write(f"host all {','.join(ROLES)} 127.0.0.1/32 scram-sha-256\n{trust}")
    server.process.signal(signal.SIGHUP)

    def asked():
        with contextlib.suppress(psycopg.OperationalError):
            server.connect(user=ROLES[0]).close()
            return False
        return True
    wait_until(asked, 20, "passwords are asked for")


def test_a_marker_in_every_secret(monkeypatch):
    monkeypatch.setenv("TARGET_PASSWORD", f"{MARK}-target")
    with Workdir("secrets") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        hook = f"cat /proc/$PPID/cmdline; tr '\\0' '\\n' < /proc/self/environ | grep -v TARGET_PASSWORD; cat {folder}/secrets.yaml >/dev/null; exit 0"
        more = {"cutover": {**SETTINGS, "on_switch": [hook]}}
        with scenario(folder, source, target, T, name="secrets", more=more, journal=None) as s:
            for server in (source, target):
                ask_for_passwords(server)
            settings = s.pipeline.settings
            settings["source"]["url"] = with_password(settings["source"]["url"], f"{MARK}-source")
            settings["target"]["url"] = with_password(settings["target"]["url"], "${TARGET_PASSWORD}")
            settings["compare"]["watch"] = {"webhook": f"https://user:{MARK}@127.0.0.1:9/hook?token={MARK}", "webhook_secret": f"{MARK}-webhook"}
            settings["alerts"] = {"webhook": f"https://user:{MARK}@127.0.0.1:9/alerts?token={MARK}", "webhook_secret": f"{MARK}-alerts"}
            tokens = os.path.join(folder, "tokens.yaml")  # by its name not searched below: it has to hold them
            with open(tokens, "w", encoding="utf-8") as f:
                f.write(f"ops {MARK}-token-0123456789abcdef0123456789abcdef\n")
            os.chmod(tokens, 0o600)
            settings["control"] = {"token_file": tokens}
            given, program = os.path.join(folder, "given"), os.path.join(folder, "pg_dump")
            with open(program, "w", encoding="utf-8") as f:
                f.write(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {given}\n[ -n \"$PGPASSWORD\" ] && echo password by the environment >> {given}\nexec {shutil.which('pg_dump')} \"$@\"\n")
            os.chmod(program, 0o755)
            settings["schema"] = {"pg_dump": program}
            s.pipeline.write()
            said = []

            def run(*words, expected=0):
                done = s.pipeline.run(*words)
                said.append(done.stdout + done.stderr)
                assert done.returncode == expected, f"{words}: {done.returncode}\n{refusals(done.stdout) if 'cutover' in words else said[-1][-2000:]}"

            with Watch() as watch:
                run("check")
                run("schema", "plan")  # by pg_dump, which needs the password, too
                s.start()
                s.source_server.sql("UPDATE t SET v = 'x' WHERE id < 10", db="secrets")
                s.wait()
                for words in (["status"], ["status", "--json"], ["journal", "list"], ["journal", "verify"], ["compare", "run", "--json"], ["cutover", "plan", "--json"]):
                    run(*words)
                run("apply", "pause", "--reason", "a look")
                run("apply", "resume")
                answers = [role.get(path)[1] for role in (s.capture, s.apply) for path in ("/", "/status", "/metrics", "/health")]
                run("cutover", "run", "--execute", "--json")
                run("audit", "list", "--json")
                run("cutover", "status", "--json")
                # What goes wrong is told without what it went wrong with.
                settings["source"]["url"] = settings["source"]["url"].replace(f"{MARK}-source", f"{MARK}-wrong")
                s.pipeline.write()
                run("check", expected=1)
                run("compare", "run", expected=4)
                for broken in (f"postgresql://crossfade_capture:{MARK}@[127.0.0.1/x", f"postgresql://u:{MARK}%zz@127.0.0.1/x", f"mariadb://u:{MARK}@127.0.0.1"):
                    settings["source"]["url"] = broken
                    s.pipeline.write()
                    done = s.pipeline.run("check")
                    said.append(done.stdout + done.stderr)
                    assert done.returncode != 0
            assert not watch.found, watch.found
            with open(given, encoding="utf-8") as f:
                assert "--schema-only" in (text := f.read()) and "password by the environment" in text  # that it has no MARK is looked at below
            for text in said + answers:
                assert MARK not in text, text
            s.pipeline.close()
            looked = 0
            for at, folders, names in os.walk(folder):
                folders[:] = [name for name in folders if name != "data" or "journal" in at]  # of the servers: they have to know it
                for path in (os.path.join(at, name) for name in names if ".yaml" not in name):
                    if stat.S_ISREG(os.lstat(path).st_mode):
                        with open(path, "rb") as f:
                            assert MARK.encode() not in f.read(), path
                        looked += 1
            assert looked > 8
            for url in (s.source_url, s.target_url):
                dump = subprocess.run(["pg_dump", "-d", url], capture_output=True, text=True, check=True).stdout
                assert "crossfade" in dump and MARK not in dump


def started(folder, user=None, words=(), env=None):
    """A capture whose source is not there, so that it waits."""
    config = os.path.join(str(folder), "core.yaml")
    with open(config, "w") as f:
        json.dump({"pipeline": "core", "source": {"url": "postgresql://u@127.0.0.1:1/x", "tables": ["public.*"]}, "target": {"url": "postgresql://u@127.0.0.1:1/y"},
                   "journal": {"url": f"lmdb:{folder}/core-journal"}, "capture": {"listen": "127.0.0.1:0"}}, f)
    process = Process("capture", [find_crossfade(), "-c", config, *words, "capture"], os.path.join(str(folder), "core.log"), user=user, env=env)
    process.start()
    wait_until(lambda: "127.0.0.1" in log_of(process) and process.running, 60, "it tries")
    return process


def log_of(process):
    with open(process.log, encoding="utf-8") as f:
        return f.read()


def arguments(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read().decode()


def test_arguments_are_taken_out_of_the_list_of_processes():
    with Workdir("arguments") as folder:
        process = started(folder, words=[f"--source.url=postgresql://u:{MARK}@127.0.0.1:1/x", f"--compare.watch.webhook_secret={MARK}"])
        try:
            shown = arguments(process.pid)
            assert MARK not in shown and "--source.url=postgresql://u:***@127.0.0.1:1/x" in shown and shown.rstrip("\0").endswith("capture"), shown
            assert MARK not in log_of(process)
        finally:
            process.close()


@pytest.mark.parametrize("dumpable", ["0", "1"])
def test_core_dumps(dumpable):
    user = server_user()
    with Workdir("core") as folder:
        os.chmod(folder, 0o777)
        process = started(folder, user=user, env={"CROSSFADE_DUMPABLE": dumpable, "ASAN_OPTIONS": "detect_leaks=0"})
        try:
            with open(f"/proc/{process.pid}/limits") as f:
                limit = next(line.split()[4:6] for line in f if line.startswith("Max core file size"))
            owner = os.stat(f"/proc/{process.pid}/mem").st_uid  # root's when nobody else may look (proc(5))
            if dumpable == "0":
                assert limit == ["0", "0"] and owner == 0
            else:
                assert owner == (user.pw_uid if user else os.getuid())
        finally:
            process.close()
        done = run_crossfade("--version", env={"CROSSFADE_DUMPABLE": "perhaps"})
        assert done.returncode == 2 and "CROSSFADE_DUMPABLE" in done.stderr
