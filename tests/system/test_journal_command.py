"""crossfade journal: list with lag, cat with its filters, and verify, which must find each kind of damage and none where there is none."""

import collections
import contextlib
import itertools
import json
import os
import pty
import re
import shutil
import subprocess
import threading

import pytest

from rig import Kafka, Postgres, Workdir, Writer, find_crossfade, run_crossfade, wait_until
from rig.procs import lsn_value
from rig.scenario import scenario

BUILD = os.environ.get("CF_BUILD_DIR") or os.path.dirname(find_crossfade())
SCHEMA = """CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 3000) i;
CREATE TABLE pair (a int, b text, v int, PRIMARY KEY (a, b)); INSERT INTO pair SELECT i, 'b', i FROM generate_series(1, 50) i;
CREATE TABLE bag (a int); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag SELECT 1 FROM generate_series(1, 20)"""
ALL_KINDS = {"fence_unreadable", "fence_missing", "fence_twice", "fence_backwards", "fence_identity", "fence_offsets", "gap", "unfenced", "unreadable",
             "duplicate", "order", "late", "partition", "tombstone", "count", "transaction", "copied_twice"}
provoked = set()


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("journal-command") as path:
        yield path


@pytest.fixture(name="servers", scope="module")
def fixture_servers(folder):
    with Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(folder):
    with Kafka(folder) as kafka:
        yield kafka


class Verdict:
    def __init__(self, done):
        assert done.returncode in (0, 1), done.stdout + done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.code, self.findings, self.end = done.returncode, lines[:-1], lines[-1]
        self.kinds, self.totals = self.end["findings"], self.end["totals"]
        assert (self.code == 0) == (self.end["verdict"] == "good") == (not self.kinds)
        assert sum(self.kinds.values()) == len(self.findings) or len(self.findings) == 100
        provoked.update(self.kinds)

    def one(self, kind):
        found = [f for f in self.findings if f["finding"] == kind]
        assert found, f"no {kind} in {self.findings}"
        return found[0]


def verify(config, *more):
    return Verdict(run_crossfade("journal", "verify", "--json", *more, config=config))


def load(s, kills=True):
    """A copy that is begun twice, kills at the worst points, and transactions of every shape."""
    if kills:
        s.capture.start(failpoint="capture.fence_appended:2")
        s.capture.wait()
    s.start()
    number = itertools.count(10000)
    for point in ("capture.fence_before:2", "capture.fence_appended:3", "capture.committed:2", None) if kills else (None,):
        if point:
            s.capture.terminate()
            s.capture.start(failpoint=point)
        for _ in range(6):
            n = next(number)
            s.source(f"INSERT INTO t VALUES ({n}, 'new'); UPDATE t SET v = 'x' WHERE id = {n}; INSERT INTO bag VALUES ({n}); UPDATE pair SET v = v + 1 WHERE a < 6",
                     f"UPDATE t SET id = id + 100000 WHERE id = {n}; DELETE FROM t WHERE id = {n} - 9900", "DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag)")
        if point:
            s.capture.wait()
            s.capture.start()
    s.source("TRUNCATE bag", "UPDATE t SET v = 'all' WHERE id <= 30")
    s.wait()


# -- journals that are good

@pytest.mark.parametrize("journal_format", ["avro", "json"])
def test_good_after_kills(servers, journal_format):
    with scenario(*servers, SCHEMA, journal_format=journal_format) as s:
        load(s)
        for _ in range(3):
            s.source("UPDATE t SET v = v || '.' WHERE id < 500")
            live = verify(s.pipeline.config)
            assert live.code == 0, live.findings
        s.wait()
        end = verify(s.pipeline.config)
        assert end.code == 0, end.findings
        counted = sum(1 for name in ("t", "pair", "bag") for _ in s.pipeline.run("journal", "cat", f"public.{name}").stdout.splitlines())
        assert end.totals["records"] == counted == end.totals["changes"] + end.totals["copied"] + end.totals["tombstones"]
        assert end.totals["copied"] >= 3070 and end.totals["copied_share"] == 1 and end.totals["unchecked_transactions"] == 0
        fences = s.pipeline.run("journal", "fences").stdout.splitlines()
        assert end.totals["fences"] >= len(fences) - 5 and lsn_value(end.totals["last_lsn"]) > lsn_value(end.totals["first_lsn"])
        text = s.pipeline.run("journal", "verify")
        assert text.returncode == 0 and text.stdout.endswith("the journal is good\n")


