"""The roles of docs/PRIVILEGES.md, made from the SQL that stands there: what the page says is what the tests run with."""

import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PAGE = os.path.join(ROOT, "docs", "PRIVILEGES.md")
OWNER = "shop_owner"  # of the application's tables; what a scenario's source() comes as
CAPTURE, APPLY, COMPARE, CUTOVER = "crossfade_capture", "crossfade_apply", "crossfade_compare", "crossfade_cutover"


def block(name):
    """The SQL of one block of the page."""
    with open(PAGE, encoding="utf-8") as f:
        found = re.findall(rf"^<!-- block: {re.escape(name)} -->\n```sql\n(.*?)^```$", f.read(), re.M | re.S)
    assert len(found) == 1, f"{PAGE}: {len(found)} blocks {name}"
    return found[0]


def run_block(server, db, name, pipeline=None, **variables):
    """As the page says: psql, as a superuser. `shop` in the publication's name is the pipeline's."""
    text = block(name).replace("crossfade_shop", f"crossfade_{pipeline}") if pipeline else block(name)
    options = [word for key, value in variables.items() for word in ("-v", f"{key}={value}")]
    done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-d", server.url(db), "-f", "-"], input=text, capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 0, f"{name}\n{done.stderr}"


def make_roles(server):
    """Once for a server; roles are its, not a database's."""
    if server.value("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)) is None:
        run_block(server, "postgres", "roles")
        server.sql(f"CREATE ROLE {OWNER} LOGIN")


def as_role(url, role):
    return url.replace("//postgres@", f"//{role}@")


def prepare_source(server, db, publication="owner", pipeline=None):
    """publication: which of the page's variants: owner, tables, all; None = none of them. The tables must be there, and OWNER's."""
    run_block(server, db, "source-capture", owner=OWNER)
    run_block(server, db, "compare", owner=OWNER, control=CAPTURE)
    if publication == "owner":
        run_block(server, db, "source-owner", owner=OWNER)
    elif publication:
        run_block(server, db, f"source-publication-{publication}", pipeline=pipeline)


def prepare_target(server, db, owner="postgres", replica=True):
    """owner: whose tables they are, and will be."""
    run_block(server, db, "target-apply", owner=owner)
    run_block(server, db, "compare", owner=owner, control=APPLY)
    if replica:
        run_block(server, db, "target-apply-replica")


def give_to_owner(server, db):
    """The database, and all that is in it, as if OWNER had made it."""
    server.sql(f'ALTER DATABASE "{db}" OWNER TO {OWNER}')
    server.sql(f"GRANT ALL ON SCHEMA public TO {OWNER}", db=db)


def grant_mariadb(server, db, user, password, name="mariadb-apply"):
    """The page's statements for that database, with the rig's user and password."""
    page_user = re.search(r"'(crossfade_\w+)'@'%'", block(name)).group(1)
    text = block(name).replace("`shop`", f"`{db}`").replace(f"'{page_user}'", f"'{user}'").replace("'secret'", f"'{password}'")
    server.script(text)
