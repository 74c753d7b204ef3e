"""The rig itself: servers start, die, come back with their data, and leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

SUPPORT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, SUPPORT)

from rig import Kafka, Load, Pipeline, Postgres, Process, SumReader, Workdir, check_ledger, compare, wait_until  # noqa: E402
from rig.kafka import jars  # noqa: E402
from rig.load import load_simshop  # noqa: E402
from rig.oracle import assert_equal, digest  # noqa: E402
from rig.postgres import copy_schema, run_psql  # noqa: E402
from rig.procs import pid_alive  # noqa: E402


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("rig") as path:
        yield path


@pytest.fixture(name="pg", scope="module")
def fixture_pg(folder):
    with Postgres(folder, "source") as server:
        yield server


@pytest.fixture(name="shop", scope="module")
def fixture_shop(pg):
    url = pg.create_db("shop")
    load_simshop(url, scale=1)
    return url


def test_postgres_survives_kill_and_immediate_stop(pg):
    pg.sql("CREATE TABLE kept (i int); INSERT INTO kept VALUES (1)")
    pg.kill9()
    assert not pg.process.running
    pg.start()
    pg.sql("INSERT INTO kept VALUES (2)")
    pg.restart(immediate=True)
    assert pg.value("SELECT sum(i) FROM kept") == 3
    assert pg.value("SHOW wal_level") == "logical"
    pg.configure(work_mem="5MB")
    wait_until(lambda: pg.value("SHOW work_mem") == "5MB", 10, "the setting is read again")


def test_postgres_goes_back_to_a_copy(folder):
    with Postgres(folder, "restored") as pg:
        pg.sql("CREATE TABLE t (i int); INSERT INTO t VALUES (1)")
        system_id = pg.system_id
        base = pg.basebackup(pg.backup_path("base"))
        pg.sql("INSERT INTO t VALUES (2)")
        pg.stop()
        files = pg.copy_data(pg.backup_path("files"))
        pg.start()
        pg.sql("INSERT INTO t VALUES (3)")
        for copy, total in ((files, 3), (base, 1)):
            pg.stop()
            pg.restore(copy)
            pg.start()
            assert pg.value("SELECT sum(i) FROM t") == total
            assert pg.system_id == system_id


def test_oracle_sees_one_changed_value(pg, shop):
    copy = pg.create_db("shop_copy", template="shop")
    assert len(digest(shop)) == 30
    assert_equal(shop, copy)
    run_psql(copy, "-c", "UPDATE simshop_oltp.accounts SET balance = balance + 0.01 WHERE account_id = 7")
    run_psql(copy, "-c", "DELETE FROM simshop_oltp.stock_movements WHERE ctid = (SELECT min(ctid) FROM simshop_oltp.stock_movements)")
    assert list(compare(shop, copy)) == ["simshop_oltp.accounts", "simshop_oltp.stock_movements"]
    with pytest.raises(AssertionError, match="only on the target: .*1000.01"):
        assert_equal(shop, copy)


def test_oracle_does_not_mind_the_order_of_columns(pg):
    left, right = pg.create_db("columns_left"), pg.create_db("columns_right")
    run_psql(left, "-c", "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)")
    run_psql(right, "-c", "CREATE TABLE t (b text, a int PRIMARY KEY); INSERT INTO t VALUES (NULL, 2), ('x', 1)")
    assert not compare(left, right)


def test_schema_without_rows_is_copied(pg, shop):
    target = pg.create_db("shop_target")
    copy_schema(shop, target, ["simshop_oltp", "simshop_dw"])
    found = digest(target)
    assert found.keys() == digest(shop).keys()
    assert {table.rows for table in found.values()} == {0}


def test_load_knows_what_was_acknowledged(pg, shop, folder):
    with SumReader(shop) as reader, Load(shop, folder, clients=3) as load:
        load.wait_acked(300)
        wait_until(lambda: reader.reads > 3, 30, "sums are read")
        pg.restart(immediate=True)
        load.wait_acked(100)
    assert not load.refused.keys() - {"lost", "57P01", "57P02", "57P03", "08006"}
    ledger = check_ledger(shop, load.acked, load.unknown, load.run_id)
    assert not ledger.missing and not ledger.unexpected and not ledger.repeated
    assert len(load.acked) <= ledger.rows <= len(load.acked) + len(load.unknown)
    with open(load.path) as f:
        assert {line.split()[0] for line in f} == load.acked
    assert reader.torn == []
    with Load(shop, folder, clients=3) as again:  # the same seed once more
        again.wait_acked(200)
    assert not again.refused


def test_kafka_survives_kill_with_its_data(folder):
    try:
        jars()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    from confluent_kafka import Producer
    with Kafka(folder) as kafka:
        kafka.create_topic("letters", partitions=2)
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": "rig"})
        producer.init_transactions(30)
        for commit, letters in ((True, "abc"), (False, "xyz"), (True, "de")):
            producer.begin_transaction()
            for letter in letters:
                producer.produce("letters", key=letter, value=letter)
            producer.flush(30)
            if commit:
                producer.commit_transaction(30)
            else:
                producer.abort_transaction(30)
        kafka.kill9()
        kafka.start()
        assert kafka.topics() == {"letters": 2}
        assert sorted(m.value().decode() for m in kafka.read("letters")) == list("abcde")
        with pytest.raises(Exception):
            kafka.create_topic("letters")
        kafka.restart()


def test_processes_end_with_the_test_process(folder):
    script = ("import sys, time; sys.path.insert(0, sys.argv[1]); from rig import Process\n"
              "p = Process('sleeper', ['sleep', '600'], sys.argv[2]).start(); print(p.pid, flush=True); time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", script, SUPPORT, os.path.join(folder, "sleeper.log")],
                              stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        assert pid_alive(pid)

        def program():
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                return f.read().strip()
        wait_until(lambda: program() == "sleep", 60, "setpriv has set the signal and become the program")
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not pid_alive(pid), 60, "the child has gone with its parent")


def test_process_exit_code_and_log(folder):
    with Process("talker", ["sh", "-c", "echo hello; exit 3"], os.path.join(folder, "talker.log")) as process:
        process.start()
        process.assert_exit(3)
        assert process.log_text() == "hello\n"
        process.argv = ["sleep", "60"]
        process.start()
        assert process.kill9() == -signal.SIGKILL


def test_shell_interface_starts_and_stops(folder):
    def rig(*arguments):
        return subprocess.run([sys.executable, "-m", "rig", *arguments], env=dict(os.environ, PYTHONPATH=SUPPORT),
                              capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    home = os.path.join(folder, "shell")
    os.mkdir(home)
    state = json.loads(rig("postgres", home, "target", "--set", "work_mem=6MB"))
    try:
        url = rig("get", home, "target", "url")
        assert url == state["url"]
        assert run_psql(url, "-c", "SHOW work_mem").strip() == "6MB"
        assert rig("oracle", url, url) == ""
    finally:
        began = time.monotonic()
        rig("stop", home)
    assert not pid_alive(state["pid"]) and time.monotonic() - began < 20


_STUB = r"""#!{python}
import http.server, json, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
settings = json.load(open(sys.argv[sys.argv.index("-c") + 1]))
subcommand = sys.argv[-1]
if subcommand == "check":
    sys.exit("check: no")
