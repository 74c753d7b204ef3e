"""All that can happen to tables, at once and as fast as the pipeline carries it: what no comparison at a fence may take for a difference."""

import random
import threading

import psycopg

from .procs import lsn_value
from .wait import wait_until

# `gone` is truncated and `shape` gets columns: a snapshot may lose sight of both (docs/COMPARE.md), of no other table.
SCHEMA = """CREATE TABLE account (id int PRIMARY KEY, balance numeric(12,2) NOT NULL, note text, at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE item (a int, b uuid, v text, f float8, PRIMARY KEY (a, b));
    CREATE TABLE word (w varchar(100) COLLATE "C" PRIMARY KEY, n bigint NOT NULL);
    CREATE TABLE doc (id bigint PRIMARY KEY, head text, body text, raw bytea, tags int[]); ALTER TABLE doc ALTER body SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL;
    CREATE TABLE whole (id int PRIMARY KEY, head text, body text); ALTER TABLE whole ALTER body SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
    CREATE TABLE bag (k int, v text); ALTER TABLE bag REPLICA IDENTITY FULL;
    CREATE TABLE parted (id int, slot int, v text, PRIMARY KEY (slot, id)) PARTITION BY RANGE (slot);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (10); CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (MAXVALUE);
    CREATE TABLE shape (id int PRIMARY KEY, v text); CREATE TABLE gone (id int PRIMARY KEY, v text);
    INSERT INTO account SELECT i, 100, CASE WHEN i % 3 = 0 THEN NULL ELSE 'n' || i END FROM generate_series(1, 2000) i;
    INSERT INTO item SELECT i % 20, gen_random_uuid(), 'v' || i, i / 7.0 FROM generate_series(1, 1500) i;
    INSERT INTO word SELECT 'Wort ' || i, i FROM generate_series(1, 1000) i;
    INSERT INTO doc SELECT i, 'h' || i, repeat(md5(i::text), 200), decode(repeat(md5(i::text), 150), 'hex'), ARRAY[i, NULL] FROM generate_series(-3, 200) i;
    INSERT INTO whole SELECT i, 'h' || i, repeat(md5(i::text), 200) FROM generate_series(1, 50) i;
    INSERT INTO bag SELECT i % 20, repeat('x', i % 3) FROM generate_series(1, 200) i;
    INSERT INTO parted SELECT i, i % 20, 'p' || i FROM generate_series(1, 500) i;
    INSERT INTO shape SELECT i, 's' || i FROM generate_series(1, 300) i; INSERT INTO gone SELECT i, 'g' || i FROM generate_series(1, 300) i"""
UNSTEADY = ("gone", "shape")
REWRITES = ("truncated", "altered")
COLUMNS = ("varchar(50) DEFAULT 'was there'", "int DEFAULT 7", "numeric(10,2) DEFAULT 1.50", "varchar(20)", "bigint NOT NULL DEFAULT 0")
MOST_COLUMNS = 20


