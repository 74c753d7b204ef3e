"""compare selftest: edge values of every type have one form on both sides, and no two of them the same; verdicts and exit codes."""

import json

import pytest

from rig import Pipeline, Postgres, Workdir
from rig.mariadb import MariaDB


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("selftest") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target") as target:
        yield folder, source, target


def selftest(folder, source_url, target_url, name, *words):
    with Pipeline(folder, source_url, target_url, name=name, tables=("public.*",)) as pipeline:
        return pipeline.run("compare", "selftest", *words, timeout=300)


@pytest.mark.parametrize("target", ["mariadb", "postgres"])
def test_every_type_passes(servers, target):
    folder, source, mariadb = servers
    name = f"self_{target}"
    url = mariadb.create_db(name) if target == "mariadb" else source.create_db(f"{name}_target")
    done = selftest(folder, source.create_db(name), url, name, "--json")
    report = json.loads(done.stdout)
    others = [t for t in report["types"] if t["verdict"] != "PASS"]
    assert done.returncode == 0 and report["verdict"] == "PASS" and not others, (others, done.stderr)
    assert len(report["types"]) >= (70 if target == "mariadb" else 45) and report["values"] > 150
    assert all(t["rule"].startswith(t["source"]) and ": " in t["rule"] for t in report["types"])
    if target == "mariadb":
        assert mariadb.sql("SHOW TABLES", db=name) == ()


def test_what_a_server_lacks_or_refuses_is_no_pass(servers):
    folder, source, mariadb = servers
    source_url = source.create_db("self_refused")
    mariadb.create_db("self_refused")
    mariadb.sql("CREATE USER nobody@'%' IDENTIFIED BY 'x'")
    mariadb.sql("GRANT SELECT ON self_refused.* TO nobody@'%'")
    done = selftest(folder, source_url, f"mariadb://nobody:x@127.0.0.1:{mariadb.port}/self_refused", "self_refused")
    assert done.returncode == 3 and "INCONCLUSIVE" in done.stdout, (done.stdout, done.stderr)
    done = selftest(folder, source_url, f"mariadb://nobody:wrong@127.0.0.1:{mariadb.port}/self_refused", "self_refused")
    assert done.returncode == 4 and "target" in done.stderr, (done.stdout, done.stderr)