def test_good_in_kafka_after_kills(servers, kafka):
    with scenario(*servers, SCHEMA, journal=kafka.url, more={"journal": {"partitions": 3}}) as s:
        load(s)
        for _ in range(3):
            s.source("UPDATE t SET v = v || '.' WHERE id < 500")
            live = verify(s.pipeline.config)
            assert live.code == 0, live.findings
        s.wait()
        s.capture.terminate()
        s.capture.start(failpoint="capture.fence_before:1")   # an aborted transaction is nobody's record
        s.source("UPDATE t SET v = 'aborted once'")
        s.capture.wait()
        s.capture.start()
        s.wait()
        end = verify(s.pipeline.config)
        assert end.code == 0, end.findings
        assert end.totals["partitions"] == 9 and end.totals["copied"] >= 3070


def test_small_memory_is_said(servers):
    rows = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 250000)"
    with scenario(*servers, rows) as s:
        s.start()
        assert verify(s.pipeline.config).totals["copied_share"] == 1
        end = verify(s.pipeline.config, "--memory", "1")
        assert end.code == 0 and end.totals["copied_share"] in (2, 4) and end.totals["copied_keys"] == 250000
        assert "one key of " in s.pipeline.run("journal", "verify", "--memory", "1").stdout


def test_good_while_written_and_trimmed(servers):
    """What everybody has passed goes away under the walk: that is no finding."""
    with scenario(*servers, SCHEMA, more={"journal": {"keep": "0s"}}) as s:
        s.start()
        stop = threading.Event()

        def write():
            for n in itertools.count(20000):
                if stop.is_set():
                    return
                s.source(f"INSERT INTO t VALUES ({n}, 'x')", "UPDATE t SET v = v || '.' WHERE id % 50 = 0", f"DELETE FROM t WHERE id = {n}")
        thread = threading.Thread(target=write)
        thread.start()
        try:
            expired = verdicts = 0
            while expired == 0 or verdicts < 8:
                end = verify(s.pipeline.config)
                assert end.code == 0, end.findings
                verdicts = verdicts + 1 if expired else 1
                expired = end.totals["expired_fences"]
        finally:
            stop.set()
            thread.join()
        s.wait()
        assert verify(s.pipeline.config).code == 0


def test_good_when_fences_were_trimmed(servers):
    """A pipeline that runs for long: the fence stream begins later, and everybody who looks back finds what he needs."""
    def fences():
        return [json.loads(line)["id"] for line in s.pipeline.run("journal", "fences", "--json").stdout.splitlines()]

    with scenario(*servers, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)", more={"journal": {"keep": 0}}) as s:
        s.start()
        with Writer(s.source_url, lambda n: ["UPDATE t SET v = v + 1"]):
            s.capture.wait_for(lambda status: status["fence_id"] > 1150, 90, "many fences")
            wait_until(lambda: fences()[0] > 50, 30, "the first are gone")
            first = fences()[0]
            assert verify(s.pipeline.config).code == 0
            s.capture.kill9()
            s.apply.kill9()
            s.capture.start()
            s.apply.start()
            wait_until(lambda: fences()[0] > first, 60, "more are gone")
        s.assert_equal()
        assert s.capture.terminate() == 0 and s.apply.terminate() == 0
        left = fences()
        assert 1000 <= len(left) < left[-1] and left == list(range(left[0], left[-1] + 1))
        assert verify(s.pipeline.config).code == 0


def test_progress_on_a_terminal(servers):
    with scenario(*servers, SCHEMA) as s:
        s.start()
        parent, child = pty.openpty()
        done = subprocess.run([find_crossfade(), "-c", s.pipeline.config, "journal", "verify"], stderr=child, stdout=subprocess.PIPE, text=True, check=False)
        os.close(child)
        with os.fdopen(parent, "rb", buffering=0) as f:
            shown = f.read(4000).decode()
        assert done.returncode == 0 and re.search(r"\d+ %  [\d,]+ of 3,070 offsets", shown), shown


# -- LMDB, damaged on purpose

