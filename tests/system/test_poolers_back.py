"""There and back: what is done with poolers can be done twice, and the way back leaves their files as they were. With the forms that entries have."""

import concurrent.futures
import json
import os
import socket
import subprocess
import time

import psycopg
import pytest

from rig import Pgbouncer, Postgres, Workdir, wait_until

BUILD = os.environ.get("CF_BUILD_DIR") or os.path.dirname(os.environ["CROSSFADE_BIN"])


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("poolers-back") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        for server in (source, target):
            server.create_db("old name")
        yield folder, source, target


class Lead:
    """The tool with a configuration of these poolers: lead("switch")."""

    def __init__(self, folder, target, name, *rules):
        self.config = os.path.join(folder, f"{name}.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump({"pipeline": "p", "target": {"url": target}, "cutover": {"pooler_timeout_ms": 3000, "poolers": rules}}, f)

    def __call__(self, verb, expected=0):
        done = subprocess.run([os.path.join(BUILD, "tests", "pooler-lead"), self.config, verb], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == expected, f"{verb}: {done.returncode}\n{done.stderr}"
        return done.stderr


def text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


# What stands behind '=': with blanks, quotes, without a dbname, and with what must stay.
ENTRIES = {"app": "host=127.0.0.1 port={port} dbname='old name' pool_size=7 application_name='it''s'", "old-name": "  port = {port}   host=127.0.0.1   dbname= 'old name'",
           "postgres": "host=127.0.0.1 port={port}"}


@pytest.mark.parametrize("entry", sorted(ENTRIES))
def test_there_and_back(servers, entry):
    folder, source, target = servers
    databases = {name: value.format(port=source.port) for name, value in ENTRIES.items()}
    with Pgbouncer(folder, f"back-{entry}", databases) as pooler:
        before = text(pooler.ini)
        lead = Lead(folder, target.url("old%20name"), f"back-{entry}", pooler.rule(entry))
        for again in range(2):
            for _ in range(2):
                lead("pause")
                assert pooler.database(entry)["paused"] == 1
            for _ in range(2):
                lead("switch")
                row = pooler.database(entry)
                assert (int(row["port"]), row["database"], row["paused"]) == (target.port, "old name", 0), (again, row)
            others = [row for row in pooler.show("DATABASES") if row["name"] in ENTRIES and row["name"] != entry]
            assert {int(row["port"]) for row in others} == {source.port} and not any(row["paused"] for row in others)
            lead("pause")
            for _ in range(2):
                lead("back")
                row = pooler.database(entry)
                assert (int(row["port"]), row["paused"]) == (source.port, 0), (again, row)
            lead("resume")
            assert text(pooler.ini) == before


def test_an_included_file(servers):
    folder, source, target = servers
    with Pgbouncer(folder, "included", {"postgres": f"host=127.0.0.1 port={source.port}"}) as pooler:
        more = os.path.join(pooler.home, "more.ini")
        with open(more, "w", encoding="utf-8") as f:
            f.write(f"app = host=127.0.0.1 port={source.port} dbname=postgres\n")
        whole = text(pooler.ini).replace("[databases]\n", f"[databases]\n%include {more}\n")
        with open(pooler.ini, "w", encoding="utf-8") as f:
            f.write(whole)
        pooler.console("RELOAD")
        lead = Lead(folder, target.url(), "included", pooler.rule("app"))
        lead("switch")
        assert int(pooler.database("app")["port"]) == target.port and text(pooler.ini) == whole and str(target.port) in text(more)
        assert int(pooler.database("postgres")["port"]) == source.port


def test_the_file_of_another_pooler_switches_nothing(servers):
    folder, source, target = servers
    with Pgbouncer(folder, "mine", {"app": f"host=127.0.0.1 port={source.port} dbname=postgres"}) as mine, \
            Pgbouncer(folder, "other", {"app": f"host=127.0.0.1 port={source.port} dbname=postgres"}) as other:
        lead = Lead(folder, target.url(), "mistaken", {**mine.rule("app"), "ini": other.ini})
        lead("pause")
        assert "is " + other.ini + " what it reads" in lead("switch", 1)
        assert mine.database("app")["paused"] == 1 and int(mine.database("app")["port"]) == source.port  # nobody is led to the side that is closed
        lead("back", 0)
        lead("resume")
        assert mine.database("app")["paused"] == 0
        assert "says no single host" in Lead(folder, "postgresql:///x", "nowhere", mine.rule("app"))("pause", 1)


def test_a_way_back_that_nobody_wrote_down(servers):
    folder, source, target = servers
    with Pgbouncer(folder, "unmarked", {"app": f"host=127.0.0.1 port={target.port} dbname=postgres"}) as pooler:
        assert "no comment says" in Lead(folder, target.url(), "unmarked", pooler.rule("app"))("back", 1)
        assert int(pooler.database("app")["port"]) == target.port and source.port != target.port


def retry_of(pooler):
    return next(row["value"] for row in pooler.show("CONFIG") if row["key"] == "server_login_retry")


@pytest.mark.parametrize("then", ["switch", "resume"])
def test_a_login_that_the_pause_has_cut_off(servers, then):
    """PgBouncer takes it for a failed one. Nobody has to wait for server_login_retry because of that, nobody is thrown out, and the setting is what it was."""
    folder, source, target = servers
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers: a server that is slow to log in
        entry = f"host=127.0.0.1 port={silent.getsockname()[1]} dbname='old name'"
        with Pgbouncer(folder, f"cut-off-{then}", {"app": entry}, settings={"server_login_retry": 60}) as pooler:
            lead = Lead(folder, target.url("old%20name"), f"cut-off-{then}", pooler.rule("app"))
            with concurrent.futures.ThreadPoolExecutor(1) as threads:
                def first():
                    with psycopg.connect(pooler.url("app"), connect_timeout=50, autocommit=True) as connection:
                        return connection.execute("SELECT inet_server_port()").fetchone()[0]
                waits = threads.submit(first)
                wait_until(lambda: [row["sv_login"] for row in pooler.show("POOLS") if row["database"] == "app"] == [1], 30, "a server is logging in")
                lead("pause")
                assert retry_of(pooler) == "0.107"
                if then == "resume":  # as it was before, which is not answering; another one does in its place
                    with open(pooler.ini, encoding="utf-8") as f:
                        changed = f.read().replace(f"port={silent.getsockname()[1]}", f"port={source.port}")
                    with open(pooler.ini, "w", encoding="utf-8") as f:
                        f.write(changed)
                    pooler.console("RELOAD")
                began = time.monotonic()
                lead(then)
                with psycopg.connect(pooler.url("app"), connect_timeout=50, autocommit=True) as connection:  # one who comes now
                    assert connection.execute("SELECT inet_server_port()").fetchone()[0] == (target if then == "switch" else source).port
                assert waits.result() == (target if then == "switch" else source).port
                assert time.monotonic() - began < 50 and retry_of(pooler) == "60"
