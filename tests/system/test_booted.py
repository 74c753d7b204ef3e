"""The Debian package and its units under a real systemd, process 1 of a machine of its own: with CF_CHECK_MODE=full, as root, and tools/deps --systemd.
PostgreSQL 15 runs there as Debian starts it; the embedded journal is where the units may write."""

import glob
import os
import subprocess

import pytest

from rig import Workdir, wait_until
from rig.booted import Machine, missing
from rig.wait import patient

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
RELEASE = os.path.join(ROOT, "build", "release")
PASSWORD = "p@ss:w/ord #1"
CONFIG = """pipeline: shop
source: {url: "postgresql://mover:${credential-url:source-password}@127.0.0.1/old", tables: ["public.*"]}
target: {url: "postgresql://mover:${credential-url:target-password}@127.0.0.1/new"}
journal: {url: "lmdb:/var/lib/crossfade/shop"}
capture: {heartbeat_interval_ms: 500}
compare: {report_dir: /var/lib/crossfade/reports}
"""
CAPTURE, APPLY, COMPARE = (f"crossfade-{role}@shop.service" for role in ("capture", "apply", "compare"))


def lacking():
    if os.environ.get("CF_CHECK_MODE") != "full":
        return "CF_CHECK_MODE=full"
    if not os.environ.get("CF_IMAGE_PACKAGE") and not os.path.exists(os.path.join(RELEASE, "CPackConfig.cmake")):
        return f"a package: no CF_IMAGE_PACKAGE, and {RELEASE} is not there to make one (cmake --preset release)"
    return missing()


pytestmark = pytest.mark.skipif(lacking() is not None, reason=f"needs {lacking()}")


