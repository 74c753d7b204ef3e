"""Makes tests/system/data/upgrade/NAME: what a migration in full flow looks like that this version of Crossfade runs, for later versions to go on with
(tests/system/test_upgrade.py). Run once for a release: CROSSFADE_BIN=… make_upgrade_fixture.py NAME

Two pipelines of one source server, over an embedded journal and over Kafka. In each: the copy is proven equal, a row is held as a dead letter, and apply has
stopped some changes behind what capture has journalled.
"""

import json
import lzma
import os
import subprocess
import sys
import tarfile

from rig import Kafka, Postgres, Workdir, wait_until
from rig.scenario import scenario

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system", "data", "upgrade")
SCHEMA = '''CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(12,3), at timestamptz);
CREATE TABLE "odd ""näme""" (k text PRIMARY KEY, a int[], j jsonb);
CREATE SEQUENCE tickets; SELECT setval('tickets', 41);
INSERT INTO t SELECT i, 'v' || i, i / 7.0, '2024-01-01'::timestamptz + i * interval '1 s' FROM generate_series(1, 300) i;
INSERT INTO "odd ""näme""" SELECT 'k' || i, ARRAY[i, NULL], jsonb_build_object('i', i) FROM generate_series(1, 50) i'''
LIMIT = "ALTER TABLE t ADD CONSTRAINT low CHECK (n < 100000)"
SEGMENTS = 6  # of WAL before the journal's first fence: a fresh server can be brought to less


def dump(url):
    return subprocess.run(["pg_dump", "-d", url], capture_output=True, text=True, check=True).stdout


def packed(path, text):
    with lzma.open(path, "wt", encoding="utf-8") as f:
        f.write(text)


def run(folder, source, target, name, journal, out):
    more = {"apply": {"on_row_error": "dead_letter"}}
    with scenario(folder, source, target, SCHEMA, name=name, more=more, journal=journal, superuser=None) as s:
        s.target(LIMIT)
        s.start()
        s.source("INSERT INTO t SELECT i, 'new', i, now() FROM generate_series(1001, 1100) i", "UPDATE t SET v = 'changed' WHERE id % 3 = 0")
        s.assert_equal()
        done = s.pipeline.run("compare", "run")
        assert done.returncode == 0, done.stdout + done.stderr
        s.source("INSERT INTO t VALUES (2000, 'too high', 200000, NULL)")
        s.wait()
        letters = json.loads(s.pipeline.run("apply", "dlq", "list", "--json").stdout)
        assert "low" in json.dumps(letters), letters
        s.apply.terminate()
        s.source("DELETE FROM t WHERE id < 20", "UPDATE t SET id = id + 5000 WHERE id BETWEEN 30 AND 40", "UPDATE t SET n = -n WHERE id > 1050",
                 "BEGIN; INSERT INTO \"odd \"\"näme\"\"\" VALUES ('last', '{}', NULL); UPDATE t SET v = 'two in one' WHERE id = 100; COMMIT", "SELECT nextval('tickets')")
        s.source("INSERT INTO t VALUES (3000, 'the last one', 3, NULL)")
        lsn = source.value("SELECT pg_current_wal_insert_lsn()::text")
        wait_until(lambda: last_fence(s) >= number(lsn), 60, "all is journalled")
        s.capture.terminate()
        for side, url in (("source", s.source_url), ("target", s.target_url)):
            packed(os.path.join(out, f"{name}-{side}.sql.xz"), dump(url))
        return {"last_lsn": last_fence(s)}


def number(lsn):
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def last_fence(s):
    lsn = s.capture.status().get("journaled_lsn") if s.capture.running else LAST[s.name]
    LAST[s.name] = number(lsn) if isinstance(lsn, str) else lsn
    return LAST[s.name]


LAST = {}


def pack_folder(path, out):
    with tarfile.open(out, "w:xz") as tar:
        tar.add(path, arcname="data")


def main(name):
    out = os.path.join(HERE, name)
    os.makedirs(out)
    with Workdir("upgrade") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target, Kafka(folder) as kafka:
        for _ in range(SEGMENTS):
            source.sql("SELECT pg_switch_wal(); CREATE TABLE filler (); DROP TABLE filler")
        facts = {"system_id": source.system_id, "segments": SEGMENTS, "cluster": kafka.cluster}
        facts["up_lmdb"] = run(folder, source, target, "up_lmdb", None, out)
        facts["up_kafka"] = run(folder, source, target, "up_kafka", kafka.url, out)
        pack_folder(os.path.join(str(folder), "up_lmdb-journal"), os.path.join(out, "up_lmdb-journal.tar.xz"))
        kafka.stop()
        pack_folder(kafka.data, os.path.join(out, "up_kafka-broker.tar.xz"))
    with open(os.path.join(out, "facts.json"), "w", encoding="utf-8") as f:
        json.dump(facts, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
