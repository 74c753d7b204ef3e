"""The command line: usage, help, configuration errors, status of roles that run or do not, and signals."""

import json
import os
import pty
import re
import signal
import subprocess

import pytest

from rig import Kafka, Postgres, Workdir, find_crossfade, free_port, run_crossfade
from rig.procs import lsn_value
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 1000) i"
COMMANDS = ["check", "capture", "apply", "status", "journal", "compare", "cutover", "schema"]


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("cli") as path:
        yield path


@pytest.fixture(name="servers", scope="module")
def fixture_servers(folder):
    with Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="config")
def fixture_config(folder):
    path = os.path.join(folder, "plain.yaml")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"pipeline": "shop", "source": {"url": "postgresql://u:sesame@127.0.0.1:1/d"},
                   "target": {"url": "postgresql://u:sesame@127.0.0.1:1/d"}, "journal": {"url": f"lmdb:{folder}/none"},
                   "capture": {"listen": f"127.0.0.1:{free_port()}"}, "apply": {"listen": f"127.0.0.1:{free_port()}"}}, f)
    return path


def run(*words, **more):
    done = run_crossfade(*words, **more)
    assert not re.search("Sanitizer|runtime error", done.stderr), done.stderr
    return done


def refused(*words, says, **more):
    done = run(*words, **more)
    assert done.returncode == 2, f"{words}: {done.returncode}\n{done.stderr}"
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and says in lines[0], done.stderr


# -- usage

def test_help_and_version():
    top = run("--help")
    assert top.returncode == 0 and top.stderr == ""
    for command in COMMANDS:
        assert f"  {command} " in top.stdout
        own = run(command, "--help")
        assert own.returncode == 0 and f"crossfade [-c FILE] {command}" in own.stdout
        assert not [line for line in own.stdout.splitlines() if line != line.rstrip()]
    assert "  docs " not in top.stdout
    assert re.fullmatch(r"crossfade \d+\.\d+\.\d+\n", run("--version").stdout)


def test_wrong_usage(config):
    refused(says="a command is missing")
    refused("statsu", says='unknown command "statsu" (did you mean status?)')
    refused("xyzzy", says='unknown command "xyzzy" (crossfade --help lists all)')
    refused("status", "--jsno", says="did you mean --json?")
    refused("status", "-x", says="-x: unknown flag")
    refused("status", "--json=yes", says="takes no value")
    refused("status", "--timeout", says="needs a value")
    refused("-c", says="needs a file name")
    refused("status", "now", config=config, says='unexpected argument "now"')
    refused("capture", "sideways", config=config, says='unexpected argument "sideways"')
    refused("status", "--wait", "for-ever", config=config, says="expected caught-up")
    refused("status", "--wait", "caught-up", "--timeout=soon", config=config, says='found "soon"')
    refused("journal", config=config, says="expected list")
    refused("journal", "cat", config=config, says="expected list")
    refused("docs", "novel", says="expected config, man, types, metrics, events, cutover, alerts, bash or zsh")


# -- configuration

def test_configuration_is_found(folder, config):
    home = os.path.join(folder, "home")
    os.makedirs(os.path.join(home, ".config", "crossfade"), exist_ok=True)
    clean = {"HOME": home, "XDG_CONFIG_HOME": "", "CROSSFADE_CONFIG": ""}
    binary = find_crossfade()

    def status(env, cwd=home):
        return subprocess.run([binary, "status"], env=dict(os.environ, **env), cwd=cwd, capture_output=True, text=True, check=False)
    assert status(clean).returncode == 2 and "pipeline: is not set" in status(clean).stderr
    assert status(dict(clean, CROSSFADE_CONFIG=config)).returncode == 1
    os.symlink(config, os.path.join(home, ".config", "crossfade", "crossfade.yaml"))
    assert status(clean).returncode == 1
    work = os.path.join(folder, "work")
    os.makedirs(work)
    os.symlink(config, os.path.join(work, "crossfade.yaml"))
    assert status(dict(clean, HOME="/nonexistent"), cwd=work).returncode == 1
    assert status(dict(clean, CROSSFADE_CONFIG="/nonexistent.yaml"), cwd=work).returncode == 2


def test_flags_win(config):
    done = run("status", "--apply.listen=127.0.0.1:9", config=config)
    assert done.returncode == 1 and "127.0.0.1:9" in done.stderr
    refused("status", "--apply.listen=nowhere", config=config, says='--apply.listen: found "nowhere", expected host:port')
    refused("status", "--aply.listen=x:1", config=config, says="did you mean apply.listen?")