if os.environ.get("CROSSFADE_FAILPOINT"):
    sys.exit(9)
asked = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        self.send_response(200 if self.path == "/status" else 404)
        self.end_headers()
        self.wfile.write(json.dumps({{"phase": "streaming", "applied_lsn": "F/%X" % (asked * 16)}}).encode())
host, port = settings[subcommand]["listen"].split(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


def test_roles_are_started_asked_and_ended(folder):
    binary = os.path.join(folder, "stub")
    with open(binary, "w") as f:
        f.write(_STUB.format(python=sys.executable))
    os.chmod(binary, 0o755)
    with Pipeline(folder, "postgresql://source", "postgresql://target", binary=binary) as pipeline:
        pipeline.start()
        assert pipeline.apply.wait_ready()["phase"] == "streaming"
        assert pipeline.apply.wait_lsn("applied_lsn", "F/40")["applied_lsn"] == "F/40"
        with pytest.raises(AssertionError, match="last status: .*streaming"):
            pipeline.capture.wait_for(lambda status: status["phase"] == "halted", 0.3, "halts")
        assert pipeline.apply.terminate() == 0
        assert pipeline.capture.kill9() == -signal.SIGKILL
        pipeline.apply.start(failpoint="apply.commit:2").assert_exit(9)
        pipeline.apply.start().wait_ready()
        done = pipeline.run("check")
        assert (done.returncode, done.stderr) == (1, "check: no\n")
        assert not pipeline.apply.sanitizer_reports()
