"""crossfade schema: a target made from the source's catalog, on PostgreSQL 17 and on MariaDB; twice, killed, refused."""

import html.parser
import json
import os
import re
import stat

import psycopg
import pymysql
import pytest

from rig import Pipeline, Postgres, Workdir
from rig.json_schema import check_schema
from rig.mariadb import MariaDB
from rig.postgres import run_psql
from rig.privileges import OWNER
from rig.scenario import count, drop_database

HERE = os.path.dirname(__file__)
EVERYTHING = os.path.join(HERE, "data", "everything.sql")
PLAN_SCHEMA = os.path.join(HERE, "..", "..", "schemas", "schema-plan.schema.json")
ALL = ("public.*", "My Schema.*", "other.*")
DOUBLED = {"public.orders.doubled": "int generated always as (quantity * 2) stored"}

# What makes up a database, as text that two major versions print alike.
CATALOG = """
SELECT 'column', attrelid::regclass::text || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity,
    attgenerated, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
    LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum WHERE relkind IN ('r', 'p', 'v', 'm') AND attnum > 0 AND NOT attisdropped AND ours(relnamespace)
UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) || convalidated FROM pg_constraint WHERE contype <> 'n' AND ours(connamespace)
UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) || indisvalid || coalesce(obj_description(indexrelid, 'pg_class'), '')
    FROM pg_index JOIN pg_class ON oid = indrelid WHERE relkind <> 't' AND ours(relnamespace)
UNION ALL SELECT 'relation', oid::regclass::text, concat_ws(' ', relkind, relrowsecurity, relispartition, relacl::text, pg_get_expr(relpartbound, oid), obj_description(oid, 'pg_class'))
    FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND ours(relnamespace)
UNION ALL SELECT 'function', oid::regprocedure::text, CASE prokind WHEN 'a' THEN '' ELSE pg_get_functiondef(oid) END FROM pg_proc WHERE ours(pronamespace)
UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'enum', enumtypid::regtype::text, string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum GROUP BY enumtypid
UNION ALL SELECT 'domain', oid::regtype::text, concat_ws(' ', format_type(typbasetype, typtypmod), typnotnull, typdefault) FROM pg_type WHERE typtype = 'd' AND ours(typnamespace)
UNION ALL SELECT 'policy', polrelid::regclass || '.' || polname, pg_get_expr(polqual, polrelid) FROM pg_policy
UNION ALL SELECT 'statistics', stxname, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
UNION ALL SELECT 'rule', ev_class::regclass || '.' || rulename, '' FROM pg_rewrite JOIN pg_class c ON c.oid = ev_class WHERE ours(relnamespace)
UNION ALL SELECT 'extension', extname, '' FROM pg_extension
UNION ALL SELECT 'acl', attrelid::regclass || '.' || attname, attacl::text FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid > 16384
UNION ALL SELECT 'default acl', defaclnamespace::regnamespace::text, defaclacl::text FROM pg_default_acl
UNION ALL SELECT 'sequence', seqrelid::regclass::text, concat_ws(' ', seqstart, seqincrement, seqcache) FROM pg_sequence"""
OURS = """CREATE FUNCTION pg_temp.ours(oid) RETURNS boolean LANGUAGE sql AS $$ SELECT $1::regnamespace::text NOT IN
    ('pg_catalog', 'information_schema', 'crossfade') AND $1::regnamespace::text !~ '^pg_' $$"""


def catalog(url, without=()):
    with psycopg.connect(url) as connection:
        connection.execute(OURS)
        connection.execute("SET search_path = pg_catalog")
        rows = connection.execute(CATALOG.replace("ours(", "pg_temp.ours(")).fetchall()
    rows = [(kind, name, text and rights_of_others(text)) for kind, name, text in rows]
    return {(kind, name): text for kind, name, text in rows if kind not in without and "crossfade" not in name and (text or kind not in ("acl", "default acl"))}


def rights_of_others(text):
    """The roles of Crossfade have other rights on either side, and what the owner has is said only where somebody else has some. MAINTAIN: from 17 on."""
    text = re.sub(rf"(?<=[{{,])(?:crossfade_\w+|{OWNER}|postgres)=[^,}}]*,?", "", text.replace("arwdDxtm", "arwdDxt"))
    return text.replace(",}", "}").replace(" {}", "").replace("{}", "")