class Client:
    """One session, whose transactions are drawn at random. Each method is one, or several."""

    def __init__(self, storm, number):
        self.storm, self.number, self.r, self.turn = storm, number, random.Random(f"{storm.seed} {number}"), 0
        self.c = None

    def execute(self, *statements):
        for statement in statements:
            self.c.execute(statement)

    def key(self, most):
        return self.r.randint(1, most)

    def transfers(self):
        a, b = sorted(self.r.sample(range(1, 2001), 2))
        self.execute(f"UPDATE account SET balance = balance - 1.25, note = 'x''\\{self.turn} größer', at = clock_timestamp() WHERE id = {a}",
                     f"UPDATE account SET balance = balance + 1.25, note = nullif(note, 'n{b}') WHERE id = {b}")

    def items(self):
        a = self.r.randrange(20)
        self.execute(f"INSERT INTO item SELECT {a}, gen_random_uuid(), NULLIF(repeat('größer ', {self.turn % 3}), ''), {self.turn} / 3.0 FROM generate_series(1, {self.key(5)})",
                     f"DELETE FROM item WHERE (a, b) IN (SELECT a, b FROM item WHERE a = {(a + 1) % 20} ORDER BY b LIMIT 3)")

    def keys(self):
        n = self.key(700)
        self.execute(f"UPDATE word SET w = 'Word {self.number} {self.turn}' WHERE n = {n}",
                     f"UPDATE item SET a = a + 1 WHERE (a, b) IN (SELECT a, b FROM item WHERE a = {n % 19} LIMIT 1)")

    def swap_of_keys(self):
        a, b = sorted(self.r.sample(range(1, 51), 2))
        self.execute(f"UPDATE whole SET id = -{self.number + 1} WHERE id = {a}", f"UPDATE whole SET id = {a} WHERE id = {b}", f"UPDATE whole SET id = {b} WHERE id = -{self.number + 1}")

    def toasted(self):
        """Values that stay as they are do not travel; some do."""
        n = self.key(200)
        self.execute(f"UPDATE doc SET head = 'h{self.turn}' WHERE id = {n}", f"UPDATE whole SET head = 'w{self.turn}' WHERE id = {n % 50 + 1}")
        if self.r.random() < 0.3:
            self.execute(f"UPDATE doc SET body = repeat(md5('{self.turn}'), {self.key(400)}), tags = tags[2:] || {n} WHERE id = {n}",
                         f"DELETE FROM doc WHERE id = {n % 200 + 1}", f"INSERT INTO doc SELECT {n % 200 + 1}, NULL, repeat(md5('{n}'), 200), decode(repeat(md5('{n}'), 150), 'hex'), '{{}}'")
        if self.r.random() < 0.2:
            self.execute(f"UPDATE doc SET id = id + 1000 WHERE id = {n}", f"UPDATE doc SET id = id - 1000 WHERE id = {n + 1000}")

    def without_key(self):
        k = self.r.randrange(20)
        self.execute(f"INSERT INTO bag VALUES ({k}, repeat('x', {self.r.randrange(3)}))",
                     f"DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE k = {(k + 1) % 20} LIMIT 1)",
                     f"UPDATE bag SET v = repeat('x', {self.r.randrange(3)}) WHERE ctid = (SELECT ctid FROM bag WHERE k = {k} LIMIT 1)")

    def partitions(self):
        n, slot = self.key(500), self.r.randrange(20)
        self.execute(f"UPDATE parted SET slot = {slot} WHERE id = {n} AND NOT EXISTS (SELECT FROM parted WHERE id = {n} AND slot = {slot})", f"UPDATE parted SET v = v || '.' WHERE id = {n % 500 + 1} AND length(v) < 20")

    def subtransactions(self):
        n = self.key(1990)
        self.execute(f"""DO $$ BEGIN FOR i IN 1..8 LOOP BEGIN UPDATE account SET note = 'sub' || i WHERE id = {n} + i; INSERT INTO gone VALUES (1000 + {n} + i, 's') ON CONFLICT DO NOTHING;
            IF i % 3 = 0 THEN RAISE EXCEPTION 'back'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$""",
                     "SAVEPOINT a", f"DELETE FROM parted WHERE id = {n % 500}", f"UPDATE word SET n = n WHERE n = {n % 700}", "ROLLBACK TO a")

    def large(self):
        n = 1000 + self.number
        self.execute(f"DELETE FROM item WHERE a = {n}", f"INSERT INTO item SELECT {n}, gen_random_uuid(), 'large', i FROM generate_series(1, 3000) i", "UPDATE account SET note = 'all' WHERE id > 0",
                     f"UPDATE item SET f = -f WHERE a = {n}")

    def taken_back(self):
        self.execute("UPDATE account SET balance = balance + 1 WHERE id < 50", "DELETE FROM bag WHERE k < 3", "ROLLBACK")

    def truncated(self):
        self.execute("SET LOCAL lock_timeout = '2s'", "TRUNCATE gone", f"INSERT INTO gone SELECT i, 'again {self.turn}' FROM generate_series(1, {self.key(200)}) i")

    def shapes(self):
        column = self.storm.column
        self.execute(f"INSERT INTO shape VALUES ({300 + self.key(300)}, 'new') ON CONFLICT (id) DO UPDATE SET v = 'there'", f"DELETE FROM shape WHERE id = {300 + self.key(300)}")
        if column:
            self.execute(f"UPDATE shape SET {column} = DEFAULT, v = 'late' WHERE id = {self.key(300)}")

    def altered(self):
        self.storm.add_column(self.c)

    WEIGHTS = {"transfers": 12, "items": 8, "keys": 6, "swap_of_keys": 3, "toasted": 6, "without_key": 6, "partitions": 5, "subtransactions": 4, "large": 0.3, "taken_back": 1, "truncated": 1,
               "shapes": 4, "altered": 0.5}

    def transaction(self, kind):
        try:
            getattr(self, kind)()
            self.c.commit()
            self.storm.did[kind] += 1
        except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable, psycopg.errors.UniqueViolation, psycopg.errors.SerializationFailure):
            self.c.rollback()

    def run(self):
        with psycopg.connect(self.storm.url, options=self.storm.options) as connection:
            self.c = connection
            while self.storm.blows():
                self.turn += 1
                kind = self.r.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))[0]
                if kind not in REWRITES:
                    self.transaction(kind)
                elif self.storm.rewriting.acquire(blocking=False):
                    try:
                        self.transaction(kind)
                    finally:
                        self.storm.rewriting.release()


