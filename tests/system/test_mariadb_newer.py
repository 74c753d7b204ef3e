"""MariaDB 11.4 as a target: what it changed since 10.11 (its default collation, its catalog) is no matter. Every type, copied and streamed, is read back."""

import pytest

from rig import Postgres, Workdir
from rig.mariadb import MariaDB
from test_mariadb import case, test_every_type_is_read_back  # noqa: F401 (runs here with these servers)


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("mariadb-newer") as folder, Postgres(folder, "source") as source, MariaDB(folder, "target", version="11.4") as target:
        yield folder, source, target


def test_defaults_of_the_server(servers):
    """Without a character set or collation of the table's own, those of the server (of 11.4: uca1400, which folds case)."""
    with case(servers, "defaults", "CREATE TABLE t (id int PRIMARY KEY, a text, b jsonb); INSERT INTO t VALUES (1, 'Ä', '[1]'), (2, 'ä', NULL)",
              "CREATE TABLE t (id int PRIMARY KEY, a longtext CHARACTER SET utf8mb4, b json);\n") as s:
        assert s.server.value("SELECT VERSION()").startswith("11.4")
        s.start()
        s.source("UPDATE t SET a = a || 'ß' WHERE id = 2", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (3, 'ä', '{\"a\": null}')")
        s.pipeline.wait_caught_up()
        assert s.target("SELECT * FROM t ORDER BY id") == (("2", "äß", None), ("3", "ä", '{"a": null}'))