def assert_same_catalog(source, target, without=()):
    want, have = catalog(source, without), catalog(target, without)
    assert {k: (v, have.get(k)) for k, v in want.items() if have.get(k) != v} == {}
    assert set(have) - set(want) == set()


class Balanced(html.parser.HTMLParser):
    """Every tag is closed, by itself and in order."""

    VOID = {"meta", "input", "br", "link", "rect"}

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> inside {self.open}"
        self.open.pop()


def make(p, *words, code=0, failpoint=None):
    p.env = {"CROSSFADE_FAILPOINT": failpoint} if failpoint else None
    done = p.run("schema", "create", "--execute", *words, timeout=200)
    p.env = None
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    return done


def on_target(p, sql):
    """As the role that `schema create` comes as."""
    run_psql(p.target_url, "-c", f"SET ROLE {OWNER}; {sql}" if p.roles else sql)


def made(p, *words, code=0):
    return json.loads(make(p, "--json", *words, code=code).stdout)


@pytest.fixture(name="folder", scope="module")
def fixture_folder():
    with Workdir("schema") as folder:
        yield folder


@pytest.fixture(name="source", scope="module")
def fixture_source(folder):
    with Postgres(folder, "source") as server:
        yield server


@pytest.fixture(name="target", scope="module")
def fixture_target(folder):
    with Postgres(folder, "target", major=17) as server:
        yield server


@pytest.fixture(name="mariadb", scope="module")
def fixture_mariadb(folder):
    with MariaDB(folder, "mariadb", settings={"sql-mode": "STRICT_TRANS_TABLES"}) as server:
        yield server


@pytest.fixture(name="pair")
def fixture_pair(folder, source, target, request):
    """pair(sql or None for everything.sql, tables=…, more=…): a pipeline between two fresh databases of the test's name."""
    pipelines = []
    name = re.sub("[^a-z0-9]+", "_", request.node.name)[5:33]

    def begin(sql=None, tables=ALL, more=None):
        source_url, target_url = source.create_db(name), target.create_db(name)
        run_psql(source_url, *(("-c", sql) if sql else ("-f", EVERYTHING)))
        pipelines.append(Pipeline(folder, source_url, target_url, name=name, tables=tables, more=more))
        return pipelines[0]
    yield begin
    for p in pipelines:
        p.close()
        p.assert_clean()
        source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", (name,))
    for server in (source, target):
        server.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


ROWS = """INSERT INTO public.customers (email, name, balance, note) SELECT 'c' || i || '@x', 'n' || i, i, 'a note ' || i FROM generate_series(1, 50) i;
    INSERT INTO public.orders (customer_id, parent_id, state, unit_price) SELECT i, NULL, 'new', i FROM generate_series(1, 50) i;
    INSERT INTO public.events SELECT i, date '2024-01-01' + i * 20, 'x' FROM generate_series(1, 30) i;
    INSERT INTO "My Schema"."select" VALUES (1, 'a', 'b ', 3), (2, 'a ', NULL, NULL); INSERT INTO public.unlucky VALUES (1), (5);
    INSERT INTO public.every_type (id, b, n, m, j, x, bi, vb, ip, p, tv, ia, ta, r, mr, fr, co, hs, e) VALUES (1, true, 1.5, 2.5, '[1]', '<a/>', '101',
    '01', '10.0.0.1/8', '(1,2)', 'a b', '{1,NULL}', '{"x y"}', '[1,5)', '{[1,2),[5,9)}', '[1.5,2.5)', '(1,"a b")', 'a=>b', 'sad')"""


