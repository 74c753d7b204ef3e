"""The kill loop: everything is killed under live traffic, at every named point and at random moments."""

import random
import time

import psycopg

from .failpoints import failpoints
from .load import Load, SumReader, load_simshop
from .oracle import assert_equal, check_ledger
from .pipeline import Pipeline
from .postgres import Postgres, copy_schema
from .procs import Role
from .wait import wait_until

KILLED = -9
# A copy that was killed goes on behind its last fence: the points of its beginning come first, those of its end last.
COPY_BEGINS = ["capture.slot_before", "capture.slot_created", "capture.snapshot_begun"]
COPY_ENDS = ["capture.snapshot_ended", "capture.snapshot_copied"]
# test_large_rows.py; test_schema_changes.py; test_direct_load.py; test_maria_source.py; test_dual_write.py; test_kill_dual_write.py; test_kill_dead_letters.py; test_shards_change.py; test_kill_writers.py
NOT_BY_LOAD = ("journal.claim_", "journal.remove_", "capture.ddl_", "capture.accept_", "capture.direct_", "capture.txn_held", "capture.way_back", "apply.conflicts", "apply.dead_letter", "apply.retry_", "apply.shards_", "apply.writers_")
BULK = "CREATE TABLE simshop_oltp.bulk (id int PRIMARY KEY, pad text, n int DEFAULT 0)"


def _when(point):
    """Sorts the points of the first copy as it passes them, and before all others."""
    if point in COPY_BEGINS:
        return 0, COPY_BEGINS.index(point)
    if point in COPY_ENDS:
        return 2, COPY_ENDS.index(point)
    return (1 if "snapshot" in point or "copy" in point else 3), 0


