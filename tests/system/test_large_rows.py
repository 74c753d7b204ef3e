"""Rows that are larger than Kafka takes: into the claim store, back again, and gone from it when the journal has let go of them."""

import fcntl
import json
import os

import pytest

from rig import Kafka, Postgres, Workdir, wait_until
from rig.procs import find_crossfade, halts
from rig.scenario import count, scenario

LIMIT = 20000
T = "CREATE TABLE t (id int PRIMARY KEY, n int, v bytea)"
MARK = "the word that shows"
HEADER = "__crossfade.claim"
# Random bytes of that length: nothing to be compressed. The mark stands in front.
BYTES = ("(SELECT substring('" + MARK + "'::bytea || string_agg(decode(md5(i::text || random()), 'hex'), ''), 1, {0}) "
         "FROM generate_series(1, {0} / 16 + 1) i)")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("large-rows") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(servers):
    with Kafka(servers[0]) as kafka:
        yield kafka


def large(servers, kafka, name, limit=LIMIT, partitions=1, claim=True, keep="1d", schema=T, **more):
    """A pipeline whose topic takes `limit` bytes."""
    store = os.path.join(str(servers[0]), "claims")
    os.makedirs(store, exist_ok=True)
    kafka.create_topic(f"{name}.public.t", partitions, **{"max.message.bytes": limit, "message.timestamp.type": "LogAppendTime"})
    journal = {"keep": keep, "kafka": {"compression.type": "none", **more.pop("properties", {})}}
    if claim:
        journal.update({"large_records": "claim", "claim_store": store})
    sections = {"journal": journal, **more.pop("sections", {})}
    return scenario(*servers, schema, journal=kafka.url, name=name, more=sections, **more)


def store_of(s):
    return os.path.join(s.pipeline.folder, "claims", s.name)


def files(s, suffix=".claim"):
    folder = store_of(s)
    return {name for name in (os.listdir(folder) if os.path.isdir(folder) else ()) if name.endswith(suffix)}


def claims(kafka, s):
    """{file: header} of all claims that a reader of the topic sees."""
    headers = [dict(record.headers() or ()) for record in kafka.read(f"{s.name}.public.t")]
    found = [json.loads(h[HEADER]) for h in headers if HEADER in h]
    return {claim["id"]: claim for claim in found}


def varint(value):
    size, value = 1, value << 1
    while value >= 0x80:
        size, value = size + 1, value >> 7
    return size


def batch_bytes(record, value_len):
    """As Kafka counts a batch with this record alone."""
    def field(n):
        return varint(n) + n
    headers = [(k, v) for k, v in record.headers() or () if k != HEADER]
    body = 3 + field(len(record.key())) + field(value_len) + varint(len(headers)) + sum(field(len(k)) + field(len(v)) for k, v in headers)
    return 61 + field(body)


def insert(s, first, lengths):
    s.source("; ".join(f"INSERT INTO t SELECT {first + i}, 0, {BYTES.format(n)}" for i, n in enumerate(lengths)))


