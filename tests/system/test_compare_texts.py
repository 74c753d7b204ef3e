"""compare.unicode, compare.text and compare.text_columns: texts that count as one where that was asked for, in values and in keys; and what is told where it was not."""

import contextlib
import itertools

import psycopg
import pytest

from rig import Pipeline, Postgres, Workdir, comparing
from rig.mariadb import MariaDB
from rig.scenario import scenario
from rig.wait import wait_until

COMPOSED, DOTS = "M\u00e4rz", "Ma\u0308rz"
ANGSTROMS = ("\u00c5", "\u212b", "A\u030a")  # one letter in three forms

# words: values. coded: the target's key ignores case and accents; composed: neither side's does. pair: a key of two columns. loose: the source's collation
# alone takes texts for one. keyless: no row has a partner
SOURCE = f"""CREATE TABLE words (id int PRIMARY KEY, v text COLLATE "C", w varchar(40), n int);
    CREATE TABLE coded (k varchar(40) COLLATE "C" PRIMARY KEY, v text, n int); CREATE TABLE composed (k varchar(40) COLLATE "C" PRIMARY KEY, n int);
    CREATE TABLE pair (a int, k varchar(40), v text, PRIMARY KEY (a, k));
    CREATE COLLATION relaxed (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
    CREATE TABLE loose (k varchar(40) COLLATE relaxed PRIMARY KEY, v text COLLATE relaxed);
    CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL;
    INSERT INTO words SELECT i, 'wort ' || i, '{COMPOSED}', i FROM generate_series(1, 3000) i; UPDATE words SET v = 'märz' WHERE id = 6;
    INSERT INTO coded SELECT 'kode ' || i, 'v', i FROM generate_series(1, 3000) i; INSERT INTO composed SELECT '{COMPOSED} ' || i, i FROM generate_series(1, 3000) i;
    INSERT INTO composed VALUES ('{ANGSTROMS[0]}', 9001);
    INSERT INTO pair SELECT i % 7, '{COMPOSED} ' || i, 'v' FROM generate_series(1, 500) i;
    INSERT INTO loose SELECT 'wort ' || i, 'wert ' || i FROM generate_series(1, 300) i; INSERT INTO keyless VALUES ('{COMPOSED}')"""
POSTGRES = """CREATE COLLATION relaxed (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
    CREATE TABLE words (id int PRIMARY KEY, v text COLLATE relaxed, w varchar(40), n int);
    CREATE TABLE coded (k varchar(40) COLLATE relaxed PRIMARY KEY, v text, n int); CREATE TABLE composed (k varchar(40) COLLATE "C" PRIMARY KEY, n int);
    CREATE TABLE pair (a int, k varchar(40), v text, PRIMARY KEY (a, k)); CREATE TABLE loose (k varchar(40) COLLATE "C" PRIMARY KEY, v text COLLATE "C"); CREATE TABLE keyless (v text)"""
CI, BIN = "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
MARIADB = f"""CREATE TABLE words (id int PRIMARY KEY, v longtext {CI}, w varchar(40), n int) {BIN}; CREATE TABLE coded (k varchar(40) PRIMARY KEY, v longtext, n int) {BIN};
    CREATE TABLE composed (k varchar(40) PRIMARY KEY, n int) {BIN}; CREATE TABLE pair (a int, k varchar(40), v longtext, PRIMARY KEY (a, k)) {BIN};
    CREATE TABLE loose (k varchar(40) PRIMARY KEY, v longtext) {BIN}; CREATE TABLE keyless (v longtext) {BIN}"""

# Texts that count as one, however many code points they have, or by the collation of v and of coded's k.
ALIKE = ("UPDATE words SET v = UPPER(v) WHERE id BETWEEN 10 AND 60", f"UPDATE words SET w = '{DOTS}' WHERE id BETWEEN 50 AND 100", "UPDATE words SET v = 'MA\u0308RZ' WHERE id = 6",
         "UPDATE coded SET k = UPPER(k) WHERE n <= 30", f"UPDATE composed SET k = REPLACE(k, '{COMPOSED}', '{DOTS}') WHERE n <= 20",
         f"UPDATE pair SET k = REPLACE(k, '{COMPOSED}', '{DOTS}') WHERE a = 3", "UPDATE loose SET k = UPPER(k), v = UPPER(v) WHERE k IN ('wort 7', 'wort 8')")