def test_everything_and_its_rows(pair):
    """PostgreSQL 15 → 17: the same catalog, nothing to do the second time, and rows flow into it."""
    p = pair()
    told = p.run("schema", "create")
    assert told.returncode == 0 and "CREATE TABLE public.customers" in told.stdout and catalog(p.target_url, ("extension", )) == {}
    assert made(p)["made"] > 50
    assert_same_catalog(p.source_url, p.target_url)
    again = made(p)
    assert (again["made"], again["differ"]) == (0, 0) and again["there"] > 50
    run_psql(p.source_url, "-c", ROWS)
    p.start()
    p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
    run_psql(p.source_url, "-c", "UPDATE orders SET state = 'paid' WHERE id % 2 = 0; DELETE FROM customers WHERE id = 7; UPDATE events SET day = day + 400")
    p.wait_caught_up()
    report = p.run("compare", "run", "--json", timeout=180)
    verdicts = {t["table"]: (t["verdict"], t["reason"]) for t in json.loads(report.stdout)["tables"]}
    assert {v[0] for v in verdicts.values()} == {"PASS"}, verdicts
    with psycopg.connect(p.target_url) as connection:
        assert connection.execute("SELECT count(*) FROM orders WHERE doubled = quantity * 2").fetchone()[0] == 49


def test_indexes_after_the_copy(pair, target):
    """Keys first; the others on several connections once the rows are there, and foreign keys proven."""
    p = pair(more={"schema": {"indexes": "after_snapshot", "workers": 3}})
    make(p)
    before = catalog(p.target_url)
    assert ("index", "public.customers_name") not in before and ("index", "public.customers_pkey") in before
    assert ("constraint", "public.orders.orders_customer_id_fkey") not in before
    assert ("index", "public.events_2024_pkey") in before and before[("index", "public.events_pkey")].endswith("true")
    run_psql(p.source_url, "-c", ROWS)
    p.start()
    p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
    assert p.apply.terminate() == 0  # its next commit would write the position again
    target.sql("UPDATE crossfade.position SET complete = false WHERE pipeline = %s", (p.name,), db=p.name)
    assert "the copy is not complete" in make(p, "--indexes", code=1).stderr
    target.sql("UPDATE crossfade.position SET complete = true WHERE pipeline = %s", (p.name,), db=p.name)
    p.apply.start()
    make(p, "--indexes", failpoint="schema.after_step:3", code=-9)
    make(p, "--indexes")
    assert_same_catalog(p.source_url, p.target_url)
    assert made(p, "--indexes")["made"] == 0 and made(p)["made"] == 0


@pytest.mark.parametrize("step", count([40], [1, 17, 40, 60]))
def test_killed_in_the_middle(pair, step):
    p = pair()
    make(p, failpoint=f"schema.after_step:{step}", code=-9)
    done = made(p)
    assert done["there"] >= step and done["made"] > 20
    assert_same_catalog(p.source_url, p.target_url)


def test_what_is_there(pair):
    """Equal things are left alone; when others are there, all are named and nothing is made."""
    p = pair("CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v text); CREATE VIEW v AS SELECT id FROM a;"
             "CREATE TYPE mood AS ENUM ('x'); CREATE INDEX b_v ON b (v)")
    on_target(p, "CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int PRIMARY KEY, v varchar); CREATE TYPE mood AS ENUM ('y')")
    refused = make(p, code=1)
    assert "differs: table public.b" in refused.stdout and "differs: type public.mood" in refused.stdout and "table public.a" not in refused.stdout
    assert ("relation", "public.v") not in catalog(p.target_url)
    on_target(p, "DROP TABLE b; DROP TYPE mood")
    assert made(p)["there"] == 2  # a and its key
    assert_same_catalog(p.source_url, p.target_url)