class KillLoop:
    """with KillLoop(folder, seed, journal=…) as loop: loop.kill_at(points); loop.kill_at_random(12); loop.finish()"""

    def __init__(self, folder, seed, broker=None, rate=80, journal=None):
        self.folder, self.seed, self.broker, self.rate = folder, seed, broker, rate
        self.rng = random.Random(seed)
        self.kills, self.bulks, self.verdicts = 0, 0, []
        self.journal_settings = journal or {}
        # The bulks are streamed before they commit.
        self.source, self.target = Postgres(folder, "source", settings={"logical_decoding_work_mem": "1MB"}), Postgres(folder, "target")
        self.pipeline = self.load = self.reader = None

    def __enter__(self):
        self.source.__enter__()
        self.target.__enter__()
        self.shop, self.copy = self.source.create_db("shop"), self.target.create_db("shop")
        load_simshop(self.shop)
        self.source.sql(BULK, db="shop")
        copy_schema(self.shop, self.copy)
        more = {"compare": {"deadline_ms": 60000}, "capture": {"heartbeat_interval_ms": 500, "max_memory": "4MiB", "snapshot_chunk_rows": 5000}, "apply": {"batch_max_bytes": "1MiB"}, "journal": self.journal_settings}
        # JSON through Kafka, so that a reader of its own can judge it; Avro through LMDB.
        kafka = {"journal": self.broker.url, "journal_format": "json"} if self.broker else {}
        self.pipeline = Pipeline(self.folder, self.shop, self.copy, more=more, **kafka)
        self.load = Load(self.shop, self.folder, clients=3, rate=self.rate, seed=self.seed).start()
        self.reader = SumReader(self.copy, complete=True).__enter__()
        return self

    def __exit__(self, *exc):
        for thing in (self.reader, self.load, self.pipeline, self.target, self.source):
            if thing is not None:
                thing.__exit__(*(exc if thing is self.pipeline else ()) or (None, None, None))

    # -- points

    @staticmethod
    def points(journal):
        """[(point, roles that may pass it)] for a pipeline with this journal ("lmdb", "kafka"); those of the first copy come first."""
        other = {"lmdb": "kafka", "kafka": "lmdb"}[journal]
        found = []
        for point, path in failpoints("capture", "apply", "lib").items():
            if other in path or other in point or point.startswith(NOT_BY_LOAD):
                continue
            roles = ["capture"] if path.startswith("capture/") else ["apply"] if path.startswith(("apply/", "lib/target/")) else ["capture", "apply"]
            found.append((point, roles))
        return sorted(found, key=lambda p: _when(p[0]))

    def kill_at(self, point, roles, nth=1):
        """Runs the roles until one is killed at the point. Returns the name of that role, or None when none came by."""
        for name in roles:
            role = getattr(self.pipeline, name)
            if role.running:
                role.kill9()
            role.start(failpoint=f"{point}:{nth}")
            self._start_others(name)
            if self._came_by(role):
                self.kills += 1
                return name
        self._start_others(None)
        return None

    def _start_others(self, name):
        for other in ("capture", "apply"):
            role = getattr(self.pipeline, other)
            if other != name and not role.running:
                self._expect_killed(role)
                role.start()

    def _expect_killed(self, role):
        assert role.exit_code in (None, 0, KILLED), f"{role.name} ended by itself: exit code {role.exit_code}\n{role.log_tail()}"

    def _came_by(self, role):
        """Traffic, a comparison, a large transaction, an orderly stop: is the role killed in one of them?"""
        began = self.target_fence()

        def over():
            self._expect_killed(role)
            return role.exit_code == KILLED or (self.complete() and self.target_fence() >= began + 5)
        wait_until(over, 90, f"{role.name} is killed or five fences are applied")
        for stimulus in (self.comparison, self.bulk):
            if role.exit_code != KILLED:
                stimulus()
                lsn = self.source.lsn()
                wait_until(lambda: role.exit_code is not None or self.applied(lsn), 120, f"{role.name} is killed or all is applied")
        if role.running:
            role.terminate()
        self._expect_killed(role)
        return role.exit_code == KILLED

    def position(self):
        try:
            return self.target.sql("SELECT fence_id, lsn::text, complete FROM crossfade.position", db="shop")
        except psycopg.Error:
            return None

    def target_fence(self):
        rows = self.position()
        return rows[0][0] if rows else 0

    def complete(self):
        rows = self.position()
        return bool(rows) and rows[0][2]

    def applied(self, lsn):
        rows = self.position()
        return bool(rows) and self.target.value("SELECT %s::pg_lsn >= %s::pg_lsn", (rows[0][1], lsn))

    def bulk(self):
        """One transaction of about 20 MB, which no buffer takes whole."""
        self.bulks += 1
        base = self.bulks * 100_000
        self.source.sql(f"INSERT INTO simshop_oltp.bulk SELECT i, repeat(md5(i::text), 12) FROM generate_series({base}, {base + 50_000}) i;"
                        f"UPDATE simshop_oltp.bulk SET n = 1 WHERE id % 10 = 0; DELETE FROM simshop_oltp.bulk WHERE id < {base}", db="shop")

    def comparison(self):
        """The markers of a comparison, as they would be written; it lets go at once."""
        nonce = f"killloop-{self.rng.getrandbits(64):x}"
        insert = "INSERT INTO crossfade.marker (pipeline, nonce, kind, cut_lsn, deadline_ms) VALUES (%s, %s, %s, %s::pg_lsn, 5000)"
        self.source.sql(insert, (self.pipeline.name, nonce, "hold", None), db="shop")
        cut = self.source.value("SELECT pg_current_wal_insert_lsn()::text")
        self.source.sql(insert, (self.pipeline.name, nonce, "cut", cut), db="shop")
        self.target.sql("INSERT INTO crossfade.release (pipeline, nonce) VALUES (%s, %s)", (self.pipeline.name, nonce), db="shop")

    # -- random moments

    def victims(self):
        found = {"capture": 4, "apply": 4, "source": 1, "target": 1, "compare": 1}
        if self.broker:
            found["broker"] = 5
        return found

    def kill_at_random(self, times):
        """Kills anything at any moment, and goes on at once: nobody waits for the other to recover.

        Comparisons run meanwhile: they may find no answer, but never a difference.
        """
        victims, compare = self.victims(), self._compare_role()
        for _ in range(times):
            time.sleep(self.rng.uniform(0.02, 1.2))
            victim = self.rng.choices(list(victims), list(victims.values()))[0]
            if self.rng.random() < 0.1:
                self.bulk_in_background()
            self._look_at(compare)
            print(f"kill {victim}")
            if victim == "compare":
                compare.kill9()
            elif victim in ("capture", "apply"):
                role = getattr(self.pipeline, victim)
                if not role.running:
                    self._expect_killed(role)
                    role.start()
                    continue
                role.kill9()
                role.start()
            else:
                server = {"source": self.source, "target": self.target, "broker": self.broker}[victim]
                server.kill9()
                server.start()
            self.kills += 1
        compare.close()
        print(f"comparisons ended with {self.verdicts}")

    def _compare_role(self):
        return Role("compare run --json", self.pipeline.config_of("compare"), f"{self.folder}/compare.log").start()

    def _look_at(self, compare):
        if not compare.running:
            self.verdicts.append(compare.exit_code)
            assert compare.exit_code in (0, 3, 4, KILLED), f"compare: exit code {compare.exit_code}\n{compare.log_tail(60)}"
            assert not compare.sanitizer_reports(), compare.log_tail(100)
            compare.start()

    def bulk_in_background(self):
        try:
            self.bulk()
        except psycopg.Error:  # the source may be on its way up
            pass

    # -- the end

    def finish(self, read_journal):
        """Traffic ends; everything must come to rest and be equal. read_journal() → (topics, fences)."""
        from .journal import assert_journal
        self._start_others(None)
        self.pipeline.apply.wait_for(lambda status: status.get("complete"), 240, "the copy is complete")
        self.load.wait_acked(50)
        self.pipeline.wait_caught_up(180)  # what the last kill held up: a comparison waits only seconds for apply
        done = self.pipeline.run("compare", "run", timeout=300)  # nothing is left of a hold, or of a wait for a release
        assert done.returncode == 0, done.stdout + done.stderr
        self.load.stop()
        self.pipeline.wait_caught_up(180)
        assert_equal(self.shop, self.copy)
        for url in (self.shop, self.copy):
            ledger = check_ledger(url, self.load.acked, self.load.unknown, self.load.run_id)
            assert not ledger.missing and not ledger.unexpected and not ledger.repeated, ledger
        assert self.reader.torn == [] and self.reader.reads > 100, f"{self.reader.reads} reads, torn: {self.reader.torn[:5]}"
        for role in (self.pipeline.capture, self.pipeline.apply):
            assert role.terminate() == 0, role.log_tail()
        assert_journal(*read_journal(), self.shop, self.pipeline.name)
