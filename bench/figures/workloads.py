"""The backlogs: what is written into the source while a slot waits.

PGBENCH: 4 clients x 25,000 transactions of 4 updates of random accounts, 400,000 changes.

MIXED: 400,000 changes of five tables with numeric, jsonb, timestamptz, 1 kB of text and bytea, by one client: 200 rounds of 200 transactions
of one row, 80 of 10 rows and one of 1,000. Half of the changes are inserts, the others updates of rows of theirs and, in the large
transactions, 50 deletes. The texts are hexadecimal digits (compression halves them), the same in each run.
"""

import os

from .rigging import ACCOUNTS, ACCOUNTS_TABLE

CLIENTS, TRANSACTIONS = 4, 25000
SCRIPT = "".join(f"\\set a{i} random(1, {ACCOUNTS})\n" for i in range(4)) + "BEGIN;\n" + "".join(
    f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :a{i};\n" for i in range(4)) + "END;\n"


class Pgbench:
    name = "drain"
    tables = ("pgbench_accounts",)
    schema = (ACCOUNTS_TABLE,)
    changes = CLIENTS * TRANSACTIONS * 4
    records = changes  # as Debezium writes them: a delete is followed by a tombstone

    @staticmethod
    def prepare(bench):
        """Before slots are made: the tables."""

    @staticmethod
    def touch(bench):
        """One change of each table."""
        bench.source.sql("UPDATE pgbench_accounts SET abalance = abalance WHERE aid = 1", db="bench")
        return 1

    @staticmethod
    def make(bench):
        """Runs the workload; the WAL position behind it."""
        path = os.path.join(bench.folder, "backlog.sql")
        with open(path, "w") as f:
            f.write(SCRIPT)
        bench.pgbench("--no-vacuum", "--client", str(CLIENTS), "--jobs", "1", "--transactions", str(TRANSACTIONS), "--file", path)
        return bench.source.value("SELECT pg_current_wal_flush_lsn()::text", db="bench")


ROUNDS, SEEDED = 200, 20000
COLUMNS = {  # table: its columns behind id, what they hold in row i with random texts from the pool, what an update changes
    "mixed_payment": ("account int, amount numeric(14,2), rate numeric, at timestamptz",
                      "i % 5000, (i % 900000) * 1.37, i / 7.0, now() - i * interval '1 s'",
                      "amount = amount + 1.01, at = now()"),
    "mixed_event": ("at timestamptz, body jsonb",
                    "now(), jsonb_build_object('kind', 'seen', 'n', i, 'tags', jsonb_build_array('a', i % 7, true),"
                    " 'text', substr(pool, 1 + i % 9000, 120))",
                    "body = jsonb_set(body, '{n}', to_jsonb(id + 1))"),
    "mixed_note": ("at timestamptz, note text", "now(), substr(pool, 1 + i % 9000, 1000)", "at = now(), note = reverse(note)"),
    "mixed_file": ("name varchar(80), content bytea", "'file ' || i, decode(substr(pool, 1 + 2 * (i % 4500), 600), 'hex')",
                   "name = name || '.'"),
    "mixed_order": ("total numeric(12,4), details jsonb, placed timestamptz, note text, seal bytea",
                    "i * 1.0001, jsonb_build_object('item', i, 'price', i / 3.0), now(), substr(pool, 1 + i % 9000, 1000),"
                    " decode(substr(pool, 1 + 2 * (i % 4500), 64), 'hex')",
                    "total = total + 0.5, placed = now()"),
}


def mixed_schema():
    def insert(table, first, last):
        return f"INSERT INTO {table} SELECT i, {COLUMNS[table][1]} FROM generate_series({first}, {last}) i;"

    def update(table, last):
        return f"UPDATE {table} SET {COLUMNS[table][2]} WHERE id BETWEEN old AND {last};"

    def one(number, table):  # a statement of one row, by turns
        return f"WHEN {2 * number} THEN {insert(table, 'next', 'next')} WHEN {2 * number + 1} THEN {update(table, 'old')}"

    single = "CASE n % 10 " + " ".join(one(number, table) for number, table in enumerate(COLUMNS)) + " END CASE;"
    ten = " ".join(insert(t, "next", "next") + update(t, "old") for t in COLUMNS)
    many = " ".join(insert(t, "next", "next + 99") + update(t, "old + 89")
                    + f"DELETE FROM {t} WHERE id BETWEEN round * 10 + 1 AND round * 10 + 10;" for t in COLUMNS)
    pool = "pool text := (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 320) i);"  # 10,240 digits
    tables = "".join(f"DROP TABLE IF EXISTS {t}; CREATE TABLE {t} (id bigint PRIMARY KEY, {columns});" for t, (columns, _, _) in COLUMNS.items())
    seed = "".join(insert(t, 1, SEEDED) for t in COLUMNS)
    return f"""{tables}
DO $$ DECLARE {pool} BEGIN {seed} END $$;
CREATE OR REPLACE PROCEDURE mixed_run(rounds int) LANGUAGE plpgsql AS $$
DECLARE {pool} next int := {SEEDED} + 1; old int;
BEGIN
  FOR round IN 0..rounds - 1 LOOP
    FOR n IN 0..199 LOOP
      old := 2001 + (next * 7919) % 17000; {single} next := next + 1; COMMIT;
    END LOOP;
    FOR n IN 1..80 LOOP
      old := 2001 + (next * 7919) % 17000; {ten} next := next + 1; COMMIT;
    END LOOP;
    old := 2001 + (next * 7919) % 17000; {many} next := next + 100;
    IF round = rounds - 1 THEN PERFORM set_config('synchronous_commit', 'on', true); END IF;  -- flushes what was before
    COMMIT;
  END LOOP;
END $$;"""


class Mixed:
    name = "mixed"
    tables = tuple(COLUMNS)
    schema = tuple(f"CREATE TABLE {t} (id bigint PRIMARY KEY, {columns})" for t, (columns, _, _) in COLUMNS.items())
    changes = ROUNDS * 2000
    records = changes + ROUNDS * 50

    @staticmethod
    def prepare(bench):
        bench.source.psql("-c", mixed_schema(), db="bench")
        bench.source.psql("-c", "VACUUM ANALYZE", db="bench")

    @staticmethod
    def touch(bench):
        for table, (_, _, update) in COLUMNS.items():
            bench.source.sql(f"UPDATE {table} SET {update} WHERE id = 2000", db="bench")
        return len(COLUMNS)

    @staticmethod
    def make(bench):
        bench.source.psql("-c", "SET synchronous_commit = off", "-c", f"CALL mixed_run({ROUNDS})", db="bench")
        return bench.source.value("SELECT pg_current_wal_flush_lsn()::text", db="bench")


PGBENCH, MIXED = Pgbench(), Mixed()