def test_parts_of_a_database(pair):
    """Tables and columns that stay behind, with what needs them; columns under other names."""
    p = pair("""CREATE TABLE a (id int PRIMARY KEY, secret text, mail text, keep int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
        CREATE TABLE c (id int PRIMARY KEY, b int REFERENCES b); CREATE INDEX a_secret ON a (secret); CREATE INDEX a_mail ON a (mail);
        CREATE VIEW of_secret AS SELECT secret FROM a; CREATE VIEW of_view AS SELECT * FROM of_secret; CREATE VIEW fine AS SELECT mail FROM a;
        COMMENT ON COLUMN a.secret IS 'none'; COMMENT ON TABLE c IS 'not here'; CREATE TABLE p (id int, s text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE INDEX p_s ON p (s); GRANT SELECT ON c TO PUBLIC;""",
             tables=["public.*", "!public.b"],
             more={"source": {"filters": [{"table": "public.a", "columns": ["!secret"], "rename": {"mail": "e_mail"}}, {"table": "public.p", "columns": ["!s"]}]}})
    make(p)
    have = catalog(p.target_url)
    columns = {name for kind, name in have if kind == "column"}
    assert columns == {"public.a.id", "public.a.e_mail", "public.a.keep", "public.c.id", "public.c.b", "public.p.id", "public.p1.id", "public.fine.mail"}
    assert {name for kind, name in have if kind == "index"} == {"public.a_pkey", "public.a_mail", "public.c_pkey", "public.p_pkey", "public.p1_pkey"}
    plan = json.loads(p.run("schema", "plan", "--format", "json").stdout)
    left_out = {item["name"] for item in plan["items"] if item["state"] == "left out"}
    assert {"public.of_secret", "public.of_view", "public.a_secret", "public.c c_b_fkey"} <= left_out
    assert made(p)["made"] == 0
    run_psql(p.source_url, "-c", "INSERT INTO a VALUES (1, 's', 'm', 2); INSERT INTO p VALUES (1, 's')")
    p.start()
    p.apply.wait_for(lambda status: status.get("complete"), 120, "the copy is complete")
    with psycopg.connect(p.target_url) as connection:
        assert connection.execute("SELECT id, e_mail, keep FROM a").fetchall() == [(1, "m", 2)]


def test_what_is_not_the_applications(pair):
    """Rights on the server's own functions, as docs/PRIVILEGES.md gives them for a way back, and a cutover's triggers: told, not carried."""
    p = pair("""CREATE TABLE a (id int PRIMARY KEY); CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER crossfade_freeze BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION nothing(); CREATE TRIGGER own BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION nothing();
        GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) TO PUBLIC""")
    plan = json.loads(p.run("schema", "plan", "--format", "json").stdout)
    left_out = {(item["kind"], item["name"]) for item in plan["items"] if item["state"] == "left out"}
    assert ("trigger", "public.a crossfade_freeze") in left_out and any(kind == "acl" and "pg_replication_origin_session_setup" in name for kind, name in left_out), left_out
    make(p)
    with psycopg.connect(p.target_url) as connection:
        assert connection.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal").fetchall() == [("own",)]
        assert connection.execute("SELECT has_function_privilege('public', 'pg_replication_origin_session_setup(text)', 'EXECUTE')").fetchone() == (False,)


def test_roles_and_extensions(pair, source, folder):
    """Roles and extensions that the target does not have: told, and asked about where it would change something."""
    for role in ("owner_here", "reader_here"):
        source.sql(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role}")
    p = pair("""CREATE TABLE a (id int PRIMARY KEY, t text); ALTER TABLE a OWNER TO owner_here; GRANT SELECT ON a TO reader_here, PUBLIC;
        CREATE POLICY only_reader ON a TO reader_here USING (true); CREATE EXTENSION ltree; CREATE TABLE tree (id int PRIMARY KEY, l ltree, v int)""",
             more={"schema": {"pg_dump": os.path.join(folder, "dump-that-tells")}})
    argv = os.path.join(str(folder), "argv")
    with open(os.path.join(str(folder), "dump-that-tells"), "w") as f:
        f.write(f'#!/bin/sh\necho "$@" >>{argv}\nexec pg_dump "$@"\n')
        os.fchmod(f.fileno(), stat.S_IRWXU)
    p.settings["source"]["url"] = p.settings["source"]["url"].replace("@", ":not-for-eyes@")
    p.write()
    refused = make(p, code=1)
    assert "policy public.a only_reader" in refused.stdout and 'schema: {exclude: ["policy public.a only_reader"]}' in refused.stdout
    p.settings["schema"]["exclude"] = ["policy *", "extension ltree"]
    p.write()
    refused = make(p, code=1)  # the column needs the extension
    assert "decide: column public.tree.l" in refused.stdout and '"!public.tree"' in refused.stdout
    p.settings["source"]["tables"].append("!public.tree")
    p.write()
    make(p)
    have = catalog(p.target_url)
    assert "=r/" in have[("relation", "public.a")] and "reader_here" not in have[("relation", "public.a")] and ("column", "public.tree.l") not in have
    with open(argv) as f:
        assert "not-for-eyes" not in f.read()