PAIRS = {"coded": 30, "composed": 20, "pair": 72, "loose": 2}
# …, and what differs all the same: statement → (table, kind, key, columns)
BEYOND = (("UPDATE words SET v = 'word 200' WHERE id = 200", [("words", "changed", "200", ["v"])]), ("UPDATE words SET w = 'MÄRZ' WHERE id = 201", [("words", "changed", "201", ["w"])]),
          ("UPDATE words SET n = 0, v = UPPER(v) WHERE id = 202", [("words", "changed", "202", ["n"])]),
          ("UPDATE coded SET n = 0 WHERE n = 5", [("coded", "changed", "kode 5", ["n"])]), ("DELETE FROM coded WHERE n = 6", [("coded", "missing", "kode 6", None)]),
          ("INSERT INTO coded VALUES ('KODE X', 'v', -1)", [("coded", "extra", "KODE X", None)]),
          ("UPDATE composed SET n = -1 WHERE n = 8", [("composed", "changed", f"{COMPOSED} 8", ["n"])]),
          # which of the two is the source's row cannot be told
          (f"UPDATE composed SET k = '{ANGSTROMS[1]}' WHERE n = 9001", [("composed", "missing", ANGSTROMS[0], None), ("composed", "extra", ANGSTROMS[1], None), ("composed", "extra", ANGSTROMS[2], None)]),
          (f"INSERT INTO composed VALUES ('{ANGSTROMS[2]}', 9001)", []))
_numbers = itertools.count(1)
ALL = {"unicode": "nfc", "text": "collation"}


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("texts") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@contextlib.contextmanager
def pipeline(servers, engine):
    """The pipeline, complete; a function that writes to the target as somebody else, and one that writes to the source."""
    folder, source, target = servers
    more = {"compare": {"deadline_ms": 120000}}
    if engine == "postgres":
        with scenario(folder, source, target, SOURCE, target_schema=POSTGRES, more=more) as s:
            s.start(timeout=240)
            yield s.pipeline, lambda sql: s.target(f"SET session_replication_role = replica; {sql}"), s.source
        return
    name = f"texts{next(_numbers)}"
    shop = source.create_db(name)

    def write(sql):
        with psycopg.connect(shop, autocommit=True) as connection:
            connection.execute(sql)
    write(SOURCE)
    with MariaDB(folder, name) as maria:
        copy = maria.create_db(name)
        maria.script(MARIADB.replace("; ", ";\n"), name)
        with Pipeline(folder, shop, copy, name=name, tables=["public.*"], more=more) as p:
            p.start()
            p.apply.wait_for(lambda status: status.get("complete"), 240, "the copy is complete")
            maria.sql(f"ALTER TABLE coded MODIFY k varchar(40) {CI}", db=name)  # apply would not have begun with such a key; it has no more to write there
            young = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND CREATE_TIME >= SYSDATE() - INTERVAL 3 SECOND"
            wait_until(lambda: not maria.sql(young, db=name), 60, "nothing is kept of tables that are younger than 2 s")
            yield p, lambda sql: maria.sql(sql, db=name), write


def tables(report):
    return {t["table"]: t for t in report["tables"]}


def configure(p, **settings):
    p.settings["compare"] = {"deadline_ms": 120000, **settings}
    p.write()


def found(report):
    return sorted((t["table"], d["kind"], str(d["key"].get("k", d["key"].get("id"))), sorted(c["name"] for c in d["columns"]) if d["kind"] == "changed" else None)
                  for t in report["tables"] for d in t["differences"])


def kinds(table):
    return {kind: sum(d["kind"] == kind for d in table["differences"]) for kind in ("missing", "extra", "changed")}


def rule(table, column):
    return next(r["rule"] for r in table["rules"] if r["column"] == column)


