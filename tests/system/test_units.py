"""The Debian package on a scratch root: the same bytes each time, units that systemd finds nothing to say about, scripts that do no harm where no systemd
runs, and completion in real shells."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from rig import Workdir

BUILD = os.environ.get("CF_BUILD_DIR", "")
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
UNITS = ("crossfade-capture@shop.service", "crossfade-apply@shop.service", "crossfade-compare@shop.service", "crossfade-compare@shop.timer")
EXPOSURE_MAX = 2.0

pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "cmake_install.cmake")), reason="needs CF_BUILD_DIR")


def run(*argv, **more):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False, **more)


def good(*argv, **more):
    done = run(*argv, **more)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pack(folder):
    good("cpack", "-G", "DEB", "-B", folder, cwd=BUILD, env=dict(os.environ, SOURCE_DATE_EPOCH="1700000000"))
    package, = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb")]
    return package


@pytest.fixture(name="package", scope="module")
def fixture_package():
    if not shutil.which("dpkg-shlibdeps"):
        pytest.skip("no dpkg-dev here")
    with Workdir("units") as folder:
        yield str(folder), pack(os.path.join(str(folder), "first"))


@pytest.fixture(name="root", scope="module")
def fixture_root(package):
    """What the package puts on a machine, with the machine's own targets and slices beside it, as instances of pipeline shop."""
    folder, file = package
    root = os.path.join(folder, "root")
    good("dpkg", "-x", file, root)
    units = os.path.join(root, "usr", "lib", "systemd", "system")
    for name in os.listdir("/lib/systemd/system"):
        if name.endswith((".target", ".slice", ".mount")):
            shutil.copy2(os.path.join("/lib/systemd/system", name), os.path.join(units, name), follow_symlinks=False)
    os.mkdir(os.path.join(root, "bin"))
    shutil.copy("/bin/kill", os.path.join(root, "bin"))  # procps, which systemd's machines have
    for unit in UNITS:
        shutil.copy(os.path.join(units, unit.replace("@shop", "@")), os.path.join(units, unit))
    return root


def test_packed_twice_it_is_the_same(package):
    folder, first = package
    second = pack(os.path.join(folder, "second"))
    with open(first, "rb") as a, open(second, "rb") as b:
        assert a.read() == b.read()
    times = {line.split()[3] for line in good("dpkg-deb", "-c", first, env=dict(os.environ, TZ="UTC")).splitlines()}
    assert times == {"2023-11-14"}, times


def test_package_is_as_debian_wants_it(package):
    folder, file = package
    control = os.path.join(folder, "control")
    good("dpkg", "-e", file, control)
    with open(os.path.join(control, "conffiles"), encoding="utf-8") as f:
        assert f.read().split() == ["/etc/crossfade/crossfade.example.yaml"]
    assert "libsystemd0" in good("dpkg-deb", "-f", file, "Depends")
    for script, words in (("postinst", ["configure", ""]), ("postinst", ["configure", "0.0.9"]), ("prerm", ["remove"]), ("prerm", ["upgrade"]), ("postrm", ["remove"]), ("postrm", ["purge"])):
        path = os.path.join(control, script)
        assert os.stat(path).st_mode & 0o777 == 0o755
        good("sh", "-n", path)
        if not os.path.isdir("/run/systemd/system"):  # as in a container: nothing to talk to, nothing said
            assert good("sh", path, *words) == ""
    if shutil.which("lintian"):
        done = run("lintian", "--no-cfg", "--fail-on", "none", "--suppress-tags", ",".join(NOT_A_DEBIAN_UPLOAD), file)
        said = [line for line in done.stdout.splitlines() if line.startswith(("E:", "W:"))]
        assert done.returncode == 0 and not said, "\n".join(said) + done.stderr


# What only an upload into Debian's own archive would need, and what a build with sanitizers has.
NOT_A_DEBIAN_UPLOAD = ("no-copyright-file", "syntax-error-in-debian-changelog", "debian-changelog-file-missing", "no-changelog", "bad-distribution-in-changes-file", "unstripped-binary-or-object",
                       "hardening-no-pie", "hardening-no-relro", "hardening-no-fortify-functions", "maintainer-script-calls-systemctl")


def test_units_verify_in_silence(root):
    assert shutil.which("systemd-analyze"), "no systemd-analyze: run tools/deps"
    done = run("systemd-analyze", "verify", "--man=no", f"--root={root}", *UNITS)
    assert done.returncode == 0 and done.stdout + done.stderr == "", done.stdout + done.stderr
    # The check itself finds something: an unknown key gives words.
    folder = os.path.join(root, "usr", "lib", "systemd", "system")
    with open(os.path.join(folder, UNITS[0]), encoding="utf-8") as f:
        text = f.read()
    with open(os.path.join(folder, "crossfade-bad@shop.service"), "w", encoding="utf-8") as f:
        f.write(text.replace("NoNewPrivileges=yes", "NoNewPrivilegs=yes"))
    done = run("systemd-analyze", "verify", "--man=no", f"--root={root}", "crossfade-bad@shop.service")
    assert "NoNewPrivilegs" in done.stdout + done.stderr


def test_units_expose_little(root):
    for unit in UNITS[:3]:
        told = run("systemd-analyze", "security", "--offline=true", "--no-pager", os.path.join(root, "usr", "lib", "systemd", "system", unit))
        level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told.stdout)
        assert level and float(level.group(1)) <= EXPOSURE_MAX, told.stdout + told.stderr