class Storm:
    """with Storm(pipeline, alter, seed) as storm: … storm.wait_more(10) …  Sessions write to SCHEMA's tables until it is left.

    alter: runs a statement on the target, and says whether it could. They wait while apply is more than
    most_behind bytes of WAL behind, so that fences stay near. did: transactions by kind. rewriting: whoever holds it keeps `gone` and
    `shape` from being truncated and altered.
    """

    def __init__(self, pipeline, alter, seed, clients=4, most_behind=6 << 20):
        self.pipeline, self.alter, self.seed, self.most_behind = pipeline, alter, seed, most_behind
        self.url, self.options = pipeline.source_url, pipeline.as_owner
        self.did, self.failure = dict.fromkeys(Client.WEIGHTS, 0), None
        self.column, self.columns, self._prepared = None, 0, False  # the newest of `shape`; the next one is on the target
        self._stop, self._free, self.rewriting = threading.Event(), threading.Event(), threading.Lock()
        self._free.set()
        self._threads = [threading.Thread(target=self._guarded, args=(run,), daemon=True) for run in [Client(self, n).run for n in range(clients)] + [self._watch]]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._free.set()
        for thread in self._threads:
            thread.join(120)
        if exc[0] is None:
            self.assert_well()

    def assert_well(self):
        assert self.failure is None, self.failure

    def _guarded(self, run):
        try:
            run()
        except Exception as e:  # pylint: disable=broad-except
            self.failure = e
            self._stop.set()

    def blows(self):
        """Waits as long as apply is too far behind; false once the storm is over."""
        while not self._free.wait(0.2) and not self._stop.is_set():
            pass
        return not self._stop.is_set()

    def _watch(self):
        with psycopg.connect(self.url, autocommit=True) as connection:
            applied = 0
            while not self._stop.wait(0.1):
                status = self.pipeline.apply.status() or {}
                applied = max(applied, lsn_value(status.get("applied_lsn") or "0/0"))
                behind = lsn_value(connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()[0]) - applied
                (self._free.clear if behind > self.most_behind else self._free.set)()

    @property
    def total(self):
        return sum(self.did.values())

    def wait_more(self, count, timeout=120):
        """Until so many more transactions have been committed."""
        goal = self.total + count
        wait_until(lambda: self.total >= goal or self.failure, timeout, f"the storm comes to {goal} transactions")
        self.assert_well()

    def add_column(self, connection):
        """On the target first, as docs/OPERATIONS.md asks; where locks are in the way, another time."""
        name, statement = f"c{self.columns}", f"ALTER TABLE shape ADD COLUMN c{self.columns} {COLUMNS[self.columns % len(COLUMNS)]}"
        if self.columns == MOST_COLUMNS or not (self._prepared or self.alter(statement)):
            return
        self._prepared = True
        connection.execute("SET LOCAL lock_timeout = '2s'")
        connection.execute(statement)
        connection.commit()
        self.column, self.columns, self._prepared = name, self.columns + 1, False
