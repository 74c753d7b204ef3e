"""Schemas in a real registry (Apicurio): capture and apply over Kafka and LMDB, foreign readers, and a registry's bad days."""

import io
import json
import signal
import struct
from types import SimpleNamespace

import fastavro
import pytest

from rig import Kafka, Postgres, Workdir
from rig.certificates import Authority
from rig.procs import halts, retries
from rig.registry import Certificate, Front, Registry
from rig.scenario import scenario

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2), at timestamptz);
CREATE TABLE "odd näme" (k text PRIMARY KEY, a int[], j jsonb);
INSERT INTO t SELECT i, 'v' || i, i / 7.0, '2024-01-01'::timestamptz + i * interval '1 s' FROM generate_series(1, 2000) i;
INSERT INTO "odd näme" SELECT 'k' || i, ARRAY[i, NULL], jsonb_build_object('i', i) FROM generate_series(1, 300) i
"""
SMALL = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, i FROM generate_series(1, 50) i"
TABLES = ("t", "odd_n_me")


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("registry") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="registry", scope="module")
def fixture_registry(servers):
    with Registry(servers[0]) as registry:
        yield registry


@pytest.fixture(name="front")
def fixture_front(registry):
    with Front(registry) as front:
        yield front


def with_registry(url, **more):
    return {"journal": {"registry": url, **more}}


def changes(s):
    """Some of everything behind the copy."""
    s.source("INSERT INTO t SELECT i, 'new', i, now() FROM generate_series(3001, 4000) i", "UPDATE t SET v = NULL WHERE id % 3 = 0",
             "DELETE FROM t WHERE id % 7 = 0", "UPDATE t SET id = id + 10000 WHERE id < 20", "UPDATE \"odd näme\" SET a = '{}' WHERE k < 'k2'")


def check(s):
    """What `crossfade check` says of the registry: ("ok" or "fail", all of its output)."""
    s.pipeline.write()
    done = s.pipeline.run("check", "--json")
    return next(c["state"] for c in json.loads(done.stdout)["checks"] if c["check"] == "registry"), done.stdout + done.stderr


def cat(s, stream):
    done = s.pipeline.run("journal", "cat", stream)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def posts(front):
    return [r for r in front.requests if r.startswith("POST")]


def gets(front):
    return [r for r in front.requests if r.startswith("GET")]


# -- days as they should be

class Reader:
    """An independent one: fastavro, and schemas that it asks the registry for by the id in the record."""

    def __init__(self, registry):
        self.registry, self.parsed = registry, {}

    def decode(self, data):
        magic, number = struct.unpack(">bI", data[:5])
        assert magic == 0
        if number not in self.parsed:
            self.parsed[number] = fastavro.parse_schema(json.loads(self.registry.schema(number)))
        body = io.BytesIO(data[5:])
        value = fastavro.schemaless_reader(body, self.parsed[number], None)
        assert body.read() == b"", "bytes are left"
        return value


def test_kafka_with_a_foreign_reader(servers, registry, front):
    registry.register("of-others-value", '"string"')  # ids do not begin with 1 for us
    with Workdir("registry-kafka") as folder, Kafka(folder) as kafka, \
            scenario(*servers, SCHEMA, journal=kafka.url, name="rk", more=with_registry(front.url, partitions=2)) as s:
        s.start()
        changes(s)
        s.assert_equal()
        assert {name for name in registry.get("/subjects") if name.startswith("rk.")} == \
            {f"rk.public.{table}-{part}" for table in TABLES for part in ("key", "value")}
        reader, rows = Reader(registry), {}
        for message in kafka.read("rk.public.t"):
            key = reader.decode(message.key())
            assert set(key) == {"id"}
            if message.value() is None:
                continue
            value = reader.decode(message.value())
            assert (value["after"] or value["before"])["id"] == key["id"]
            if value["op"] == "d":
                del rows[key["id"]]
            else:
                rows[key["id"]] = value["after"]
        want = s.source("SELECT id, v, n::text FROM t ORDER BY id")
        assert sorted((row["id"], row["v"], row["n"]) for row in rows.values()) == want
        latest = registry.get("/subjects/rk.public.t-value/versions/latest")
        assert latest["id"] in reader.parsed and latest["version"] == 1
        # The stream of schemas holds one note that says where they are, with no credentials.
        notes = [json.loads(m.value()) for m in kafka.read("rk.schemas") if len(m.key()) == 4]
        assert notes == [{"id": 0, "registry": front.url}]
        # No request for a record: thousands were written and read.
        assert len(posts(front)) <= 2 * 2 * len(TABLES) and len(gets(front)) <= len(TABLES), front.requests
        # A restart registers the same schemas again, gets the same ids, and reads on.
        s.capture.terminate()
        s.apply.terminate()
        s.source("UPDATE t SET v = 'behind the restart' WHERE id % 5 = 0")
        s.start()
        s.assert_equal()
        assert registry.get("/subjects/rk.public.t-value/versions/latest") == latest
        shown = [r["value"] for r in cat(s, "rk.public.t") if r["value"]]
        assert {v["after"]["id"] for v in shown if v["after"] and v["after"]["v"] == "behind the restart"} == \
            {row[0] for row in s.source("SELECT id FROM t WHERE v = 'behind the restart'")}
        assert len([json.loads(m.value()) for m in kafka.read("rk.schemas") if len(m.key()) == 4]) == 1


def test_lmdb(servers, registry, front):
    with scenario(*servers, SCHEMA, name="rl", more=with_registry(front.url)) as s:
        s.start()
        changes(s)
        s.assert_equal()
        rows = {}
        for record in cat(s, "rl.public.t"):
            value = record["value"]
            if value and value["op"] == "d":
                del rows[record["key"]["id"]]
            elif value:
                rows[record["key"]["id"]] = value["after"]["v"]
        assert sorted(rows.items()) == s.source("SELECT id, v FROM t ORDER BY id")
        assert [r["value"] for r in cat(s, "rl.schemas") if "table_shape" not in r["value"]] == [{"id": 0, "registry": front.url}]
        # A table's new shape is a new version of its value's schema, at exactly the right record.
        s.target("ALTER TABLE t ADD COLUMN w varchar(20)")
        s.source("ALTER TABLE t ADD COLUMN w varchar(20)", "UPDATE t SET w = 'w' || id")
        s.assert_equal()
        assert len(registry.get("/subjects/rl.public.t-value/versions")) == 2
        assert len(registry.get("/subjects/rl.public.t-key/versions")) == 1


# -- login and TLS

def test_login_and_tls(servers, registry):
    folder = servers[0]
    certificate = Certificate(folder)
    password = "s3cret@/%+pass word"
    with Front(registry, certificate, "crossfade", password) as front:
        env = {"REGISTRY_PASSWORD": password}
        good = with_registry(front.url, registry_user="crossfade", registry_password="${REGISTRY_PASSWORD}", registry_ca=certificate.ca)
        with scenario(*servers, SMALL, name="rtls", more=good, env=env) as s:
            journal = s.pipeline.settings["journal"]
            state, output = check(s)
            assert state == "ok" and "compatibility of new subjects: NONE" in output, output
            # A certificate that nobody vouches for is a person's business; the password is not sent there.
            del journal["registry_ca"]
            s.pipeline.write()
            came = len(front.requests) + front.refused
            s.capture.start()
            halts(s.capture, 2, front.url, "certificate", "journal.registry_ca")
            assert len(front.requests) + front.refused == came
            # The wrong password, in the configuration or in the URL: neither is shown anywhere.
            journal["registry_ca"] = certificate.ca
            # Neither one that has run out, nor another host's.
            authority = Authority(folder, "registry")
            for pair in (authority.issue("expired", "127.0.0.1", expired=True), authority.issue("elsewhere", host="elsewhere")):
                was, front.certificate = front.certificate, SimpleNamespace(cert=pair[0], key=pair[1])
                journal["registry_ca"] = authority.certificate
                came = len(front.requests) + front.refused
                state, output = check(s)
                assert state == "fail" and ("certificate" in output.lower() or "SSL" in output) and len(front.requests) + front.refused == came, output
                front.certificate = was
            journal["registry_ca"] = certificate.ca
            journal["registry_password"] = "wr0ng-pass"
            state, output = check(s)
            assert state == "fail" and "401" in output and "wr0ng-pass" not in output
            s.capture.start()
            halts(s.capture, 4, "schema registry", "refused the login (401)", "journal.registry_password", "topic=rtls.public.t")
            del journal["registry_user"], journal["registry_password"]
            journal["registry"] = front.url.replace("https://", "https://crossfade:wr0ng-%40pass@")
            s.pipeline.write()
            s.capture.start()
            halts(s.capture, 4, "refused the login (401)")
            assert "wr0ng" not in s.capture.log_text()
            # The right one in the URL: percent-encoded.
            journal["registry"] = front.url.replace("https://", "https://crossfade:s3cret%40%2F%25%2Bpass%20word@")
            s.pipeline.write()
            s.start()
            s.source("UPDATE t SET v = -v")
            s.assert_equal()
            assert [r["value"]["registry"] for r in cat(s, "rtls.schemas") if "registry" in r["value"]] == [front.url]
            for text in (s.capture.log_text(), s.apply.log_text(), str(s.capture.status()), str(s.apply.status())):
                assert "s3cret" not in text and "wr0ng" not in text


# -- a registry that is away

def test_away_while_a_table_is_registered(servers, registry, front):
    front.away()
    with scenario(*servers, SMALL, name="raway", more=with_registry(front.url)) as s:
        s.start(wait=False)
        retries(s.capture, "schema registry", front.url, "away", "subject=raway.public.t-key")
        front.fail(503)
        front.back()
        retries(s.capture, "answered 503", "the store is away")
        front.serve()
        s.wait_complete()
        # A new shape while streaming: the same, and nothing is lost or confirmed meanwhile.
        front.fail(500)
        s.target("ALTER TABLE t ADD COLUMN w text")
        s.source("ALTER TABLE t ADD COLUMN w text", "INSERT INTO t VALUES (1000, 1, 'w')")
        status = retries(s.capture, "answered 500", front.url)
        lsn = s.source("SELECT pg_current_wal_lsn()::text")[0][0]
        s.source("UPDATE t SET w = 'while it is away'", "DELETE FROM t WHERE id = 2")
        assert status["last_error"].count("\n") == 0 and s.apply.running
        front.away()
        retries(s.capture, "away")
        assert s.target("SELECT count(*) FROM t")[0][0] == 50, "something passed the record whose schema is not registered"
        assert s.source("SELECT bool_and(confirmed_flush_lsn <= %s::pg_lsn) FROM pg_replication_slots WHERE database = current_database()"
                        .replace("%s", f"'{lsn}'"))[0][0]
        front.back()
        front.serve()
        s.assert_equal()
        # Apply that needs a schema which it has not seen yet.
        s.apply.terminate()
        s.source("INSERT INTO t VALUES (2000, 1, 'later')")
        s.capture.wait_lsn("journaled_lsn", s.source("SELECT pg_current_wal_insert_lsn()::text")[0][0])
        front.fail(500)
        s.apply.start()
        retries(s.apply, "schema registry", "answered 500")
        done = s.pipeline.run("journal", "cat", "raway.public.t")
        assert done.returncode == 4 and "answered 500" in done.stderr, done
        front.serve()
        s.assert_equal()


def test_a_registry_that_does_not_answer(servers, registry):
    """A frozen one costs a bounded time; its answer, whenever it comes, is not waited for."""
    with scenario(*servers, SMALL, name="rfrozen", more=with_registry(registry.url)) as s:
        registry.process.signal(signal.SIGSTOP)
        try:
            s.start(wait=False)
            retries(s.capture, "schema registry", registry.url, "timed out", timeout=40)
        finally:
            registry.process.signal(signal.SIGCONT)
        s.wait_complete()
        s.assert_equal()


@pytest.mark.parametrize("answer,code,words", [
    ((200, {"Content-Type": "text/html"}, b"<html>welcome</html>"), 5, ("schema registry", "no id")),
    ((200, {"Content-Type": "application/json"}, b'{"id": 4294967296}'), 5, ("no id from 1",)),
    ((200, {"Content-Type": "application/json"}, b"x" * (17 << 20)), 5, ("larger than 16 MiB",)),
    ((302, {"Location": "http://127.0.0.1:1/"}, b""), 2, ("redirect",)),
    ((404, {"Content-Type": "text/html"}, b"nothing here"), 2, ("path",)),
    ((422, {}, b'{"error_code":42201,"message":"an odd schema"}'), 5, ("subject=", "42201", "an odd schema")),
], ids=["html", "id", "huge", "redirect", "404", "422"])
def test_what_is_no_registry(servers, front, answer, code, words, request):
    front.answer = answer
    with scenario(*servers, SMALL, name="rodd" + request.node.callspec.id, more=with_registry(front.url)) as s:
        s.capture.start()
        halts(s.capture, code, front.url, *words)
        front.serve()
        s.start()
        s.assert_equal()


# -- refusals

def test_incompatible_schema(servers, registry, front):
    with scenario(*servers, SMALL, name="rfull", more=with_registry(front.url)) as s:
        s.start()
        registry.set_compatibility("rfull.public.t-value", "FULL")
        s.target("ALTER TABLE t ADD COLUMN w text")
        s.source("ALTER TABLE t ADD COLUMN w text", "INSERT INTO t VALUES (100, 1, 'w')")  # this is compatible
        s.assert_equal()
        assert len(registry.get("/subjects/rfull.public.t-value/versions")) == 2
        s.source("ALTER TABLE t ALTER v TYPE text USING 'text ' || v", "UPDATE t SET v = 'changed' WHERE id = 1")
        halts(s.capture, 5, "subject=rfull.public.t-value", "incompatible", "PUT " + front.url + "/config/rfull.public.t-value", "it says: ",
              "topic=rfull.public.t")
        # It is refused again, and what the source does meanwhile is kept.
        s.capture.start()
        halts(s.capture, 5, "incompatible")
        s.source("UPDATE t SET v = 'later' WHERE id = 2", "DELETE FROM t WHERE id = 3")
        assert s.target("SELECT count(*), sum(v) FROM t")[0] == (51, 1276)
        registry.set_compatibility("rfull.public.t-value", "NONE")
        s.target("ALTER TABLE t ALTER v TYPE text USING 'text ' || v")
        s.capture.start()
        if not s.apply.running:
            s.apply.start()
        s.assert_equal()


def test_an_added_column_is_compatible(servers, registry):
    """BACKWARD, as registries have it by default: a column that came later is optional with default null, also after a restart."""
    with scenario(*servers, SMALL, name="radded", more=with_registry(registry.url)) as s:
        s.start()
        registry.set_compatibility("radded.public.t-value", "BACKWARD")
        s.target("ALTER TABLE t ADD COLUMN w int NOT NULL DEFAULT 7")
        s.source("INSERT INTO t VALUES (100, 1)", "ALTER TABLE t ADD COLUMN w int NOT NULL DEFAULT 7", "INSERT INTO t VALUES (101, 1, 8)")
        s.assert_equal()
        s.capture.kill9()
        s.capture.start()
        s.source("INSERT INTO t VALUES (102, 1, 9)")
        s.assert_equal()
        assert len(registry.get("/subjects/radded.public.t-value/versions")) == 2


def test_unknown_id_and_another_registry(servers, registry, front):
    with Registry(servers[0], "empty") as other, scenario(*servers, SMALL, name="rid", more=with_registry(front.url)) as s:
        s.start()
        s.apply.terminate()
        s.source("UPDATE t SET v = v + 1000")
        s.capture.wait_lsn("journaled_lsn", s.source("SELECT pg_current_wal_insert_lsn()::text")[0][0])
        s.capture.terminate()
        front.registry = other  # as after a registry's disk was lost
        number = registry.get("/subjects/rid.public.t-value/versions/latest")["id"]
        s.apply.start()
        halts(s.apply, 5, f"schema id={number} is not in the registry {front.url}", "topic=rid.public.t", "nothing was skipped")
        done = s.pipeline.run("journal", "cat", "rid.public.t")
        assert done.returncode == 5 and f"schema id={number} is not in" in done.stderr
        # Somebody else's schema under the number, of a table of the very same shape: still not ours.
        theirs = registry.schema(number).replace("rid.public", "theirs.public")
        taken = 0
        while taken < number:
            taken = other.register("theirs-value", theirs if taken == number - 1 else json.dumps({"type": "fixed", "name": f"f{taken}", "size": 1}))
        assert json.loads(other.schema(number))["namespace"] == "theirs.public.t"
        s.apply.start()
        halts(s.apply, 5, "schema of theirs.public.t under this id", "journal.registry", f"schema={number}")
        assert s.target("SELECT max(v) FROM t")[0][0] == 50
        front.registry = registry
        s.start()
        s.assert_equal()


def test_a_journal_keeps_to_its_store(servers, registry, front):
    with scenario(*servers, SMALL, name="rkeep") as s:
        journal = s.pipeline.settings["journal"]
        s.start()
        s.capture.terminate()
        s.apply.terminate()
        journal["registry"] = front.url
        s.pipeline.write()
        for role in (s.capture, s.apply):
            role.start()
            halts(role, 2, "rkeep.schemas", "keeps its schemas in itself", "journal.registry")
        assert not front.requests
        del journal["registry"]
        s.pipeline.write()
        s.start()
        s.assert_equal()
    with scenario(*servers, SMALL, name="rback", more=with_registry(front.url)) as s:
        s.start()
        s.capture.terminate()
        s.apply.terminate()
        del s.pipeline.settings["journal"]["registry"]
        s.pipeline.write()
        for role in (s.capture, s.apply):
            role.start()
            halts(role, 2, "rback.schemas", "in the registry " + front.url, "journal.registry")
        s.pipeline.settings["journal"]["registry"] = registry.url  # it has moved
        s.pipeline.write()
        s.start()
        s.source("UPDATE t SET v = 7")
        s.assert_equal()


def test_json_needs_no_registry(servers, front):
    with scenario(*servers, SMALL, name="rjson", journal_format="json", more=with_registry(front.url)) as s:
        s.capture.start()
        halts(s.capture, 2, "journal.registry", "avro", "json")
        assert not front.requests
        assert check(s)[0] == "fail"
