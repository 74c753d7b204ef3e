"""compare run of some of the rows against MariaDB: conditions in each side's SQL, ranges of time, partitions of the source."""

import pytest

from rig import Pipeline, Postgres, Workdir
from rig.comparing import PARTITIONED, compare
from rig.mariadb import MariaDB

SOURCE = f"""CREATE TABLE orders (id bigint PRIMARY KEY, at timestamptz NOT NULL, status text NOT NULL, amount numeric(12,2));
    INSERT INTO orders SELECT i, timestamptz '2026-01-01 00:00+00' + i * interval '1 minute', CASE WHEN i % 4 = 0 THEN 'paid' ELSE 'new' END, i
      FROM generate_series(1, 2000) i;
    CREATE TABLE words (w text PRIMARY KEY, n int); INSERT INTO words SELECT (ARRAY['Ä', 'a', 'Z', '_'])[i % 4 + 1] || md5(i::text), i FROM generate_series(1, 900) i;
    CREATE TABLE mixed (a int, b uuid, n int, PRIMARY KEY (a, b)); INSERT INTO mixed SELECT CASE WHEN i <= 800 THEN 7 ELSE i END, md5(i::text)::uuid, i FROM generate_series(1, 900) i;
    {PARTITIONED};
    CREATE TABLE spread (id int PRIMARY KEY) PARTITION BY HASH (id);
    CREATE TABLE spread_0 PARTITION OF spread FOR VALUES WITH (MODULUS 1, REMAINDER 0); INSERT INTO spread VALUES (1)"""
TEXT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
TARGET = f"""CREATE TABLE orders (id bigint PRIMARY KEY, at datetime(6) NOT NULL, status varchar(100) NOT NULL, amount decimal(12,2)) {TEXT};
    CREATE TABLE words (w varchar(100), n int, PRIMARY KEY (w)) {TEXT};
    CREATE TABLE mixed (a int, b char(36) CHARACTER SET ascii COLLATE ascii_bin, n int, PRIMARY KEY (a, b)) {TEXT};
    CREATE TABLE log (id int, at datetime(6), v longtext, PRIMARY KEY (id, at)) {TEXT};
    CREATE TABLE place (id int, land varchar(10), PRIMARY KEY (id, land)) {TEXT};
    CREATE TABLE spread (id int PRIMARY KEY)"""


@pytest.fixture(name="pipe", scope="module")
def fixture_pipe():
    with Workdir("where-mariadb") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        url, target_url = source.create_db("shop"), target.create_db("shop")
        source.sql(SOURCE, db="shop")
        target.script(TARGET, "shop")
        settings = {"capture": {"heartbeat_interval_ms": 500}, "compare": {"chunk_rows": 100, "time_columns": {"public.orders": "at"}}}
        with Pipeline(folder, url, target_url, name="shop", tables=("public.*",), more=settings) as p:
            p.capture.start()
            p.apply.start()
            p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
            p.equal = compare(p)
            target.sql("UPDATE orders SET amount = 0 WHERE id IN (10, 1500)", db="shop")
            target.sql("UPDATE orders SET status = 'lost' WHERE id = 1600", db="shop")
            target.sql("UPDATE orders SET status = 'paid' WHERE id = 1701", db="shop")
            target.sql("DELETE FROM orders WHERE id IN (11, 2000)", db="shop")
            for table in ("words", "mixed"):
                target.sql(f"UPDATE {table} SET n = n + 900000 WHERE n IN (3, 150, 300, 600, 899, 1, 4, 400)", db="shop")
                target.sql(f"DELETE FROM {table} WHERE n IN (303, 304)", db="shop")
            target.sql("UPDATE log SET v = 'x' WHERE id = 100", db="shop")
            target.sql("DELETE FROM place WHERE id = 2", db="shop")
            yield p, target


def of(report, table):
    return next(t for t in report["tables"] if t["table"] == table)


def told(report):
    return sorted((t["table"], d["kind"], tuple(d["key"].values()), tuple((c["name"], c["source"], c["target"]) for c in d["columns"] if d["kind"] == "changed"))
                  for t in report["tables"] for d in t["differences"])


PAID = [("orders", "changed", ("1500",), (("amount", "1500", "0"),)), ("orders", "changed", ("1600",), (("status", "paid", "lost"),)),
        ("orders", "changed", ("1701",), (("status", "new", "paid"),)), ("orders", "missing", ("2000",), ())]


