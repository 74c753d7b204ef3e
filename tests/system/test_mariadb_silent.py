"""What MariaDB changes without a word, on tables made by hand: it is refused or held as it is, never written changed."""

import pytest

from rig import Postgres, Workdir
from rig.mariadb import MariaDB
from rig.procs import halts
from test_mariadb import case


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("mariadb-silent") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        target.sql("SET GLOBAL sql_safe_updates = 1, sql_select_limit = 3, completion_type = 'RELEASE'")  # for all sessions
        yield folder, source, target


MOVES = """CREATE TABLE t (id int, at timestamptz, v text, PRIMARY KEY (id, at)); INSERT INTO t SELECT i, '2001-01-01Z', 'old' FROM generate_series(1, 9) i;
CREATE TABLE f (r real, d double precision, v text, PRIMARY KEY (r, d)); INSERT INTO f SELECT i / 3.0, i / 7.0, 'old' FROM generate_series(1, 9) i;
CREATE TABLE bare (r real, d double precision, v text); ALTER TABLE bare REPLICA IDENTITY FULL; INSERT INTO bare SELECT r, d, v FROM f;
CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int); INSERT INTO parent SELECT generate_series(1, 3); INSERT INTO child VALUES (1, 1), (2, 2), (3, 3)"""
MOVES_MARIADB = """CREATE TABLE t (at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), id int, v longtext, PRIMARY KEY (id, at));
CREATE TABLE f (r float, d double, v longtext, PRIMARY KEY (r, d));
CREATE TABLE bare (r float, d double, v longtext);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
"""


def test_keys_that_change_themselves_and_rows_that_are_found_by_numbers(servers):
    """A column of the key with ON UPDATE; keys that are floats; foreign keys that would cascade."""
    with case(servers, "moves", MOVES, MOVES_MARIADB) as s:
        s.start()
        s.source("UPDATE t SET v = 'new' WHERE id < 6", "BEGIN; DELETE FROM t WHERE id = 6; INSERT INTO t VALUES (6, '2001-01-01Z', 'new'); COMMIT",
                 "UPDATE t SET at = '2002-01-01Z' WHERE id = 7", "DELETE FROM t WHERE id = 8",
                 *(f"UPDATE {f} SET v = 'new' WHERE r < 1" for f in ("f", "bare")), *(f"DELETE FROM {f} WHERE r > 2" for f in ("f", "bare")),
                 "DELETE FROM parent WHERE id = 1", "UPDATE parent SET id = 20 WHERE id = 2", "TRUNCATE bare", "INSERT INTO bare SELECT r, d, v FROM f")
        s.pipeline.wait_caught_up()
        with s.server.connect(s.name) as connection, connection.cursor() as cursor:
            cursor.execute("SET sql_select_limit = 1000")
            for table, columns in (("t", "id, date_format(at, '%Y'), v"), ("child", "id, p"), ("parent", "id")):
                cursor.execute(f"SELECT {columns} FROM {table}")
                found = sorted(cursor.fetchall())
                expected = s.source_server.sql(f"SELECT {columns.replace('date_format', 'to_char').replace('%Y', 'YYYY')} FROM {table}", db=s.name)
                assert found == sorted(tuple(map(str, row)) for row in expected), table
            for table in ("f", "bare"):
                cursor.execute(f"SELECT v, count(*) FROM {table} GROUP BY v")
                assert sorted(cursor.fetchall()) == sorted((v, str(n)) for v, n in s.source_server.sql(f"SELECT v, count(*) FROM {table} GROUP BY v", db=s.name)), table