def package(folder):
    """CF_IMAGE_PACKAGE, or what cpack makes of the release build: a unit's sandbox is no place for sanitizers."""
    if os.environ.get("CF_IMAGE_PACKAGE"):
        return os.environ["CF_IMAGE_PACKAGE"]
    done = subprocess.run(["cpack", "-G", "DEB", "-B", folder], cwd=RELEASE, capture_output=True, text=True, timeout=patient(1200), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return glob.glob(os.path.join(folder, "*.deb"))[0]


@pytest.fixture(name="machine", scope="module")
def fixture_machine():
    with Workdir("booted") as folder, Machine(folder) as machine:
        with open(package(os.path.join(folder, "package")), "rb") as f, open(os.path.join(machine.root, "root", "crossfade.deb"), "wb") as there:
            there.write(f.read())
        install(machine)
        yield machine


def install(machine):
    """As docs/SYSTEMD.md has it."""
    machine.run("apt-get", "install", "-y", "/root/crossfade.deb")
    machine.run("install", "-d", "-m", "700", "/etc/credstore")
    for name in ("source-password", "target-password"):
        machine.run("install", "-m", "600", "/dev/stdin", f"/etc/credstore/crossfade.shop.{name}", text=PASSWORD + "\n")
    machine.write("/etc/crossfade/shop.yaml", CONFIG)
    machine.run("systemctl", "is-active", "postgresql@15-main")
    sql(machine, "postgres", "ALTER SYSTEM SET wal_level = logical", f"CREATE ROLE mover LOGIN SUPERUSER PASSWORD '{PASSWORD}'", "CREATE DATABASE old", "CREATE DATABASE new")
    machine.run("systemctl", "restart", "postgresql@15-main")
    for database in ("old", "new"):
        sql(machine, database, "CREATE TABLE goods (id int PRIMARY KEY, name text)")
    sql(machine, "old", "INSERT INTO goods SELECT i, 'thing ' || i FROM generate_series(1, 1000) i")


def sql(machine, database, *statements):
    words = [word for statement in statements for word in ("-c", statement)]
    return machine.run("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, *words).strip()


def has_come(machine, number):
    """A new row goes all the way."""
    sql(machine, "old", f"INSERT INTO goods VALUES ({number}, 'new')")
    wait_until(lambda: sql(machine, "new", f"SELECT count(*) FROM goods WHERE id = {number}") == "1", 60, f"row {number} is on the target")


def pid(machine, unit):
    return int(machine.unit(unit, "MainPID")["MainPID"])


def kill(machine, unit, name):
    machine.run("systemctl", "kill", "--kill-whom=main", f"--signal={name}", unit)


def test_ready_when_it_works_and_not_before(machine):
    machine.run("systemctl", "stop", "postgresql@15-main")
    machine.run("systemctl", "enable", "--now", "--no-block", "crossfade-capture@shop", "crossfade-apply@shop")
    for unit in (CAPTURE, APPLY):  # it runs and has said what it waits for: to systemd it is not there yet
        wait_until(lambda unit=unit: "retrying" in machine.unit(unit, "StatusText")["StatusText"], 60, f"{unit} tries")
        assert machine.unit(unit, "ActiveState", "NRestarts") == {"ActiveState": "activating", "NRestarts": "0"}
    machine.run("systemctl", "start", "postgresql@15-main")
    machine.wait_unit(CAPTURE, ActiveState="active", SubState="running", NRestarts="0")
    machine.wait_unit(APPLY, ActiveState="active", SubState="running", NRestarts="0")
    wait_until(lambda: sql(machine, "new", "SELECT count(*) FROM goods") == "1000", 60, "the copy is there")
    has_come(machine, 2001)
    wait_until(lambda: machine.unit(APPLY, "StatusText")["StatusText"].startswith("shop: streaming"), 60, "it says how it is")


def test_it_is_nobody_and_has_its_secrets_alone(machine):
    for unit in (CAPTURE, APPLY):
        number = pid(machine, unit)
        status = machine.run("cat", f"/proc/{number}/status")
        found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        uid = int(found["Uid"].split()[0])
        assert 61184 <= uid <= 65519 and int(found["CapEff"], 16) == 0 and found["NoNewPrivs"].strip() == "1" and found["Seccomp"].strip() == "2", status
        assert machine.run("ps", "-o", "user=", "-p", number).strip() == "crossfade"
        place = f"/run/credentials/{unit}"
        assert machine.run("ls", place).split() == ["source-password", "target-password"]  # others are not there, and that is no fault
        code, _, err = machine.ask("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "cat", f"{place}/source-password")
        assert code != 0 and "Permission denied" in err
        for seen in ("cmdline", "environ"):
            assert PASSWORD not in machine.run("cat", f"/proc/{number}/{seen}")
    assert PASSWORD not in machine.journal(lines=100000)
    assert machine.run("stat", "--format=%a", "/var/lib/private/crossfade").strip() == "700"


def test_a_loop_that_stands_still_is_started_again(machine):
    machine.write("/etc/systemd/system/crossfade-capture@.service.d/watchdog.conf", "[Service]\nWatchdogSec=3s\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", CAPTURE)  # returns when it is ready
    has_come(machine, 2002)
    before = machine.unit(CAPTURE, "MainPID", "NRestarts", "WatchdogUSec")
    assert before["WatchdogUSec"] == "3s" and before["NRestarts"] == "0"
    kill(machine, CAPTURE, "SIGSTOP")
    wait_until(lambda: machine.unit(CAPTURE, "NRestarts")["NRestarts"] == "1", 60, "it is started again")
    machine.wait_unit(CAPTURE, ActiveState="active", NRestarts="1")
    assert pid(machine, CAPTURE) != int(before["MainPID"]) and "Watchdog timeout" in machine.journal(CAPTURE)
    has_come(machine, 2003)


def test_killed_it_comes_back(machine):
    for unit, number in ((CAPTURE, 2004), (APPLY, 2005)):
        before = machine.unit(unit, "NRestarts")["NRestarts"]
        kill(machine, unit, "SIGKILL")
        machine.wait_unit(unit, ActiveState="active", NRestarts=str(int(before) + 1))
        has_come(machine, number)


def test_reload(machine):
    machine.write("/etc/crossfade/shop.yaml", CONFIG + "apply: {max_lag_ms: 45000}\n")
    before = pid(machine, APPLY)
    machine.run("systemctl", "reload", APPLY)
    taken = "SELECT count(*) FROM crossfade.audit WHERE event = 'control.reload' AND detail::text LIKE '%apply.max_lag_ms%'"
    wait_until(lambda: sql(machine, "new", taken) == "1", 60, "it has read it again")
    assert pid(machine, APPLY) == before
    has_come(machine, 2006)


def test_comparison_by_unit(machine):
    machine.run("systemctl", "start", COMPARE, timeout=300)
    assert machine.unit(COMPARE, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert "PASS" in machine.journal(COMPARE)
    sql(machine, "new", "UPDATE goods SET name = 'touched' WHERE id = 1")
    assert machine.ask("systemctl", "start", COMPARE, timeout=300)[0] != 0
    assert machine.unit(COMPARE, "Result", "ExecMainStatus") == {"Result": "exit-code", "ExecMainStatus": "1"}
    sql(machine, "new", "UPDATE goods SET name = 'thing 1' WHERE id = 1")
    machine.run("systemctl", "enable", "--now", "crossfade-compare@shop.timer")
    assert machine.unit("crossfade-compare@shop.timer", "ActiveState", "SubState") == {"ActiveState": "active", "SubState": "waiting"}
    machine.run("systemctl", "disable", "--now", "crossfade-compare@shop.timer")


def test_what_needs_a_person_is_not_started_again(machine):
    restarts = machine.unit(APPLY, "NRestarts")["NRestarts"]
    sql(machine, "new", "ALTER TABLE goods RENAME TO gone")
    sql(machine, "old", "INSERT INTO goods VALUES (2007, 'waits')")
    # `failed` is where it ends: one that is to be started again would go from its end to `auto-restart`.
    machine.wait_unit(APPLY, ActiveState="failed", SubState="failed", ExecMainStatus="5", NRestarts=restarts)
    assert "public.goods" in machine.unit(APPLY, "StatusText")["StatusText"] or "public.goods" in machine.journal(APPLY)
    sql(machine, "new", "ALTER TABLE gone RENAME TO goods")
    machine.run("systemctl", "start", APPLY)
    wait_until(lambda: sql(machine, "new", "SELECT count(*) FROM goods WHERE id = 2007") == "1", 60, "it goes on")

    machine.write("/etc/crossfade/shop.yaml", CONFIG + "no_such: {option: 1}\n")
    assert machine.ask("systemctl", "restart", CAPTURE)[0] != 0
    machine.wait_unit(CAPTURE, ActiveState="failed", SubState="failed", ExecMainStatus="2", NRestarts="0")
    machine.write("/etc/crossfade/shop.yaml", CONFIG)
    machine.run("systemctl", "start", CAPTURE)
    has_come(machine, 2008)


def test_stopped_and_removed(machine):
    before = {unit: pid(machine, unit) for unit in (CAPTURE, APPLY)}
    machine.run("dpkg", "-i", "/root/crossfade.deb")  # over itself: an upgrade, behind which roles go on with the new program
    for unit, number in before.items():
        wait_until(lambda unit=unit, number=number: pid(machine, unit) not in (0, number), 60, f"{unit} runs anew")
        machine.wait_unit(unit, ActiveState="active")
    has_come(machine, 2009)
    machine.run("systemctl", "stop", CAPTURE, APPLY)
    for unit in (CAPTURE, APPLY):
        assert machine.unit(unit, "ActiveState", "Result", "ExecMainStatus") == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    machine.run("systemctl", "start", CAPTURE, APPLY)
    has_come(machine, 2010)
    assert sql(machine, "old", "SELECT count(*), sum(id) FROM goods") == sql(machine, "new", "SELECT count(*), sum(id) FROM goods")
    machine.run("dpkg", "-r", "crossfade")
    for unit in (CAPTURE, APPLY):
        machine.wait_unit(unit, ActiveState="inactive")
    machine.run("test", "-e", "/var/lib/private/crossfade/shop")
    machine.run("test", "-e", "/etc/crossfade/shop.yaml")