def expect_told_apart(report):
    """Every text counts, and the report says which rows only look apart."""
    found_tables = tables(report)
    assert kinds(found_tables["words"]) == {"missing": 0, "extra": 0, "changed": 92}
    for name, count in PAIRS.items():
        table = found_tables[name]
        assert kinds(table) == {"missing": count, "extra": count, "changed": 0}, name
        assert any(note.startswith(f"{count} of the missing rows stand on the target under a key that differs in case") for note in table["notes"]), table["notes"]
        assert {d["cause"]["kind"] for d in table["differences"]} == {"collation"}, name
    assert "told apart" in rule(found_tables["words"], "v") and "told apart" in rule(found_tables["coded"], "k")
    assert not any(word in rule(found_tables["words"], "w") for word in ("count as equal", "told apart")), "its collation tells all texts apart"


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_texts_that_count_as_one(servers, engine):
    with pipeline(servers, engine) as (p, rogue, source):
        assert comparing.compare(p)["verdict"] == "PASS"
        for sql in ALIKE:
            rogue(sql)
        expect_told_apart(comparing.compare(p, code=1))

        configure(p, **ALL)
        report = comparing.compare(p)
        assert report["verdict"] == "PASS"
        notes = {name: " ".join(t["notes"]) for name, t in tables(report).items()}
        assert "92 rows are not equal, but count as such" in notes["words"] and "no row has a partner" in notes["keyless"], notes
        for name, count in PAIRS.items():
            assert f"{count} rows are not equal, but count as such" in notes[name], notes
        words = tables(report)["words"]
        assert "same NFC count as equal" in rule(words, "v") and "same NFC count as equal" in rule(words, "w")
        assert "of the target count as equal" in rule(words, "v") and "of the source count as equal" in rule(tables(report)["loose"], "k")

        # what is built on holds; keys of two texts are not looked up by one
        source("UPDATE composed SET n = n WHERE n = 30")
        source("UPDATE words SET n = n WHERE id = 7")
        p.wait_caught_up()
        report = tables(comparing.compare(p, "--changed"))
        assert report["words"]["built_on"] is not None, report["words"]["notes"]
        assert report["words"]["built_on"]["read"] == "changed" and report["composed"]["verdict"] == "PASS" and not report["composed"].get("built_on"), report["composed"]

        for sql, _ in BEYOND:
            rogue(sql)
        report = comparing.compare(p, code=1)
        assert found(report) == sorted(what for _, some in BEYOND for what in some)
        repair = {t["table"]: t for t in comparing.repair(p, "--through-journal", code=1)["tables"]}
        assert "compare.text: exact" in repair["coded"]["refused"] and not repair["words"].get("refused")


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_by_column(servers, engine):
    with pipeline(servers, engine) as (p, rogue, _):
        for sql in ALIKE:
            rogue(sql)
        configure(p, text_columns={"public.words.*": "nfc collation", "k": "nfc", "public.coded.k": "collation", "public.loose.*": "collation, as_is"})
        assert comparing.compare(p)["verdict"] == "PASS"
        # a collation that tells all texts apart makes none equal; the last rule that fits counts
        configure(p, text_columns={"public.words.w": "nfc", "public.coded.k": "nfc", "public.composed.k": "collation"}, text="collation")
        report = comparing.compare(p, "--table", "public.words", "--table", "public.coded", "--table", "public.composed", code=1)
        assert {name: t["verdict"] for name, t in tables(report).items()} == {"words": "PASS", "coded": "PASS", "composed": "FAIL"}
        configure(p, text_columns={"*": "nfc", "public.words.*": "as_is"}, text="collation")
        report = tables(comparing.compare(p, code=1))
        assert report["words"]["verdict"] == "FAIL" and all(report[name]["verdict"] == "PASS" for name in PAIRS)
        for text_columns, words in (({"public.words.v": "loose"}, "expected schema.table.column: exact or collation"), ({"public.words.v": "exact collation"}, "expected schema.table.column"),
                                    ({"public.nowhere.v": "nfc"}, "the source has no text column public.nowhere.v"), ({"public.words.n": "nfc"}, "the source has no text column"),
                                    ({"words.v": "nfc"}, "expected schema.table.column or a column")):
            configure(p, text_columns=text_columns)
            done = p.run("compare", "run")
            assert done.returncode == 2 and words in done.stderr, done.stderr