def test_condition_for_both_sides(pipe):
    p, target = pipe
    assert p.equal["verdict"] == "PASS"
    report = compare(p, "--table", "public.orders", "--where", "status = 'paid'", code=1)
    assert told(report) == PAID and report["scope"] == "where"
    assert of(report, "orders")["rows_source"] == 500
    report = compare(p, "--table", "public.orders", "--where", "id BETWEEN 12 AND 1400")
    assert report["verdict"] == "PASS" and of(report, "orders")["rows_source"] == 1389
    scopes = target.sql("SELECT scope FROM crossfade_verdict ORDER BY id", db="shop")
    assert scopes[0][0] == "full" and scopes[-1][0].startswith("where public.orders: (id BETWEEN")


def test_condition_in_the_target_s_sql(pipe):
    p, _ = pipe
    both = ("--table", "public.orders", "--where", "\"status\" = 'paid'::text", "--target-where", "`status` = \"paid\"")
    assert told(compare(p, *both, code=1)) == PAID
    report = compare(p, "--table", "public.orders", "--where", "id <= 9", "--target-where", "id <= 7", code=3)
    assert "2 rows are equal on both sides, and inside the condition on one side only" in of(report, "orders")["reason"]


@pytest.mark.parametrize("words, says", [
    (("--where", "\"id\" > 0"), "--target-where"),
    (("--where", "id > 0", "--target-where", "1) OR (1"), "parenthesis"),
    (("--where", "id > 0", "--target-where", "1 /*!50000 ) OR (1 */"), "comment that MariaDB executes"),
    (("--where", "id > 0", "--target-where", "status = '\\') OR (1 = 1"), "quote"),
    (("--where", "id > 0", "--target-where", "id IN (SELECT 1 FOR UPDATE)"), "locks"),
    (("--where", "id > 0", "--target-where", "1; DROP TABLE orders"), "semicolon"),
    (("--where", "id > 0", "--target-where", "at > NOW()"), "clock")])
def test_refused(pipe, words, says):
    assert says in compare(pipe[0], "--table", "public.orders", *words, code=2)


def test_ranges_of_time(pipe):
    p, _ = pipe
    report = compare(p, "--table", "public.orders", "--since", "2026-01-01 02:00", "--until", "2026-01-01T04:00:00+00:00")
    assert of(report, "orders")["rows_source"] == of(report, "orders")["rows_target"] == 120
    report = compare(p, "--table", "public.orders", "--since", "2026-01-01T04:00:00+02:00", "--until", "2026-01-02 01:01", code=1)
    assert told(report) == [("orders", "changed", ("1500",), (("amount", "1500", "0"),))]


def test_kinds_of_keys(pipe):
    p, _ = pipe
    report = compare(p, "--table", "public.words", "--table", "public.mixed", "--compare.where=public.*=n % 3 = 0", "--compare.target_where=public.*=n % 3 = 0", code=1)
    for table in ("words", "mixed"):
        changed = [d for d in of(report, table)["differences"] if d["kind"] == "changed"]
        assert sorted(int(d["columns"][0]["source"]) for d in changed) == [3, 150, 300, 600], table
        missing = [d for d in of(report, table)["differences"] if d["kind"] == "missing"]
        assert [c["source"] for d in missing for c in d["columns"] if c["name"] == "n"] == ["303"], table
        assert len(of(report, table)["differences"]) == 5 and of(report, table)["rows_source"] == 300


def test_partitions(pipe):
    p, _ = pipe
    report = compare(p, "--partition", "public.*", code=1)
    assert {t["partition"].removeprefix("public."): (t["verdict"], t["rows_source"], t["rows_target"]) for t in report["tables"]} == {
        "log_1": ("PASS", 96, 96), "log_2": ("FAIL", 96, 96), "log_rest": ("PASS", 192, 192), "place_de": ("PASS", 200, 200),
        "place_fr_1": ("FAIL", 16, 15), "place_fr_2": ("PASS", 84, 84), "spread_0": ("INCONCLUSIVE", 0, 0)}
    assert told(report) == [("log", "changed", ("100", "2026-01-02 01:00:00"), (("v", "v100", "x"),)), ("place", "missing", ("2", "fr"), ())]
    assert "cannot be said to MariaDB" in of(report, "spread")["reason"]
    assert "TIMESTAMP '2026-01-02 00:00:00'" in next(t for t in report["tables"] if t["partition"] == "public.log_2")["where"]["target"]