def test_versions_of_pg_dump(folder, target):
    url = target.create_db("newer")
    done = Pipeline(folder, url, url, name="newer", more={"schema": {"pg_dump": "/usr/bin/pg_dump"}}).run("schema", "plan")
    assert done.returncode == 2 and "cannot read PostgreSQL 17" in done.stderr


@pytest.fixture(name="to_mariadb")
def fixture_to_mariadb(folder, source, mariadb, request):
    name = "m_" + re.sub("[^a-z0-9]+", "_", request.node.name)[5:29]
    pipelines = []

    def begin(sql=None, tables=ALL, types=None, more=None):
        source_url = source.create_db(name)
        run_psql(source_url, *(("-c", sql) if sql else ("-f", EVERYTHING)))
        more = dict(more or {}, **({"types": types} if types else {}))
        url = mariadb.create_db(name)
        for schema in ("other", "My Schema"):  # of the source: they want databases of their own
            mariadb.grant(schema)
        pipelines.append(Pipeline(folder, source_url, url, name=name, tables=tables, more=more))
        return pipelines[0]
    yield begin
    for p in pipelines:
        p.close()
        p.assert_clean()
    drop_database(source, name)
    for database in (name, "other", "My Schema"):
        mariadb.sql(f"DROP DATABASE IF EXISTS `{database}`")


def test_everything_on_mariadb(to_mariadb, mariadb, folder):
    p = to_mariadb()
    refused = make(p, code=1)
    assert "decide: column public.orders.doubled" in refused.stdout and 'types: {"public.orders.doubled": "-"}' in refused.stdout
    p.settings["types"] = DOUBLED
    p.write()
    make(p, failpoint="schema.after_step:9", code=-9)
    assert made(p)["there"] == 9
    again = made(p)
    assert again["made"] == 0 and again["differ"] == 0
    types = dict((f"{t}.{c}", k) for t, c, k in mariadb.sql(f"""SELECT table_name, column_name, column_type FROM information_schema.columns WHERE table_schema IN ('{p.name}', 'other', 'My Schema')"""))
    want = {"customers.id": "bigint(20)", "customers.email": "varchar(200)", "customers.active": "tinyint(1)", "customers.balance": "decimal(12,2)",
            "customers.made": "datetime(6)", "every_type.u": "uuid", "every_type.by": "longblob", "every_type.ia": "longtext", "every_type.tsz": "datetime(3)",
            "orders.doubled": "int(11)", "customers.feeling": "enum('sad','ok','it''s \"fine\"','back\\\\slash')", "every_type.o": "bigint(20)"}
    assert {k: types.get(k) for k in want} == want
    db = p.name
    assert mariadb.value("SELECT count(*) FROM information_schema.columns WHERE collation_name NOT IN ('utf8mb4_nopad_bin', 'utf8mb4_bin') AND table_schema = '%s'" % db) == "0"
    # Blanks and case count, defaults and checks hold, numbers go on, references are kept.
    mariadb.sql("INSERT INTO customers (email) VALUES ('a'), ('a '), ('A')", db=db)
    assert mariadb.sql("SELECT id, feeling, active, balance, settings, timestampdiff(SECOND, made, utc_timestamp()) < 60 FROM customers WHERE email = 'a '", db=db) == \
        (("2", "ok", "1", "-1.50", "{}", "1"), )
    for bad in ("INSERT INTO customers (email, balance) VALUES ('b', 2000000)", "INSERT INTO customers (email, name) VALUES ('c', 'nobody')",
                "INSERT INTO orders (customer_id) VALUES (99)", "INSERT INTO orders (customer_id, state) VALUES (1, 'lost')"):
        with pytest.raises(pymysql.err.MySQLError):
            mariadb.sql(bad, db=db)
    assert mariadb.value("SELECT comment FROM (SELECT table_comment AS comment FROM information_schema.tables WHERE table_schema = '%s' AND table_name = 'customers') t" % db) == "who buys; it's \"them\" \\ all"
    # Something else under the name is refused.
    mariadb.script("ALTER TABLE orders MODIFY state varchar(10) NOT NULL;\nDROP INDEX customers_born_active ON customers;\n"
                   "CREATE INDEX customers_born_active ON customers (active)", db)
    differs = make(p, code=1).stdout
    assert "differs: table public.orders" in differs and "differs: index customers_born_active" in differs