def test_what_a_character_set_lost(servers):
    """MariaDB puts question marks in the place of what latin1 does not hold: no collation makes them equal to it."""
    folder, source, _ = servers
    shop = source.create_db("narrow")
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("CREATE TABLE narrow (id int PRIMARY KEY, v varchar(20)); INSERT INTO narrow VALUES (1, 'ж'), (2, 'Wort'), (3, 'Größe')")
    with MariaDB(folder, "narrow") as maria:
        copy = maria.create_db("narrow")
        maria.script(f"CREATE TABLE narrow (id int PRIMARY KEY, v varchar(20)) {CI}", "narrow")
        with Pipeline(folder, shop, copy, name="narrow", tables=["public.*"], more={"compare": {"deadline_ms": 120000, "text": "collation"}}) as p:
            p.start()
            p.apply.wait_for(lambda status: status.get("complete"), 240, "the copy is complete")
            with maria.connect("narrow") as connection, connection.cursor() as cursor:
                for sql in ("SET sql_mode = ''", "ALTER TABLE narrow MODIFY v varchar(20) CHARACTER SET latin1 COLLATE latin1_german1_ci", "UPDATE narrow SET v = UPPER(v) WHERE id > 1"):
                    cursor.execute(sql)
            report = comparing.compare(p, code=1)
            assert found(report) == [("narrow", "changed", "1", ["v"])] and "1 rows are not equal, but count as such" not in str(tables(report)["narrow"]["notes"])
            assert "2 rows are not equal, but count as such" in " ".join(tables(report)["narrow"]["notes"])


def test_many_keys(servers):
    """More pairs than a comparison lists differences; and more than are kept."""
    folder, source, target = servers
    tables_sql = f"""CREATE TABLE many (k text COLLATE "C" PRIMARY KEY, n int); INSERT INTO many SELECT '{COMPOSED} ' || i, i FROM generate_series(1, 3000) i;
        CREATE TABLE long (k text COLLATE "C" PRIMARY KEY, n int); INSERT INTO long SELECT '{COMPOSED}' || repeat('x', 1900) || i, i FROM generate_series(1, 700) i"""
    with scenario(folder, source, target, tables_sql, more={"compare": {"deadline_ms": 120000, "unicode": "nfc"}}) as s:
        s.start(timeout=240)
        s.target("SET session_replication_role = replica", *(f"UPDATE {name} SET k = replace(k, '{COMPOSED}', '{DOTS}')" for name in ("many", "long")))
        report = tables(comparing.compare(s.pipeline, code=1))
        assert report["many"]["verdict"] == "PASS" and "3000 rows are not equal, but count as such" in " ".join(report["many"]["notes"])
        notes = " ".join(report["long"]["notes"])
        assert report["long"]["verdict"] == "FAIL" and "keys are on one side only: those beyond are told as missing and extra" in notes and kinds(report["long"])["changed"] == 0, notes


def test_citext(servers):
    """A type that ignores case, whose operators a comparison does not find (they may be in any schema): compared as its functions do it."""
    folder, source, target = servers
    tables_sql = "CREATE TABLE cited (k citext PRIMARY KEY, v citext, n int); INSERT INTO cited SELECT 'kode ' || i, 'wert ' || i, i FROM generate_series(1, 500) i"
    with scenario(folder, source, target, tables_sql, more={"compare": {"deadline_ms": 120000}}, extensions=["citext"]) as s:
        s.start(timeout=240)
        s.target("SET session_replication_role = replica; UPDATE cited SET k = upper(k::text) WHERE n <= 3; UPDATE cited SET v = upper(v::text) WHERE n BETWEEN 3 AND 5")
        report = comparing.compare(s.pipeline, code=1)
        assert found(report) == sorted([("cited", "changed", f"kode {n}", ["v"]) for n in (4, 5)] +
                                       [("cited", kind, f"{word} {n}", None) for kind, word in (("missing", "kode"), ("extra", "KODE")) for n in (1, 2, 3)])
        assert any(note.startswith("3 of the missing rows stand on the target under a key") for note in report["tables"][0]["notes"])
        configure(s.pipeline, text="collation")
        report = tables(comparing.compare(s.pipeline))["cited"]
        assert "5 rows are not equal, but count as such" in " ".join(report["notes"]) and "equal by public.citext of the target" in rule(report, "v")
        # two rows that citext takes for one are not made of it: the source has a row more
        s.target("SET session_replication_role = replica; DELETE FROM cited WHERE n = 1; UPDATE cited SET v = 'other' WHERE n = 2")
        assert found(comparing.compare(s.pipeline, code=1)) == [("cited", "changed", "kode 2", ["v"]), ("cited", "missing", "kode 1", None)]