def test_units_run_what_is_there(root):
    """The command lines of the units are understood by the program that the package brings."""
    for unit in UNITS[:3]:
        with open(os.path.join(root, "usr", "lib", "systemd", "system", unit), encoding="utf-8") as f:
            line, = re.findall(r"(?m)^ExecStart=(.*)$", f.read())
        words = line.replace("%i", "shop").split()
        assert words[0] == "/usr/bin/crossfade" and words[1] == "-c"
        done = run(root + words[0], "-c", root + "/etc/crossfade/crossfade.example.yaml", *words[3:], "--no-such.option=1")
        assert done.returncode == 2 and "no-such.option" in done.stderr, done.stderr


# --- completion

def complete(script, line, cwd="/"):
    """What bash would offer at the end of the line, by the function that `complete` has been given."""
    ask = """source "$1"; shift
[[ $(complete -p crossfade) == "complete -F _crossfade crossfade" ]] || exit 3
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_crossfade; printf '%s\\n' "${COMPREPLY[@]}" """
    words = [w for word in line.split(" ") for w in (re.split("(=)", word) if "=" in word else [word])]
    if "=" in line.split(" ")[-1] and line.endswith("="):
        words = words[:-1]
    return set(good("bash", "--norc", "-uc", ask, "bash", script, *words, cwd=cwd).split())


def test_completion_in_bash(root):
    script = os.path.join(root, "usr", "share", "bash-completion", "completions", "crossfade")
    commands = complete(script, "crossfade ")
    assert {"check", "capture", "apply", "compare", "cutover", "rollback", "journal", "status"} <= commands and "docs" not in commands
    assert complete(script, "crossfade ch") == {"check"}
    assert {"run", "pause", "drain", "add-table", "resnapshot", "accept-ddl"} <= complete(script, "crossfade capture ")
    assert {"list", "show", "retry", "discard"} == complete(script, "crossfade apply dlq ")
    assert complete(script, "crossfade -c /tmp/x.yaml capture resn") == {"resnapshot"}
    assert {"plan", "run", "resume", "abort"} <= complete(script, "crossfade --config=/tmp/x.yaml cutover ")
    assert complete(script, "crossfade schema plan --form") == {"--format="}
    assert complete(script, "crossfade schema plan --format=") == {"markdown", "html", "json"}
    assert complete(script, "crossfade schema plan --format=j") == {"json"}
    assert complete(script, "crossfade schema plan --format ht") == {"html"}
    assert complete(script, "crossfade apply --apply.on_row_e") == {"--apply.on_row_error="}
    assert "dead_letter" in complete(script, "crossfade apply --apply.on_row_error=")
    assert complete(script, "crossfade status --wait ") == {"caught-up"}
    assert complete(script, "crossfade capture --cutover.") == set()  # capture reads none of them
    assert complete(script, "crossfade -c cross", cwd=os.path.join(root, "etc", "crossfade")) == {"crossfade.example.yaml"}
    # Every command of the program, and each of its flags, is there.
    for command in commands:
        text = good(os.path.join(root, "usr", "bin", "crossfade"), command, "--help")
        flags = {f.rstrip("=") for f in complete(script, f"crossfade {command} --")}
        assert set(re.findall(r"(?m)^  (--[a-z-]+)", text)) - {"--version", "--reverse"} <= flags, command


def in_zsh(folder, line):
    """What an interactive zsh shows when Tab is pressed behind the line."""
    child, fd = pty.fork()
    if child == 0:
        os.environ.update(TERM="dumb", COLUMNS="200", LINES="60", ZDOTDIR=folder, PS1="ready> ", HOME=folder)
        os.execvp("zsh", ["zsh", "-f", "-i"])
    told = b""

    def read_until(mark, timeout=120):
        nonlocal told
        end = time.monotonic() + timeout
        while mark not in told:
            assert time.monotonic() < end, f"{mark}: {told[-2000:]}"
            if select.select([fd], [], [], 0.5)[0]:
                told += os.read(fd, 65536)
    try:
        os.write(fd, f"PS1='ready> '; fpath=({folder} $fpath); autoload -U compinit && compinit -u -d {folder}/dump; LISTMAX=1000; echo go''od\n".encode())
        read_until(b"good\r\n")
        told = told.partition(b"good\r\n")[2]
        read_until(b"ready> ")  # zsh edits the line from here on
        told = b""
        os.write(fd, line.encode() + b"\t\t\x05#end\n")  # the end of the line becomes a comment that is echoed
        read_until(b"end")
        return told.decode(errors="replace")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(fd)


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_completion_in_zsh(root):
    folder = os.path.join(root, "usr", "share", "zsh", "vendor-completions")
    good("zsh", "-n", os.path.join(folder, "_crossfade"))
    told = in_zsh(folder, "crossfade ")
    assert "compare" in told and not re.search(r"^move\b", told, re.M) and "test every precondition" in told, told
    assert "add-table" in in_zsh(folder, "crossfade capture ")
    assert "retry" in in_zsh(folder, "crossfade apply dlq ")
    told = in_zsh(folder, "crossfade schema plan --format=")
    assert "markdown" in told and "html" in told, told
