"""`crossfade status --watch` in a real pseudo-terminal: what it draws at several widths, after a resize, without colours, with names that carry escape sequences, and
into a pipe."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from rig import Postgres, Workdir, find_crossfade, wait_until
from rig.scenario import scenario

EVIL = "evil\x1b[2J\x1b]0;owned\x07\u202ename"
SCHEMA = f"""CREATE TABLE orders (id int PRIMARY KEY, v text); INSERT INTO orders SELECT i, 'v' FROM generate_series(1, 12000) i; ANALYZE orders;
    CREATE TABLE "{EVIL}" (id int PRIMARY KEY); INSERT INTO "{EVIL}" SELECT generate_series(1, 12000); ANALYZE "{EVIL}";"""
OURS = re.compile(r"\x1b\[(?:H|J|2J|K|0m|1m|3[123]m)")


class Screen:
    """A command in a pseudo-terminal of so many columns and lines; .frames(): what it has drawn, a text each."""

    def __init__(self, config, columns, lines=40, **env):
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        self.bytes = b""
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        environment.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **env})
        self.process = subprocess.Popen([find_crossfade(), "-c", config, "status", "--watch"], stdin=slave, stdout=slave, stderr=slave, env=environment,
                                        start_new_session=True)
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def resize(self, columns, lines=40):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0.1)[0]:
            try:
                self.bytes += os.read(self.master, 65536)
            except OSError:
                return

    def frames(self):
        self.read()
        return [f for f in self.bytes.decode("utf-8", "strict").replace("\r\n", "\n").split("\x1b[H")[1:] if "\x1b[J" in f]

    def wait(self, holds, what):
        """The first new whole picture for which that is true."""
        seen = len(self.frames())

        def found():
            assert self.process.poll() is None, self.bytes
            return next((f for f in self.frames()[seen:] if holds(f)), None)
        try:
            return wait_until(found, 60, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(self.frames() or ['nothing'])[-1]}") from None

    def interrupt(self):
        os.kill(self.process.pid, signal.SIGINT)
        deadline = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        return self.process.poll()


def lines_of(frame):
    return [OURS.sub("", line) for line in frame.split("\n")]


@pytest.fixture(name="world", scope="module")
def fixture_world():
    with Workdir("status-watch") as folder, Postgres(folder, "source") as source, Postgres(folder, "target") as target:
        more = {"capture": {"max_rows_per_second": 1200, "snapshot_chunk_rows": 500, "snapshot_workers": 2}}
        with scenario(folder, source, target, SCHEMA, more=more) as made:
            yield made


def test_watch(world):
    config = world.pipeline.config
    with Screen(config, 80) as screen:  # nobody answers yet
        frame = screen.wait(lambda f: f.count("down") == 3, "that both are down")
        assert "\x1b[31m" in frame
        world.start(wait=False)
        # the copy: a bar, and what is left; names that would take over the terminal do not
        frame = screen.wait(lambda f: re.search(r"copy +\[#+\.*\] +\d+\.\d %", f) and "evil" in f, "a progress bar")
        assert "rows/s" in frame and re.search(r"left|not known yet", frame)
        assert "evil^[[2J" in frame and "[U+202E]" in frame
        for width in (40, 200, 80):
            screen.resize(width)
            frame = screen.wait(lambda f, w=width: max(len(line) for line in lines_of(f)) > w * 0.6 and (w < 100) == ("source    " in f), f"{width} columns")
            assert max(len(line) for line in lines_of(frame)) <= width, frame
            assert re.search(r"left|time left not known yet|rows in", re.sub(r"\s+", " ", frame)), frame  # whatever the width, the time left is there
        screen.resize(80, 10)
        frame = screen.wait(lambda f: len(lines_of(f)) <= 10, "ten lines")
        assert "source" in frame and len(lines_of(frame)) < 10
        screen.resize(80, 40)
        world.wait_complete(180)
        frame = screen.wait(lambda f: re.search(r"streaming", lines_of(f)[0]) and "1 of 8 gates open: verdict" in f, "the end of the copy")
        target = re.search(r"target +(\S+)", frame).group(1)
        world.source("INSERT INTO orders VALUES (100000, 'x')")
        screen.wait(lambda f: re.search(r"target +(\S+)", f).group(1) != target, "that the target moves")
        assert "snapshot_end" in frame and re.search(r"lag +\d+\.\d s +[▁▂▃▄▅▆▇█]", frame)
        # another process of a role: its events are there, and none twice
        assert world.apply.terminate() == 0
        screen.wait(lambda f: re.search(r"apply +\S*down", f), "that apply is away")
        world.apply.start()
        frame = screen.wait(lambda f: re.search(r"apply +\S*streaming", f) and len(re.findall("started  apply", OURS.sub("", f))) == 2, "that it is back")
        assert len(re.findall("snapshot_end", frame)) == 1, frame
        assert screen.interrupt() == 0
        left = OURS.sub("", screen.bytes.decode().replace("\r", ""))
        assert "\x1b" not in left and "\x07" not in left and "\u202e" not in left
    with Screen(config, 80, NO_COLOR="1", LC_ALL="C") as screen:
        frame = screen.wait(lambda f: "streaming" in f, "a picture without colours")
        assert not re.search(r"\x1b\[\d", frame) and frame.isascii()
        screen.interrupt()


def test_watch_into_a_pipe(world):
    if not world.capture.running:
        world.start()
    with subprocess.Popen([find_crossfade(), "-c", world.pipeline.config, "status", "--watch"], stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        process.terminate()
        process.stdout.read()
        assert process.wait(30) == 0
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+Z phase=streaming source=\S+ journal=\S+ target=\S+ lag_bytes=\d+ lag_seconds=\d+\.\d copied_percent=100\.0 copied_rows=24000\n", line), line