def test_all_problems_at_once(folder):
    path = os.path.join(folder, "wrong.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write("pipeline: Shop\nsource:\n  ulr: x\ncapture:\n  snapshot_workers: 0\n")
    done = run("capture", config=path)
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [f"{path}:1:11", f"{path}:3:3", f"{path}:5:21"]


def test_generated_documents():
    text = run("docs", "config").stdout
    assert text.startswith("# Configuration") and "### `journal.url`" in text and text.endswith("\n")
    man = run("docs", "man").stdout
    page = subprocess.run(["man", "-l", "-"], input=man, capture_output=True, text=True, check=False, env=dict(os.environ, MANPAGER="cat"))
    if page.returncode == 0:
        assert "EXIT STATUS" in page.stdout and page.stderr == ""


# -- status

def test_nobody_is_there(config):
    done = run("status", config=config)
    assert done.returncode == 1
    assert "capture does not answer at 127.0.0.1:" in done.stderr and "apply does not answer" in done.stderr
    done = run("status", "--json", config=config)
    status = json.loads(done.stdout)
    assert done.returncode == 1 and status["phase"] == "down"
    assert {"source_lsn", "journaled_lsn", "applied_lsn", "lag_bytes", "lag_seconds"} <= set(status)
    assert status["capture"]["phase"] == status["apply"]["phase"] == "down"
    assert "sesame" not in done.stdout + done.stderr
    done = run("status", "--wait", "caught-up", "--timeout", "1", config=config)
    assert done.returncode == 1 and "not caught up after 1 s" in done.stderr


def test_wrong_role_answers(servers):
    with scenario(*servers, T) as s:
        s.capture.start()
        s.capture.wait_ready()
        there = s.pipeline.settings["capture"]["listen"]
        done = s.pipeline.run("status", "--json", f"--apply.listen={there}")
        assert done.returncode == 1 and json.loads(done.stdout)["apply"]["phase"] == "down"
        done = s.pipeline.run("status", "--json", "--pipeline=other")
        assert "another pipeline" in json.loads(done.stdout)["capture"]["error"]


def terminal_output(argv, env):
    """What a command writes to a terminal."""
    parent, child = pty.openpty()
    process = subprocess.Popen(argv, stdout=child, stderr=subprocess.DEVNULL, env=env)
    os.close(child)
    data = b""
    while True:
        try:
            chunk = os.read(parent, 65536)
        except OSError:
            break
        if not chunk:
            break
        data += chunk
    process.wait(30)
    os.close(parent)
    return data.decode()


def test_a_running_pipeline(servers):
    with scenario(*servers, T) as s:
        s.start()
        lsn = s.source("INSERT INTO t SELECT i, 'x' FROM generate_series(2001, 2100) i", "SELECT pg_current_wal_lsn()::text")[0][0]
        done = s.pipeline.run("status", "--wait", "caught-up", "--timeout", "60", "--json")
        assert done.returncode == 0, done.stderr
        assert s.target("SELECT count(*) FROM t") == [(1100,)]
        status = json.loads(done.stdout)
        assert status["phase"] == "streaming" and status["complete"] and status["pipeline"] == s.name
        assert lsn_value(status["applied_lsn"]) >= lsn_value(lsn) or status["apply"]["fence_id"] == status["capture"]["fence_id"]
        assert status["lag_bytes"] >= 0 and status["lag_seconds"] >= 0
        assert set(status["lag"]) == {"capture_bytes", "apply_bytes", "capture_seconds", "apply_seconds"}
        assert status["snapshot"]["rows"] == 1000 and status["snapshot"]["percent"] == 100
        plain = s.pipeline.run("status")
        assert plain.returncode == 0 and "\033" not in plain.stdout and s.name in plain.stdout
        argv = [find_crossfade(), "-c", s.pipeline.config, "status"]
        env = {k: v for k, v in dict(os.environ, TERM="xterm").items() if k != "NO_COLOR"}
        assert "\033[32mstreaming" in terminal_output(argv, env)
        assert "\033" not in terminal_output(argv, dict(env, NO_COLOR="1"))
        assert "\033" not in terminal_output(argv, dict(env, TERM="dumb"))
        for role in (s.capture, s.apply):
            status, metrics = role.get("/metrics")
            assert status == 200 and f'pipeline="{s.name}"' in metrics
            assert role.get("/health") == (200, "ok\n")
        s.apply.kill9()
        done = s.pipeline.run("status")
        assert done.returncode == 1 and f"apply does not answer at 127.0.0.1:{s.apply.port}" in done.stderr


def test_watch(servers):
    with scenario(*servers, T) as s:
        s.start()
        argv = [find_crossfade(), "-c", s.pipeline.config, "status", "--watch", "--json"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watch:
            seen = [json.loads(watch.stdout.readline())["phase"] for _ in range(2)]
            watch.send_signal(signal.SIGINT)
            assert watch.wait(10) == 0
        assert seen == ["streaming", "streaming"]


# -- journal

@pytest.mark.parametrize("journal_format", ["avro", "json"])
def test_journal(servers, journal_format):
    with scenario(*servers, T, journal_format=journal_format) as s:
        missing = s.pipeline.run("journal", "list")
        assert missing.returncode == 4 and "capture makes it" in missing.stderr
        s.start()
        s.source("INSERT INTO t VALUES (5000, 'hällo')", "DELETE FROM t WHERE id = 5000")
        s.wait()
        streams = {line["stream"]: line for line in map(json.loads, s.pipeline.run("journal", "list", "--json").stdout.splitlines())}
        topic = f"{s.name}.public.t"
        assert streams[topic]["kind"] == "data" and streams[topic]["records"] >= 1003
        assert streams[f"{s.name}.fence"]["kind"] == "forever"
        assert topic in s.pipeline.run("journal", "list").stdout
        records = [json.loads(line) for line in s.pipeline.run("journal", "cat", "public.t").stdout.splitlines()]
        assert len(records) == streams[topic]["records"] and [r["offset"] for r in records] == list(range(len(records)))
        create, delete, tombstone = records[-3:]
        assert create["stream"] == topic and create["key"] == {"id": 5000} == tombstone["key"] and tombstone["value"] is None
        assert create["value"]["op"] == "c" and create["value"]["after"] == {"id": 5000, "v": "hällo"}
        assert delete["value"]["op"] == "d" and delete["value"]["before"]["id"] == 5000
        assert {r["value"]["op"] for r in records[:1000]} == {"r"}
        few = s.pipeline.run("journal", "cat", topic, "--from", "10", "--count", "2").stdout.splitlines()
        assert [json.loads(line)["offset"] for line in few] == [10, 11]
        last = s.pipeline.run("journal", "cat", topic, "--last", "1").stdout.splitlines()
        assert [json.loads(line)["offset"] for line in last] == [records[-1]["offset"]]
        fences = [json.loads(line) for line in s.pipeline.run("journal", "fences").stdout.splitlines()]
        assert [f["id"] for f in fences] == list(range(1, len(fences) + 1)) and fences[-1]["complete"]
        wrong = s.pipeline.run("journal", "cat", "public.tt")
        assert wrong.returncode == 2 and "did you mean" in wrong.stderr
        argv = [find_crossfade(), "-c", s.pipeline.config, "journal", "follow", "public.t", "--from", str(len(records))]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as follow:
            s.source("INSERT INTO t VALUES (6000, 'new')")
            assert json.loads(follow.stdout.readline())["value"]["after"]["id"] == 6000
            follow.terminate()
            assert follow.wait(10) == 0


def test_journal_in_kafka(servers):
    """Offsets have gaps there: commit marks take some."""
    folder = servers[0]
    with Kafka(folder) as kafka, scenario(*servers, T, journal=kafka.url) as s:
        s.start()
        for i in range(5000, 5006):
            s.source(f"INSERT INTO t VALUES ({i}, 'x')")
        s.wait()
        s.capture.terminate()
        records = [json.loads(line) for line in s.pipeline.run("journal", "cat", "public.t").stdout.splitlines()]
        assert sorted(r["value"]["after"]["id"] for r in records) == list(range(1, 1001)) + list(range(5000, 5006))
        last = [json.loads(line) for line in s.pipeline.run("journal", "cat", "public.t", "--last", "4").stdout.splitlines()]
        assert last == records[-4:]
        fences = [json.loads(line)["id"] for line in s.pipeline.run("journal", "fences").stdout.splitlines()]
        assert fences == list(range(1, len(fences) + 1))
        done = s.pipeline.run("journal", "fences", "--last", "3")
        assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == fences[-3:]
        done = s.pipeline.run("check", "--json")
        found = {c["check"]: c for c in json.loads(done.stdout)["checks"]}
        assert done.returncode == 0 and f"fence {fences[-1]} " in found["last fence"]["found"]


# -- roles

def test_signals(servers):
    with scenario(*servers, T) as s:
        s.start()
        for role in (s.capture, s.apply):
            role.wait_ready()
            role.signal(signal.SIGTERM)
            role.assert_exit(0, 12)
            assert "halted" not in role.log_text()
        s.start()
        for role in (s.capture, s.apply):
            role.wait_ready()
            role.signal(signal.SIGINT)
            if role.running:
                role.signal(signal.SIGINT)
            role.assert_exit(0, 5)


def test_port_in_use(servers):
    with scenario(*servers, T) as s:
        s.capture.start()
        s.capture.wait_ready()
        done = s.pipeline.run("apply", f"--apply.listen={s.pipeline.settings['capture']['listen']}")
        assert done.returncode == 4
        assert "apply.listen" in done.stderr.splitlines()[-1] and "in use" in done.stderr.splitlines()[-1]


def test_log_as_json(servers):
    with scenario(*servers, T, more={"log": {"format": "json"}}) as s:
        s.start()
        s.capture.terminate()
        for line in s.capture.log_text().splitlines():
            event = json.loads(line)
            assert event["role"] == "capture" and event["event"] and event["level"] in ("info", "warn", "error")