class Spoiled:
    """A copy of the good journal, to be damaged."""

    def __init__(self, base, folder):
        self.base, self.journal, self.config = base, os.path.join(folder, "spoiled"), os.path.join(folder, "spoiled.yaml")
        shutil.copytree(base.journal, self.journal)
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({**base.settings, "journal": {**base.settings["journal"], "url": f"lmdb:{self.journal}"}}, f)

    def spoil(self, *words):
        done = subprocess.run([os.path.join(BUILD, "tests", "lmdb-spoil"), self.journal, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return self

    def verify(self):
        return verify(self.config)


class Base:
    def __init__(self, s):
        self.settings = s.pipeline.settings
        self.journal = self.settings["journal"]["url"].removeprefix("lmdb:")
        self.topic, self.fence = f"{s.name}.public.t", f"{s.name}.fence"
        self.records = [json.loads(line) for line in s.pipeline.run("journal", "cat", "public.t").stdout.splitlines()]
        self.fences = [json.loads(line) for line in s.pipeline.run("journal", "fences").stdout.splitlines()]

    def nth(self, op, n=0):
        """The n-th record of that operation (None: a tombstone) that is streamed, from the end if n is negative."""
        found = [r for r in self.records if (r["value"]["op"] if r["value"] else None) == op]
        return found[n]

    def streamed_fence(self, n):
        """The n-th fence with streamed changes of t."""
        found = [f for f in self.fences if f["kind"] == "stream" and any(p["stream"] == self.topic and p["first_offset"] < p["next_offset"] for p in f["positions"])]
        return found[n]


@pytest.fixture(name="base", scope="module")
def fixture_base(servers):
    with scenario(*servers, SCHEMA, journal_format="json") as s:
        load(s)
        for role in (s.capture, s.apply):
            role.terminate()
        yield Base(s)


@pytest.fixture(name="spoiled")
def fixture_spoiled(base, folder):
    made = Spoiled(base, folder)
    yield made
    shutil.rmtree(made.journal)


def test_record_is_missing(base, spoiled):
    gone = base.nth("u", 5)
    found = spoiled.spoil("drop", base.topic, gone["offset"]).verify()
    assert set(found.kinds) == {"gap", "count", "transaction"}
    gap = found.one("gap")
    assert (gap["topic"], gap["partition"], gap["offset"]) == (base.topic, 0, gone["offset"]) and lsn_value(gap["lsn"])
    assert found.one("count")["topic"] == base.fence and found.one("count")["fence"] == gap["fence"]
    assert lsn_value(found.one("transaction")["lsn"]) == int(gone["value"]["transaction"]["id"].split(":")[1])
    text = run_crossfade("journal", "verify", config=spoiled.config)
    assert text.returncode == 1 and f"gap              topic={base.topic} partition=0 offset={gone['offset']} lsn=" in text.stdout
    few = run_crossfade("journal", "verify", "--findings", "1", config=spoiled.config)
    assert "2 further findings are not shown" in few.stdout and few.stdout.endswith("the journal is NOT good\n")


def test_last_record_is_missing(base, spoiled):
    last = base.records[-1]["offset"]
    found = spoiled.spoil("drop", base.topic, last).verify()
    assert found.one("gap")["offset"] == last and found.kinds["gap"] == 1


def test_many_records_are_missing(base, spoiled):
    for offset in range(100, 110):
        spoiled.spoil("drop", base.topic, offset)
    found = spoiled.verify()
    assert set(found.kinds) == {"gap", "count"} and found.kinds["gap"] == 1
    assert "10 records are missing: offsets 100 to 109" in found.one("gap")["text"]


def test_record_does_not_parse(base, spoiled):
    torn = base.nth("u", 4)["offset"]
    found = spoiled.spoil("truncate", base.topic, torn).verify()
    assert found.one("unreadable")["offset"] == torn and set(found.kinds) == {"unreadable", "transaction"}


def test_record_comes_twice(base, spoiled):
    at = base.nth("u", -3)["offset"]
    found = spoiled.spoil("replace", base.topic, at, at - 1).verify()
    assert found.one("duplicate")["offset"] == at and found.kinds["duplicate"] == 1 and "transaction" in found.kinds
    assert "count" not in found.kinds and "gap" not in found.kinds


def test_records_out_of_order(base, spoiled):
    at = base.nth("u", -3)["offset"]
    found = spoiled.spoil("swap", base.topic, at, at + 1).verify()
    assert found.one("order")["offset"] == at + 1 and set(found.kinds) == {"order"}


def test_record_behind_the_last_fence(base, spoiled):
    at = base.nth("u", 0)["offset"]
    found = spoiled.spoil("append", base.topic, at).verify()
    assert set(found.kinds) == {"unfenced", "duplicate"}
    assert found.one("unfenced")["offset"] == base.records[-1]["offset"] + 1 == found.one("duplicate")["offset"]


def test_tombstone_without_its_delete(base, spoiled):
    found = spoiled.spoil("append", base.topic, base.nth(None)["offset"]).verify()
    assert set(found.kinds) == {"unfenced", "tombstone"}


def test_row_is_copied_twice(base, spoiled):
    at = base.nth("r", -1)["offset"]
    found = spoiled.spoil("replace", base.topic, at, at - 1).verify()
    assert set(found.kinds) == {"copied_twice"} and found.one("copied_twice")["offset"] == at


def test_change_is_behind_its_fence(base, spoiled):
    late = base.nth("u", -1)
    xid, lsn = late["value"]["transaction"]["id"].split(":")
    found = spoiled.spoil("edit", base.topic, late["offset"], f"{xid}:{lsn}", f"{xid}:{'9' * len(lsn)}").verify()
    assert found.one("late")["offset"] == late["offset"] and set(found.kinds) == {"late", "transaction"}


def test_fence_is_missing(base, spoiled):
    gone = base.streamed_fence(3)
    found = spoiled.spoil("drop", base.fence, gone["offset"]).verify()
    assert {"fence_missing", "fence_offsets", "unfenced"} <= set(found.kinds)
    assert found.one("fence_missing")["fence"] == gone["id"] + 1 and found.one("fence_missing")["offset"] == gone["offset"] + 1


def test_last_fence_is_missing(base, spoiled):
    last = base.fences[-1]["offset"]
    found = spoiled.spoil("drop", base.fence, last).verify()
    assert found.one("fence_missing")["offset"] == last


def test_fence_does_not_parse(base, spoiled):
    torn = base.streamed_fence(2)["offset"]
    found = spoiled.spoil("edit", base.fence, torn, '"format":1', '"format":x').verify()
    assert found.one("fence_unreadable")["offset"] == torn and "unfenced" in found.kinds


def test_fence_comes_twice(base, spoiled):
    found = spoiled.spoil("append", base.fence, base.streamed_fence(-1)["offset"]).verify()
    assert set(found.kinds) == {"fence_twice"}


def test_fence_goes_back(base, spoiled):
    fence = base.streamed_fence(-1)
    old = fence["lsn"]
    found = spoiled.spoil("edit", base.fence, fence["offset"], f'"{old}"', '"0/' + "1" * (len(old) - 2) + '"').verify()
    assert found.one("fence_backwards")["offset"] == fence["offset"]


def test_fence_of_another_pipeline(base, spoiled):
    fence, name = base.streamed_fence(1), base.settings["pipeline"]
    found = spoiled.spoil("edit", base.fence, fence["offset"], f'"pipeline":"{name}"', f'"pipeline":"{"z" * len(name)}"').verify()
    assert found.kinds == {"fence_identity": 1} and found.one("fence_identity")["offset"] == fence["offset"]


def test_fence_counts_wrong(base, spoiled):
    fence = base.streamed_fence(1)
    n = fence["changes"]
    found = spoiled.spoil("edit", base.fence, fence["offset"], f'"changes":{n}', f'"changes":{n + 1 if len(str(n + 1)) == len(str(n)) else n - 1}').verify()
    assert found.kinds == {"count": 1} and found.one("count")["fence"] == fence["id"]


def test_fences_do_not_fit_the_offsets(base, spoiled):
    fence = base.streamed_fence(1)
    place = [p for p in fence["positions"] if p["stream"] == base.topic][0]
    end = place["next_offset"]
    found = spoiled.spoil("edit", base.fence, fence["offset"], f'"first_offset":{place["first_offset"]},"next_offset":{end}',
                          f'"first_offset":{place["first_offset"]},"next_offset":{end - 1}').verify()
    assert found.one("fence_offsets")["offset"] == end and found.one("unfenced")["offset"] == end - 1
    again = Spoiled.__new__(Spoiled)
    again.journal, again.config = spoiled.journal, spoiled.config
    again.spoil("edit", base.fence, fence["offset"], f'"next_offset":{end - 1}', f'"next_offset":{"9" * len(str(end))}')
    found = again.verify()
    assert "the partition at" in found.one("fence_offsets")["text"]


# -- Kafka, damaged on purpose

@contextlib.contextmanager
def in_kafka(servers, kafka, **more):
    with scenario(*servers, SCHEMA, journal=kafka.url, more={"journal": {"partitions": 3}}, **more) as s:
        load(s, kills=False)
        s.capture.terminate()
        assert verify(s.pipeline.config).code == 0
        yield s, f"{s.name}.public.t"


def produce(kafka, topic, message, partition=None):
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, key=message.key(), value=message.value(), headers=message.headers(), partition=message.partition() if partition is None else partition)
    assert producer.flush(20) == 0


def test_records_written_behind_the_pipelines_back(servers, kafka):
    with in_kafka(servers, kafka) as (s, topic):
        messages = kafka.read(topic)
        updates = [m for m in messages if m.value() is not None]
        original = updates[-1]
        ends = collections.Counter()
        for m in messages:
            ends[m.partition()] = m.offset()
        produce(kafka, topic, original)
        found = verify(s.pipeline.config)
        assert found.kinds == {"unfenced": 1, "duplicate": 1} and found.one("unfenced")["partition"] == original.partition()
        assert found.one("unfenced")["offset"] > ends[original.partition()]
        wrong = (original.partition() + 1) % 3
        produce(kafka, topic, original, wrong)
        found = verify(s.pipeline.config)
        assert found.one("partition")["partition"] == wrong and found.kinds["unfenced"] == 2
        kafka.kcat("-P", "-t", topic, "-p", "2", "-K", "=", "-l", __file__, check=False)
        done = subprocess.run(["kcat", "-b", kafka.bootstrap, "-P", "-t", topic, "-p", "2"], input="{\"hello\": 1}\n", text=True, check=True, capture_output=True)
        assert done.returncode == 0
        found = verify(s.pipeline.config)
        assert found.one("unreadable")["partition"] == 2 and found.kinds["unreadable"] >= 1


def test_fence_written_behind_the_pipelines_back(servers, kafka):
    with in_kafka(servers, kafka) as (s, _):
        fences = kafka.read(f"{s.name}.fence")
        produce(kafka, f"{s.name}.fence", fences[-3])
        found = verify(s.pipeline.config)
        assert found.kinds == {"fence_twice": 1} and found.one("fence_twice")["offset"] > fences[-1].offset()


def test_records_deleted_in_kafka(servers, kafka):
    """What apply has got may go; what it still needs may not."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient
    with in_kafka(servers, kafka) as (s, topic):
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        first = kafka.read(topic)[100]
        for future in admin.delete_records([TopicPartition(topic, first.partition(), first.offset())]).values():
            future.result(20)
        found = verify(s.pipeline.config)
        assert found.code == 0 and found.totals["expired_fences"] > 0, found.findings
        s.apply.terminate()
        s.capture.start()
        s.source("UPDATE t SET v = 'not applied'")
        lsn = s.source_server.lsn()
        s.admin(f"INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('{s.name}', 'n', 'ping')")
        s.capture.wait_lsn("journaled_lsn", lsn)
        s.capture.terminate()
        assert verify(s.pipeline.config).code == 0
        last = [m for m in kafka.read(topic) if m.partition() == first.partition()][-1]
        for future in admin.delete_records([TopicPartition(topic, last.partition(), last.offset())]).values():
            future.result(20)
        found = verify(s.pipeline.config)
        assert set(found.kinds) == {"gap"} and "are no longer kept" in found.one("gap")["text"]


# -- list and cat

def test_list_tells_the_lag(servers):
    with scenario(*servers, SCHEMA) as s:
        s.start()
        s.wait()
        s.apply.terminate()
        s.source("UPDATE t SET v = 'later' WHERE id <= 100", "INSERT INTO bag VALUES (7)")
        lsn = s.source_server.lsn()
        s.admin(f"INSERT INTO crossfade.marker (pipeline, nonce, kind) VALUES ('{s.name}', 'n', 'ping')")
        s.capture.wait_lsn("journaled_lsn", lsn)
        s.capture.terminate()
        lines = {line["stream"]: line for line in map(json.loads, s.pipeline.run("journal", "list", "--json").stdout.splitlines())}
        assert lines[f"{s.name}.public.t"]["lag"] == 100 and lines[f"{s.name}.public.bag"]["lag"] == 1 and lines[f"{s.name}.public.pair"]["lag"] == 0
        fence = lines[f"{s.name}.fence"]
        assert fence["applied_fence"] == s.position()["fence_id"] and fence["last_fence"] == fence["applied_fence"] + fence["lag"] and fence["changes_behind"] == 101
        assert lsn_value(fence["last_lsn"]) >= lsn_value(lsn) > lsn_value(fence["applied_lsn"]) and lines[f"{s.name}.schemas"]["lag"] is None
        assert all(line["bytes"] > 0 for line in lines.values())
        text = s.pipeline.run("journal", "list").stdout
        assert f"apply: fence {fence['applied_fence']} at lsn=" in text and "101 changes behind" in text
        s.pipeline.settings["target"]["url"] = "postgresql://u:sesame@127.0.0.1:1/d"
        s.pipeline.write()
        done = s.pipeline.run("journal", "list")
        assert done.returncode == 0 and "the target cannot be asked" in done.stdout and "sesame" not in done.stdout + done.stderr


@pytest.mark.parametrize("journal_format", ["avro", "json"])
def test_cat_filters(servers, journal_format):
    with scenario(*servers, SCHEMA, journal_format=journal_format) as s:
        s.start()
        s.source("UPDATE t SET v = 'first' WHERE id = 7", "UPDATE pair SET v = 100 WHERE a = 3")
        s.wait()
        lsn = s.source_server.lsn()
        s.source("UPDATE t SET v = 'second' WHERE id IN (7, 8)", "DELETE FROM t WHERE id = 7")
        s.wait()
        s.capture.terminate()  # its heartbeats make fences

        def cat(*words):
            done = s.pipeline.run("journal", "cat", *words)
            assert done.returncode == 0, done.stderr
            return [json.loads(line) for line in done.stdout.splitlines()]
        every = cat("--table", "public.t")
        assert every == cat("public.t")
        of_key = cat("--table", "public.t", "--key", "7")
        assert of_key == cat("--table", "public.t", "--key", '{"id": 7}') == [r for r in every if r["key"] == {"id": 7}]
        assert [r["value"] and r["value"]["op"] for r in of_key] == ["r", "u", "u", "d", None]
        assert [r["value"]["op"] for r in cat("--table", "public.pair", "--key", '{"b": "b", "a": 3}')] == ["r", "u"]
        late = cat("--table", "public.t", "--from-lsn", lsn)
        assert late == every[-4:] and [r["value"] and r["value"]["op"] for r in late] == ["u", "u", "d", None]
        assert cat("--table", "public.t", "--from-lsn", lsn, "--key", "8") == late[1:2] or cat("--table", "public.t", "--from-lsn", lsn, "--key", "8") == late[0:1]
        envelopes = cat("--table", "public.t", "--format", "debezium")
        assert envelopes == [r["value"] for r in every] and envelopes[-1] is None and envelopes[0]["source"]["connector"] == "postgresql"
        fences = [json.loads(line) for line in s.pipeline.run("journal", "fences", "--from-lsn", lsn).stdout.splitlines()]
        everything = [json.loads(line) for line in s.pipeline.run("journal", "fences").stdout.splitlines()]
        assert fences == [f for f in everything if f["id"] >= fences[0]["id"]] and lsn_value(fences[0]["lsn"]) > lsn_value(lsn)
        assert len(fences) < len(everything)
        for words, says in (("cat --table t", "expected schema.table"), ("cat --table public.t --key {", "expected JSON"), ("cat --table public.t --from-lsn x", "expected an LSN"),
                            ("cat --table public.t --format x", "json or debezium"), ("cat --table public.t --from 1 --last 2", "exclude each other"), ("cat public.t --table public.t", "expected list")):
            done = s.pipeline.run("journal", *words.split())
            assert done.returncode == 2 and says in done.stderr, done.stderr


def test_every_kind_of_finding_was_provoked(request):
    if request.config.option.keyword:
        pytest.skip("only some of the tests were run")
    assert provoked == ALL_KINDS
