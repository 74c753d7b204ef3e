"""The roles of docs/PRIVILEGES.md, made by the scripts of deploy/sql, whose text stands there: what the page says is what the tests run with."""

import json
import os
import re
import subprocess

import psycopg

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SCRIPTS = os.path.join(ROOT, "deploy", "sql")
OWNER = "shop_owner"  # of the application's tables; what a scenario's source() comes as
CAPTURE, APPLY, COMPARE, CUTOVER = "crossfade_capture", "crossfade_apply", "crossfade_compare", "crossfade_cutover"

# The switch: the modules whose pipelines come as a superuser, and why. All others, and new ones, come as the roles. CF_ROLES=all: these, too.
_SUPERUSERS_WORK = "what schema create makes there only a superuser may: settings that the server does not know, comments on extensions, others' default rights"
AS_SUPERUSER = {
    "test_rig": "its pipelines are of no database",
    **dict.fromkeys(("test_many_tables", "test_schema", "test_schema_there", "test_schema_mariadb"), _SUPERUSERS_WORK),
}
UNSAID = "what AS_SUPERUSER says of the test's module"


def superuser_by_module():
    """Why the test that is running needs a superuser; None when its pipelines come as the roles."""
    if os.environ.get("CF_ROLES") == "all":
        return None
    test = os.environ.get("PYTEST_CURRENT_TEST")
    return AS_SUPERUSER.get(os.path.basename(test.partition("::")[0]).removesuffix(".py")) if test else "no test, but a bench"


def block(name):
    """The SQL of one block of the page."""
    with open(os.path.join(SCRIPTS, f"{name}.sql"), encoding="utf-8") as f:
        return f.read()


def run_blocks(url, *blocks, pipeline=None, **variables):
    """As the page says: psql, as a superuser. `shop` in the publication's name is the pipeline's. A block is its name, or (name, variables)."""
    text = []
    for name, more in (one if isinstance(one, tuple) else (one, {}) for one in blocks):
        text += [f"\\set {key} {value}" for key, value in {**variables, **more}.items()]
        text.append(block(name).replace("crossfade_shop", f"crossfade_{pipeline}") if pipeline else block(name))
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"], input="\n".join(text), capture_output=True, text=True,
                          check=False, timeout=300, env=dict(os.environ, PGOPTIONS="-c client_min_messages=warning"))
    assert done.returncode == 0, f"{blocks}\n{done.stderr}"


def make_roles(url):
    """Once for a server; roles are its, not a database's."""
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone() is None:
            run_blocks(url, "roles")
            connection.execute(f"CREATE ROLE {OWNER} LOGIN")


def as_role(url, role):
    return url.replace("//postgres@", f"//{role}@")


def is_superusers(url):
    """Whether it is of a PostgreSQL that the rig made: not MariaDB, and not of a user that the test has chosen."""
    return url.startswith("postgresql://postgres@")


def prepare_source(url, publication="owner", pipeline=None, schemas="."):
    """publication: which of the page's variants: owner, tables, all; None = none of them. The tables must be there, and OWNER's."""
    variants = {None: [], "owner": ["source-owner", "source-cutover"]}
    blocks = ["source-capture", "compare", *variants.get(publication, [f"source-publication-{publication}"])] + (["source-later"] if schemas == "." else [])
    run_blocks(url, *blocks, pipeline=pipeline, owner=OWNER, control=CAPTURE, schemas=schemas)


def prepare_target(url, schemas=".", owner="postgres"):
    """owner: whose tables they are, and will be. Where all schemas are meant, a superuser may make more, too."""
    blocks = ["target-apply", "compare", "target-schema", "target-cutover", "target-apply-replica", "target-apply-origin"]
    if schemas == ".":
        blocks += ["target-later"] + ([("target-later", {"owner": "postgres"})] if owner != "postgres" else [])
    run_blocks(url, *blocks, owner=owner, control=APPLY, schemas=schemas)


# All of a database but what is of the system, of an extension or of Crossfade itself: (what ALTER says, its name, whose it is).
_ALL = """WITH s AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'crossfade')),
     o(kind, name, class, oid) AS (
  SELECT 'SCHEMA', quote_ident(nspname), 'pg_namespace'::regclass, oid FROM pg_namespace WHERE oid IN (TABLE s)
  UNION ALL SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, c.oid::regclass::text, 'pg_class'::regclass, c.oid
    FROM pg_class c WHERE relnamespace IN (TABLE s) AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
  UNION ALL SELECT CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, format_type(t.oid, NULL), 'pg_type'::regclass, t.oid FROM pg_type t
   WHERE typnamespace IN (TABLE s) AND typtype IN ('d', 'e', 'r', 'b', 'c') AND typelem = 0 AND (typrelid = 0 OR (SELECT relkind FROM pg_class WHERE oid = typrelid) = 'c')
  UNION ALL SELECT 'ROUTINE', p.oid::regprocedure::text, 'pg_proc'::regclass, p.oid FROM pg_proc p WHERE pronamespace IN (TABLE s))
SELECT format('ALTER %s %s OWNER TO ', kind, name) FROM o
 WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')"""


def give_to_owner(url):
    """The database, and all that is in it, as if OWNER had made it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" OWNER TO {OWNER}')
        connection.execute(f"GRANT ALL ON SCHEMA public TO {OWNER}")
        with connection.transaction():
            for (statement,) in connection.execute(_ALL).fetchall():
                connection.execute(statement + OWNER)


def prepare_as_target(url):
    """One that a superuser has filled."""
    make_roles(url)
    give_to_owner(url)
    prepare_target(url, owner=OWNER)


def prepare(source_url, target_url):
    """Two databases that a superuser has filled: as if the page had been followed."""
    if is_superusers(source_url):
        make_roles(source_url)
        give_to_owner(source_url)
        prepare_source(source_url)
    if is_superusers(target_url) and target_url != source_url:
        prepare_as_target(target_url)


def grant_mariadb(server, db, user, password, name="mariadb-apply"):
    """The page's statements for that database, with the rig's user and password."""
    page_user = re.search(r"'(crossfade_\w+)'@'%'", block(name)).group(1)
    text = block(name).replace("`shop`", f"`{db}`").replace(f"'{page_user}'", f"'{user}'").replace("'secret'", f"'{password}'")
    server.script(text)


# Jobs with a configuration of their own: who they come as on the source, and on the target.
JOBS = {"compare": (COMPARE, COMPARE), "repair": (COMPARE, APPLY), "cutover": (CUTOVER, CUTOVER), "schema": (COMPARE, OWNER)}
MARIADB_ROLES = {OWNER: "crossfade_schema"}  # of a target


def as_job(settings, job):
    """The settings as that job has them, as JSON."""
    source, target = JOBS[job]
    text = json.dumps(settings)
    for usual, role in ((CAPTURE, source), (APPLY, target)):
        text = text.replace(f"//{usual}@", f"//{role}@").replace(f"//{usual}:", f"//{role}:")
    return text.replace("mariadb://crossfade:", f"mariadb://{MARIADB_ROLES.get(target, 'crossfade')}:")
