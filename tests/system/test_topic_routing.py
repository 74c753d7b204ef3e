"""Many tables in few topics (journal.topic_routing): each record finds its table again, keys tell the tables apart."""

import pytest

from rig import Kafka, Postgres, Workdir
from rig.journal import read_cat
from rig.scenario import count, scenario

TENANTS = count(6, 200)
ROUTES = ["tenant_*.orders -> orders", "tenant_*.* -> {table}", "public.gone -> orders"]
IDENTITY = "__dbz__physicalTableIdentifier"


def schema():
    return "".join(f"""CREATE SCHEMA tenant_{n}; CREATE TABLE tenant_{n}.orders (id int PRIMARY KEY, v int, big text);
        ALTER TABLE tenant_{n}.orders ALTER big SET STORAGE EXTERNAL; CREATE TABLE tenant_{n}.lines (o int, n int, v text, PRIMARY KEY (o, n));
        CREATE TABLE tenant_{n}.bag (v text, w int); ALTER TABLE tenant_{n}.bag REPLICA IDENTITY FULL;""" for n in range(TENANTS)) + \
        "CREATE TABLE alone (id int PRIMARY KEY); CREATE TABLE gone (key text PRIMARY KEY, kind date); INSERT INTO gone VALUES ('a', now()), ('b', now()); INSERT INTO alone VALUES (1);"


def rows():
    return "".join(f"""INSERT INTO tenant_{n}.orders SELECT i, {n}, repeat(md5(i::text || {n}), 200) FROM generate_series(1, 30) i;
        INSERT INTO tenant_{n}.lines SELECT i, i, 't{n}' FROM generate_series(1, 20) i; INSERT INTO tenant_{n}.bag SELECT 'b', i % 3 FROM generate_series(1, 9) i;""" for n in range(TENANTS))


def change(n, m):
    """One transaction over two tenants: the same keys in both, whose records stand side by side in the shared topics."""
    return "".join(f"""UPDATE tenant_{t}.orders SET v = v + {t} WHERE id % 3 = 0; UPDATE tenant_{t}.orders SET id = id + 1000 * ({t} + 1) WHERE id BETWEEN 10 AND 12;
        DELETE FROM tenant_{t}.lines WHERE o = {t} + 1; INSERT INTO tenant_{t}.orders VALUES (0, {t}, NULL) ON CONFLICT (id) DO UPDATE SET v = -{t};
        UPDATE tenant_{t}.bag SET v = v || {t} WHERE w = 1; DELETE FROM tenant_{t}.bag WHERE w = 2;""" for t in (n, m)) + f"TRUNCATE tenant_{n}.lines; INSERT INTO tenant_{n}.lines VALUES (1, 1, 'after');"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("routing") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="kafka", scope="module")
def fixture_kafka(servers):
    with Kafka(servers[0]) as kafka:
        yield kafka


def live(s):
    s.source(rows())
    s.start()
    for n in range(0, TENANTS, 2):
        s.source(change(n, n + 1))
    s.wait()
    s.capture.kill9()
    s.source(change(1, 0))
    s.capture.start()
    s.assert_equal()
    s.apply.kill9()
    s.source("ALTER TABLE tenant_0.orders ADD c int DEFAULT 5", change(0, 3))
    s.target("ALTER TABLE tenant_0.orders ADD c int DEFAULT 5")
    s.apply.start()
    s.assert_equal()
    verified = s.pipeline.run("journal", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    report = s.pipeline.run("compare", "run")
    assert report.returncode == 0, report.stdout + report.stderr


def check_keys(s):
    topics, _ = read_cat(s.pipeline)
    assert set(topics) == {f"{s.name}.{t}" for t in ("orders", "lines", "bag", "public.alone")}
    seen = {}
    for record in topics[f"{s.name}.orders"]:
        if record.value is not None and record.key is not None:
            seen.setdefault(record.key[IDENTITY], set()).add(record.value["source"]["schema"] + "." + record.value["source"]["table"])
    assert seen == {f"{s.name}.{t}": {t} for t in [f"tenant_{n}.orders" for n in range(TENANTS)] + ["public.gone"]}
    assert all(set(r.key) == {"o", "n", IDENTITY} for r in topics[f"{s.name}.lines"] if r.key)
    assert all(r.key == {"id": 1} for r in topics[f"{s.name}.public.alone"])


def test_few_topics(servers):
    folder, source, target = servers
    with scenario(folder, source, target, schema(), tables=["public.*", "tenant_*.*"], journal_format="json", more={"journal": {"topic_routing": ROUTES}}) as s:
        live(s)
        check_keys(s)
        assert s.pipeline.run("journal", "cat", "--table", "tenant_3.orders").stdout.count("\n") > TENANTS * 30
        check = s.pipeline.run("check")
        assert "topic" not in check.stdout.lower().split("fail", 1)[-1] or check.returncode == 0, check.stdout


def test_few_topics_in_kafka(servers, kafka):
    folder, source, target = servers
    with scenario(folder, source, target, schema(), tables=["public.*", "tenant_*.*"], journal=kafka.url, more={"journal": {"topic_routing": ROUTES, "partitions": 3}}) as s:
        live(s)
        check_keys(s)
        assert len([t for t in kafka.topics() if t.startswith(s.name + ".")]) == 6  # four, fences and schemas


def test_own_topics_are_refused(servers):
    folder, source, target = servers
    with scenario(folder, source, target, "CREATE TABLE t (id int PRIMARY KEY)", more={"journal": {"topic_routing": ["public.t -> fence"]}}) as s:
        s.capture.start()
        assert s.capture.wait(30) == 2 and "which is Crossfade's own" in s.capture.log_text()