@pytest.mark.parametrize("journal_format", ["avro", "json"])
def test_around_the_limit(servers, kafka, journal_format):
    """Copied and streamed rows of every size around the limit: each goes where it belongs, and not one byte decides wrongly."""
    sizes = range(LIMIT - 450, LIMIT - 170) if journal_format == "avro" else range(LIMIT * 3 // 4 - 700, LIMIT * 3 // 4 - 100)
    with large(servers, kafka, f"around_{journal_format}", partitions=2, journal_format=journal_format) as s:
        insert(s, 1, [*sizes][::2])
        s.start()
        insert(s, 5001, [*sizes][1::2])
        s.source("UPDATE t SET n = n + 1 WHERE id % 7 = 0", "UPDATE t SET id = -id WHERE id % 50 = 0", "DELETE FROM t WHERE id % 11 = 0")
        s.assert_equal()
        records = [r for r in kafka.read(f"{s.name}.public.t") if r.value() is not None]
        there = claims(kafka, s)
        direct = [batch_bytes(r, len(r.value())) for r in records if HEADER not in dict(r.headers() or ())]
        claimed = [(r, json.loads(dict(r.headers())[HEADER])) for r in records if HEADER in dict(r.headers() or ())]
        assert LIMIT - 4 < max(direct) <= LIMIT < min(batch_bytes(r, c["size"]) for r, c in claimed) <= LIMIT + 4
        assert files(s) == set(there) and not files(s, ".open")
        value = json.loads(claimed[0][0].value())[HEADER]
        assert value["id"] == claimed[0][1]["id"] and value["size"] > LIMIT * 0.9 and "key" not in value, "a stranger sees what it is"
        for name in files(s):
            with open(os.path.join(store_of(s), name), "rb") as f:
                assert MARK.encode() not in f.read()
        assert s.capture.terminate() == 0 and s.apply.terminate() == 0
        verified = s.pipeline.run("journal", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        shown = s.pipeline.run("journal", "cat", "--table", "public.t", "--format", "json")
        assert shown.returncode == 0 and HEADER not in shown.stdout and shown.stdout.count("\n") >= len(records)


def test_halts_unless_configured(servers, kafka):
    with large(servers, kafka, "halts", claim=False) as s:
        s.start()
        insert(s, 1, [LIMIT])
        halts(s.capture, 5, "halts.public.t", "max.message.bytes", "journal.large_records")
        # A record that fits the topic but never the producer's queue is told, not waited for.
        kafka.set_topic("halts.public.t", max_message_bytes=10000000)
        s.pipeline.settings["journal"]["kafka"]["queue.buffering.max.kbytes"] = 1024
        s.source("INSERT INTO t SELECT 2, 0, " + BYTES.format(2000000))
        s.pipeline.write()
        s.capture.start()
        halts(s.capture, 5, "halts.public.t", "queue.buffering.max.kbytes")
        s.pipeline.settings["journal"].update({"large_records": "claim"})
        s.pipeline.write()
        s.capture.start()
        halts(s.capture, 2, "journal.claim_store")
        s.pipeline.settings["journal"]["claim_store"] = os.path.join(s.pipeline.folder, "not-mounted")
        s.pipeline.write()
        s.capture.start()
        halts(s.capture, 4, "not-mounted")
        s.pipeline.settings["journal"]["claim_store"] = os.path.join(s.pipeline.folder, "claims")
        s.pipeline.settings["capture"]["spill_encryption"] = False
        s.pipeline.write()
        s.capture.start()
        halts(s.apply, 2, "journal.claim_store", "topic=halts.public.t", "offset=", "table=public.t")
        s.apply.start()
        s.assert_equal()
        with open(os.path.join(store_of(s), next(iter(files(s)))), "rb") as f:
            assert MARK.encode() in f.read(), "not encrypted when the spill is not"


def test_claim_that_is_missing_or_damaged(servers, kafka):
    """Apply names it and halts; journal verify finds it; brought back, everything goes on."""
    with large(servers, kafka, "missing") as s:
        s.start()
        assert s.apply.terminate() == 0
        insert(s, 1, [LIMIT, 100, 2 * LIMIT])
        s.capture.wait_lsn("journaled_lsn", s.source_server.lsn())
        (name, *_) = sorted(files(s))
        path = os.path.join(store_of(s), name)
        offset = next(r.offset() for r in kafka.read("missing.public.t") if name.encode() in r.value())
        with open(path, "rb") as f:
            whole = f.read()
        for damage in (None, whole[:-1], whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]):
            if os.path.exists(path):
                os.unlink(path)
            if damage is not None:
                with open(path, "wb") as f:
                    f.write(damage)
            s.apply.start()
            halts(s.apply, 5, "table=public.t", "lsn=0/", "topic=missing.public.t", "partition=0", f"offset={offset}", path, "bring the file back")
            verified = s.pipeline.run("journal", "verify")
            assert verified.returncode == 1 and f"offset={offset}" in verified.stdout, verified.stdout
        assert s.target("SELECT count(*) FROM t") == [(0,)]
        with open(path, "wb") as f:
            f.write(whole)
        s.apply.start()
        s.assert_equal()


POINTS = ("journal.claim_put", "journal.claim_put:2", "journal.claim_noted", "capture.fence_appended", "journal.kafka.commit",
          "journal.kafka.committed", "journal.claim_committed", "capture.committed")


def test_killed_between_claim_and_fence(servers, kafka):
    """At each point: what the journal's readers see has its file, and no other file stays."""
    with large(servers, kafka, "killed") as s:
        s.start()
        for number, point in enumerate(POINTS * count(1, 3)):
            assert s.capture.terminate() == 0
            s.capture.start(failpoint=point if ":" in point else point + ":1")
            s.source("BEGIN; " + "; ".join(f"INSERT INTO t SELECT {number * 10 + i}, 0, {BYTES.format(LIMIT + i)}" for i in range(3)) + "; COMMIT")
            assert s.capture.wait(60) == -9, point
            s.capture.start()
            s.assert_equal()
            assert files(s) == set(claims(kafka, s)), point
            assert not files(s, ".open"), point
        assert s.capture.terminate() == 0 and s.apply.terminate() == 0
        assert len(claims(kafka, s)) == 3 * len(POINTS) * count(1, 3)
        assert s.pipeline.run("journal", "verify").returncode == 0


def test_files_go_with_their_records(servers, kafka):
    """No clock decides: a file goes when the topic no longer has the records of its unit, and not before."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient
    with large(servers, kafka, "cleanup", keep="1s") as s:
        kafka.set_topic("cleanup.public.t", retention_ms=-1)
        s.start()
        for first in range(10, 40, 10):
            insert(s, first, [LIMIT, LIMIT + 1])
            s.assert_equal()
        found = {name: r.offset() for r in kafka.read("cleanup.public.t") for name in files(s) if name.encode() in (r.value() or b"")}
        assert len(found) == 6 and len(files(s, ".kept")) >= 3
        s.source(*["UPDATE t SET n = n + 1 WHERE id = 0"] * 20)
        upto = sorted(found.values())[3] + 1
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        for future in admin.delete_records([TopicPartition("cleanup.public.t", 0, upto)]).values():
            future.result(30)
        wait_until(lambda: files(s) == {name for name, offset in found.items() if offset >= upto}, 60, f"two units are gone: {files(s)}")
        s.source("UPDATE t SET n = 1 WHERE id = 10")
        s.assert_equal()
        log = s.capture.log_text()
        assert log.count("claims_removed") == 2 and "let go" in log


def test_small_limit_and_many_rows(servers, kafka):
    """The producer gathers records into batches: none of them may be larger than the topic takes."""
    rows = count(20000, 100000)
    with large(servers, kafka, "batches", schema=T + f"; INSERT INTO t SELECT i, i, decode(md5(i::text), 'hex') FROM generate_series(1, {rows}) i") as s:
        s.start()
        s.source("UPDATE t SET n = n + 1")
        s.assert_equal()
        assert not files(s)


def peak_mb(role):
    with open(f"/proc/{role.pid}/status") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("VmHWM"))


def test_memory_of_a_very_large_row(servers, kafka):
    """Through a topic with the usual limit. The bound is a few times the row, on either side; docs/OPERATIONS.md says which."""
    megabytes = count(64, 500)
    with large(servers, kafka, "memory", limit=1048588) as s:
        s.start()
        s.source(f"ALTER TABLE t ALTER v SET STORAGE EXTERNAL; INSERT INTO t SELECT 1, 0, decode(repeat('0123456789abcdef', {megabytes} * 131072), 'hex')")
        s.wait(timeout=300)
        both = [run("SELECT length(v), md5(v) FROM t")[0] for run in (s.source, s.target)]
        assert both[0] == both[1] and both[0][0] == megabytes * 1048576
        (claim,) = claims(kafka, s).values()
        assert claim["size"] >= megabytes * 1048576
        used = {role.name: peak_mb(role) / megabytes for role in (s.capture, s.apply)}
        print("times the row:", used)
        if "asan" not in find_crossfade():
            assert all(times < 7 for times in used.values()), used


def test_a_store_belongs_to_one_pipeline(servers, kafka):
    """Another one's opening would delete what it takes for left over; and check tells how the directory stands."""
    with large(servers, kafka, "owned", sections={"capture": {"heartbeat_interval_ms": 500}}) as s:
        def checked():
            done = s.pipeline.run("check", "--json")
            return [(one["state"], one["found"]) for one in json.loads(done.stdout)["checks"] if one["check"] == "claim store"]
        assert [(state, "not used it yet" in found) for state, found in checked()] == [("ok", True)]
        s.start()
        insert(s, 1, [LIMIT])
        s.assert_equal()
        assert [(state, "this pipeline's" in found) for state, found in checked()] == [("ok", True)]
        assert s.capture.terminate() == 0
        there, note = files(s), os.path.join(store_of(s), "owner.json")
        with open(note, encoding="utf-8") as f:
            owner = json.load(f)
        assert owner["pipeline"] == "owned" and owner["topic_prefix"] == "owned" and owner["journal"]
        open(os.path.join(store_of(s), "0-stray.open"), "w", encoding="utf-8").close()
        for change in ({"journal": "another-cluster"}, {"pipeline": "another"}):
            with open(note, "w", encoding="utf-8") as f:
                json.dump({**owner, **change}, f)
            s.capture.start()
            halts(s.capture, 5, "owner.json", *change.values(), "journal.claim_store of its own")
            assert [state for state, _ in checked()] == ["fail"]
            assert files(s) == there and files(s, ".open") == {"0-stray.open"}
        os.remove(os.path.join(store_of(s), "0-stray.open"))
        with open(note, "w", encoding="utf-8") as f:
            json.dump(owner, f)
        with open(os.path.join(store_of(s), ".new-at-work"), "w", encoding="utf-8") as at_work, open(os.path.join(store_of(s), ".new-left"), "w", encoding="utf-8"):
            fcntl.flock(at_work, fcntl.LOCK_EX)
            s.capture.start()
            insert(s, 2, [LIMIT])
            s.assert_equal()
            assert {name for name in os.listdir(store_of(s)) if name.startswith(".")} == {".new-at-work"}
        assert s.capture.terminate() == 0
        s.pipeline.settings["journal"]["claim_store"] = os.path.join(s.pipeline.folder, "not-mounted")
        s.pipeline.write()
        assert [state for state, _ in checked()] == ["fail"]


@pytest.mark.parametrize("claim", [True, False])
def test_a_limit_is_lowered_while_capture_runs(servers, kafka, claim):
    """Below what a batch may have, and below a record: the limit is read again, nobody has to start anything."""
    with large(servers, kafka, f"lowered{claim}".lower(), limit=4 * 1048576, claim=claim) as s:
        s.start()
        insert(s, 1, [1000])
        s.assert_equal()
        for number, limit in enumerate((600000, LIMIT), 1):
            kafka.set_topic(f"{s.name}.public.t", max_message_bytes=limit)
            s.source(f"INSERT INTO t SELECT {number} * 1000 + g, 0, {BYTES.format(2000)} FROM generate_series(1, 500) g")
            s.assert_equal(120)
        if claim:
            insert(s, 10000, [LIMIT, 5 * LIMIT])
            s.assert_equal(120)
            assert len(claims(kafka, s)) == 2
        log = s.capture.log_text()
        assert log.count("capture started") == 1 and "max.message.bytes was lowered" in log
