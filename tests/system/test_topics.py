"""Two tables must not meet in one topic: `check` and `capture` name both and touch nothing."""

import pytest

from rig import Postgres, Workdir, free_port
from rig.procs import halts
from rig.scenario import scenario

SAME = 'CREATE TABLE "a b" (id int PRIMARY KEY); CREATE TABLE a_b (id int PRIMARY KEY); INSERT INTO a_b VALUES (1)'
DOTTED = 'CREATE SCHEMA "x.y"; CREATE SCHEMA x; CREATE TABLE "x.y".z (id int PRIMARY KEY); CREATE TABLE x."y.z" (id int PRIMARY KEY)'
# Different topics, which Kafka refuses to keep side by side.
UNDERSCORE = "CREATE SCHEMA s; CREATE SCHEMA s_a; CREATE TABLE s.a_b (id int PRIMARY KEY); CREATE TABLE s_a.b (id int PRIMARY KEY)"


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("topics") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


def check_fails(s, *words):
    done = s.pipeline.run("check")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "FAIL" in line and "topic" in line]
    assert any(all(w in line for w in words) for line in lines), done.stdout


@pytest.mark.parametrize("schema,tables,names,topic", [
    (SAME, ["public.*"], ['"public"."a b"', '"public"."a_b"'], "public.a_b"),
    (DOTTED, ["*.*"], ['"x.y"."z"', '"x"."y.z"'], "x.y.z"),
])
def test_same_topic(servers, schema, tables, names, topic):
    with scenario(*servers, schema, tables=tables) as s:
        check_fails(s, topic)
        s.capture.start()
        halts(s.capture, 5, *names, f"topic={s.name}.{topic}", "exclude")
        assert s.source("SELECT count(*) FROM pg_publication") == [(0,)] and s.slots() == []


def test_excluding_one_helps(servers):
    with scenario(*servers, SAME, tables=["public.*", "!public.a b"]) as s:
        assert s.pipeline.run("check").returncode == 0
        s.start()
        s.source("INSERT INTO a_b VALUES (2)")
        s.wait()
        assert s.target("SELECT count(*) FROM a_b") == [(2,)]


def test_dot_and_underscore(servers):
    """Fine in the embedded journal; Kafka takes only one of the two."""
    with scenario(*servers, UNDERSCORE, tables=["s.*", "s_a.*"]) as s:
        assert s.pipeline.run("check").returncode == 0
        s.pipeline.settings["journal"]["url"] = f"kafka://127.0.0.1:{free_port()}"
        s.pipeline.write()
        check_fails(s, "s.a_b", "s_a.b", "Kafka")
