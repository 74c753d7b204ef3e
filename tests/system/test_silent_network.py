"""The network to a server takes nothing any more and says nothing: a role that has sent something notices within half a minute, says so, and
goes on when it is mended. A server that only takes long is left alone."""

import os
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from rig import Postgres, Workdir, wait_until
from rig.cutting import stopped
from rig.netns import Namespace, why_not
from rig.scenario import scenario

T = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i"
# From a port of the namespace to a server's socket file, which is the same in every namespace.
RELAY = """
import asyncio, sys
async def carry(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def serve(reader, writer):
    to_reader, to_writer = await asyncio.open_unix_connection(sys.argv[3])
    await asyncio.gather(carry(reader, to_writer), carry(to_reader, writer), return_exceptions=True)
async def main():
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]))
    print('listens', flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@pytest.fixture(name="servers", scope="module")
def fixture_servers():
    with Workdir("silent") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        yield folder, source, target


@pytest.fixture(name="away")
def fixture_away():
    if why_not():
        pytest.skip(why_not())
    with Namespace() as away:
        yield away


class Through:
    """with Through(away, server) as port: the server, behind a cable that can be cut."""

    def __init__(self, away, server):
        self.away, self.server, self.process = away, server, None

    def __enter__(self):
        words = [*self.away.enter, sys.executable, "-c", RELAY, self.away.inside, str(self.server.port), f"{self.server.home}/.s.PGSQL.{self.server.port}"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # pylint: disable=consider-using-with
        assert self.process.stdout.readline() == "listens\n"
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()

    def url(self, url):
        assert "127.0.0.1" in url, url
        return url.replace("127.0.0.1", self.away.inside) + ("&" if "?" in url else "?") + "sslmode=disable"


@pytest.mark.parametrize("side", ["target", "source"])
def test_nothing_is_acknowledged(servers, away, side):
    folder, source, target = servers
    with Through(away, target if side == "target" else source) as through, scenario(folder, source, target, T) as s:
        settings = s.pipeline.settings[side]
        settings["url"] = through.url(settings["url"])
        s.pipeline.write()
        role = s.apply if side == "target" else s.capture
        s.start()
        s.wait()
        away.cut()
        s.source("UPDATE t SET v = 'meanwhile'")  # apply has something to send; capture confirms anyhow
        role.wait_for(lambda status: status["phase"] == "retrying", 60, "it does not say that all is well")
        assert "line_silent server=" + away.inside in role.log_text() and role.get("/readyz")[0] == 503 and role.get("/healthz")[0] == 200
        away.heal()
        s.assert_equal(120)
        role.wait_for(lambda status: status["phase"] == "streaming", 60, "all is well")


def test_while_tables_are_copied(servers, away):
    """Those who copy wait for an answer and send nothing. Nobody waits for a server that is to cancel what they asked for."""
    folder, source, target = servers
    with Through(away, source) as through, scenario(folder, source, target, T) as s:
        s.pipeline.settings["source"]["url"] = through.url(s.pipeline.settings["source"]["url"])
        s.pipeline.settings["capture"]["snapshot_workers"] = 2
        s.pipeline.write()
        with psycopg.connect(s.source_url) as held:
            s.capture.start(failpoint="capture.snapshot_chunk:1:stop")
            s.apply.start()
            wait_until(lambda: stopped(s.capture.pid), 60, "it stands in front of its first rows")
            held.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
            s.capture.signal(signal.SIGCONT)
            waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s AND query LIKE '%%LOCK TABLE%%'"
            wait_until(lambda: source.value(waits, (s.name,)) >= 1, 60, "a worker waits for the table")
            away.cut()
            s.capture.wait_for(lambda status: status["phase"] == "retrying", 60, "it does not say that all is well")
            assert "line_silent server=" + away.inside in s.capture.log_text() and s.capture.get("/healthz")[0] == 200
            held.rollback()
        away.heal()
        s.wait_complete(120)
        s.assert_equal(120)


def test_a_server_that_takes_long_is_left_alone(servers, away):
    """The target's sessions stand still for longer than the network may be silent: its kernel takes all that is sent."""
    folder, source, target = servers
    with Through(away, target) as through, scenario(folder, source, target, T) as s:
        s.pipeline.settings["target"]["url"] = through.url(s.pipeline.settings["target"]["url"])
        s.pipeline.write()
        s.start()
        s.wait()
        pids = [row[0] for row in target.sql("SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' AND application_name LIKE 'crossfade%%'", (s.name,))]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            s.source("UPDATE t SET v = repeat('x', 100000)")
            since = time.monotonic()
            wait_until(lambda: "line_silent" in s.apply.log_text() or time.monotonic() - since > 40, 60, "longer than a network may be silent")
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert "line_silent" not in s.apply.log_text()
        s.assert_equal(120)
        assert s.apply.status()["retries"] == 0