def test_decisions_for_mariadb(to_mariadb, mariadb):
    """Nothing is guessed: each open question has its line, and with the answers it is made."""
    p = to_mariadb("""CREATE TABLE n (id int PRIMARY KEY, amount numeric, huge numeric(100,2)); CREATE TABLE k (code text PRIMARY KEY);
        CREATE TABLE r (id int PRIMARY KEY, code text REFERENCES k, "Id" int); CREATE TYPE t AS ENUM ('a ', 'a'); CREATE TABLE e (id int PRIMARY KEY, t t);
        CREATE TABLE wide (id int PRIMARY KEY, a varchar(9000), b varchar(9000), c varchar(100))""", tables=["public.*"], types={"public.n.amont": "int"})
    text = make(p, code=1).stdout
    for words in ("column public.n.amount", 'types: {"public.n.amount": "decimal(38,10)"}', "column public.n.huge", "column public.k.code",
                  'types: {"public.k.code": "varchar(255)"}', 'column public.r."Id"'.replace('"', ""), "rename", "column public.e.t", "types: public.n.amont"):
        assert words in text, words
    assert mariadb.sql(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{p.name}'") == ()
    p.settings["types"] = {"public.n.amount": "decimal(38,10)", "public.n.huge": "-", "public.k.code": "varchar(255)", "public.e.t": "varchar(2)"}
    p.settings["source"]["filters"] = [{"table": "public.r", "rename": {"Id": "id_2"}}]
    p.write()
    make(p)
    assert mariadb.sql("SELECT column_name, column_type FROM information_schema.columns WHERE table_schema = '%s' AND table_name IN ('n', 'r', 'wide') ORDER BY table_name, ordinal_position" % p.name) == \
        (("id", "int(11)"), ("amount", "decimal(38,10)"), ("id", "int(11)"), ("code", "varchar(255)"), ("id_2", "int(11)"),
         ("id", "int(11)"), ("a", "longtext"), ("b", "varchar(9000)"), ("c", "varchar(100)"))
    assert made(p)["made"] == 0
    mariadb.sql("SET GLOBAL sql_mode = ''")
    try:
        assert "strict" in make(p, code=1).stderr
    finally:
        mariadb.sql("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES'")


@pytest.mark.parametrize("where", ["postgresql", "mariadb"])
def test_plan_documents(pair, to_mariadb, folder, where):
    p = pair() if where == "postgresql" else to_mariadb()
    plan = json.loads(p.run("schema", "plan", "--json").stdout)
    with open(PLAN_SCHEMA) as f:
        check_schema(json.load(f), plan)
    assert plan["dialect"] == where and plan["summary"]["tables"] == 7 and len(plan["tables"]) == 7
    path = os.path.join(str(folder), "plan.html")
    assert p.run("schema", "plan", "--format", "html", "-o", path).stdout == ""
    parser = Balanced()
    with open(path) as f:
        page = f.read()
    parser.feed(page)
    assert parser.open == [] and "it's" not in page and "it&#39;s &quot;quoted&quot;" in page and "<script" not in page
    text = p.run("schema", "plan").stdout
    assert text.startswith("# Schema plan of") and "### public.customers" in text
    assert p.run("schema", "plan", "--format", "pdf").returncode == 2
    if where == "mariadb":
        reported = {(i["kind"], i["name"]) for i in plan["items"] if i["state"] == "reported"}
        assert {("view", "public.rich"), ("extension", "hstore"), ("trigger", "shouting on public.customers"), ("policy", "everyone on public.customers"),
                ("function", "public.shout()"), ("index", "customers_settings on public.customers"), ("check", "mail_has_at on public.customers")} <= reported
        assert [i["configuration"] for i in plan["items"] if i["state"] == "decide"] == ['types: {"public.orders.doubled": "-"}']