def test_null_is_not_now_and_no_number(servers):
    """NULL for a NOT NULL column is an error of the row, where the server would make the time or the next number of it."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n int); INSERT INTO t VALUES (1, '2001-01-01Z', 1)"
    target = "CREATE TABLE t (id int PRIMARY KEY, at timestamp(6) NOT NULL DEFAULT '2020-01-01', n int NOT NULL AUTO_INCREMENT, KEY (n));\n"
    with case(servers, "nulls", schema, target, {"apply": {"on_row_error": "dead_letter"}}) as s:
        s.start()
        s.source("INSERT INTO t VALUES (2, NULL, 2)", "INSERT INTO t VALUES (3, '2001-01-01Z', NULL)", "INSERT INTO t VALUES (4, '2001-01-01Z', 4)", "UPDATE t SET at = NULL WHERE id = 1")
        s.pipeline.wait_caught_up()
        assert s.target("SELECT id, at, n FROM t ORDER BY id") == (("1", "2001-01-01 00:00:00.000000", "1"), ("4", "2001-01-01 00:00:00.000000", "4"))
        assert s.target("SELECT key_shown, `sqlstate` FROM crossfade_dead_letter ORDER BY id") == (("id=2", "23502"), ("id=3", "23502"), ("id=1", "23502"))


def test_times_that_a_timestamp_does_not_hold(servers):
    schema = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz); INSERT INTO t VALUES (1, 'infinity'), (2, '-infinity')"
    with case(servers, "nearest_ts", schema, "CREATE TABLE t (id int PRIMARY KEY, at timestamp(3) NULL);\n", {"target": {"unfit": "nearest"}}) as s:
        s.start()
        s.source("INSERT INTO t VALUES (3, '1970-01-01Z'), (4, '9999-01-01Z')", "INSERT INTO t VALUES (5, '1970-01-01 00:00:00.5Z'), (6, '2038-01-19 03:14:07.999Z'), (7, '1950-06-01Z')")
        s.pipeline.wait_caught_up()
        late, early = "2038-01-19 03:14:07.999", "1970-01-01 00:00:01.000"
        assert [row[0] for row in s.target("SELECT at FROM t WHERE id < 4 ORDER BY id") + s.target("SELECT at FROM t WHERE id IN (4, 5, 6) ORDER BY id") + s.target("SELECT at FROM t WHERE id > 6")] == [
            late, early, early, late, "1970-01-01 00:00:00.500", late, early]


def test_columns_that_round_are_refused(servers):
    with case(servers, "rounds", "CREATE TABLE t (id int PRIMARY KEY, a float8); INSERT INTO t VALUES (1, 1.6)", "CREATE TABLE t (id int PRIMARY KEY, a double(10,0));\n") as s:
        s.capture.start()
        s.apply.start()
        halts(s.apply, 5, "table=public.t", "column a", "double(10,0)")
        s.server.sql("ALTER TABLE t MODIFY a double", db="rounds")
        s.start()
        assert s.target("SELECT a FROM t") == (("1.6",),)


def test_two_tables_of_the_source_are_not_one_on_the_target(servers):
    """public is the URL's database, and another schema may be called like it."""
    source = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE SCHEMA twins; CREATE TABLE twins.t (id int PRIMARY KEY, v text)"
    with case(servers, "twins", source, "CREATE TABLE t (id int PRIMARY KEY, v longtext);\n", {"source": {"tables": ["*.t"]}}) as s:
        s.start()
        s.source("INSERT INTO t VALUES (1, 'public')")
        s.pipeline.wait_caught_up()
        s.source("INSERT INTO twins.t VALUES (1, 'twins')")
        halts(s.apply, 5, "same table", "`twins`.`t`")
        assert s.target("SELECT v FROM t") == (("public",),)


def test_a_table_that_is_altered_meanwhile_is_looked_at_anew(servers):
    """The server would go on with statements that were prepared before: round, cut blanks off, run a trigger."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, n numeric(10,4), b varchar(10)); INSERT INTO t VALUES (1, 1.2345, 'a')"
    with case(servers, "altered", schema, "CREATE TABLE t (id int PRIMARY KEY, n decimal(10,4), b varchar(10));\n") as s:
        s.start()
        s.source("UPDATE t SET n = 1.4321", "BEGIN; DELETE FROM t; INSERT INTO t VALUES (1, 1.4321, 'b'); COMMIT")
        s.pipeline.wait_caught_up()
        for ddl, undo, words, code in (("ALTER TABLE t MODIFY n decimal(10,2)", "ALTER TABLE t MODIFY n decimal(10,4)", ("column=n", "22003"), 5),
                                       ("CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW SET NEW.b = 'trigger'", "DROP TRIGGER tr", ("trigger",), 5)):
            s.server.sql(ddl, db="altered")
            s.source("UPDATE t SET n = n + 0.0001")
            halts(s.apply, code, "table=public.t", *words)
            s.server.sql(undo, db="altered")
            s.apply.start()
            s.pipeline.wait_caught_up()
        assert s.target("SELECT n, b FROM t") == (("1.4323", "b"),)
