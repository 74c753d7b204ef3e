"""The main job of the README: what tools/demo starts runs to its end, can be left running and ended, and cleans up when it is interrupted."""

import os
import re
import signal
import subprocess
import sys

import pytest

from rig import wait_until
from rig.pages import ROOT
from rig.procs import find_crossfade, pid_alive
from rig.wait import patient

DEMO = os.path.join(ROOT, "examples", "simshop", "demo.py")


@pytest.fixture(name="begin")
def fixture_begin(tmp_path):
    """Starts it in a folder for temporary files of its own; what is left there at the end is told by the test."""
    tmp_path.chmod(0o755)
    started = []

    def begin(*words):
        # Its pipeline comes as a superuser, as that of whoever starts it does: it is no test.
        env = dict({name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}, CROSSFADE_BIN=find_crossfade(), TMPDIR=str(tmp_path), NO_COLOR="1", PYTHONPATH=os.path.join(ROOT, "tests", "support"))
        process = subprocess.Popen([sys.executable, DEMO, "--scale", "1", *words], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process
    for parent in (tmp_path.parent, tmp_path.parent.parent):  # the servers' user goes through them
        parent.chmod(0o755)
    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(patient(60))


def folders(place):
    return [name for name in os.listdir(place) if os.path.isdir(place / name)]


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""


def running_below(place):
    """The processes whose command line names the folder."""
    return [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if str(place) in command_line(pid)]


def test_from_the_copy_to_the_cutover(begin, tmp_path):
    """--keep: all goes on at its end, and the commands that it names work, the one to end it last."""
    process = begin("--keep")
    said, _ = process.communicate(timeout=patient(600))
    assert process.returncode == 0, said[-6000:]
    assert re.search(r"verdicts +PASS under traffic, PASS after the cutover", said) and re.search(r"transactions, 0 failed", said), said[-4000:]
    crossfade = re.search(r"crossfade +(\S+ -c \S+) status", said)[1].split()
    done = subprocess.run([*crossfade, "journal", "list"], capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.returncode == 0 and "shop.simshop_oltp.orders" in done.stdout, done
    end = re.search(r"to end it +(\S+)", said)[1]
    assert running_below(os.path.dirname(end))
    subprocess.run([end], timeout=patient(120), check=True)
    assert not os.path.exists(os.path.dirname(end)) and not running_below(tmp_path)


def test_interrupted(begin, tmp_path):
    """Ctrl-C in the middle of the copy leaves no process and no folder."""
    process = begin()
    wait_until(lambda: [pid for pid in running_below(tmp_path) if pid_alive(pid) and "capture" in command_line(pid)], 300, "capture runs")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=patient(120))
    assert process.returncode == 130 and "everything is cleaned up" in said, said[-3000:]
    assert not folders(tmp_path) and not running_below(tmp_path)


@pytest.mark.parametrize("words", [("--journal", "x"), ("--rate",), ("--scale", "0"), ("--what",)])
def test_tool_refuses_what_it_does_not_know(words):
    """Before it installs or builds anything."""
    done = subprocess.run([os.path.join(ROOT, "tools", "demo"), *words], capture_output=True, text=True, timeout=patient(30), check=False)
    assert done.returncode == 2 and done.stderr.startswith("demo: ") and not done.stdout
