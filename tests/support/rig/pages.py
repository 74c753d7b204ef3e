"""Pages of docs/ whose commands are run: every block marked `sh`, in order, in one shell; a block whose first line is `# NAME.yaml` is saved under that name."""

import os
import re
import shlex
import shutil
import subprocess

from .ports import free_port
from .postgres import default_bindir, major_programs
from .procs import find_crossfade
from .wait import patient
from .workdir import give_to_server_user, server_user

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_SAVED = re.compile(r"# ([\w.-]+\.yaml)\n")


def blocks(path):
    """[(line of the page, language, text)]"""
    with open(path, encoding="utf-8") as f:
        page = f.read()
    return [(page.count("\n", 0, m.start()) + 2, m[1], m[2]) for m in _BLOCK.finditer(page)]


# Servers that a page has started do not survive it, however it ends.
_AT_END = """trap 'set +e; kill $(jobs -p) 2>/dev/null; for f in */postmaster.pid; do [ ! -e "$f" ] || kill -QUIT "$(head -n 1 "$f")"; done; wait' EXIT"""


def script(path):
    """What a reader of the page types. Each block tells its line first: so the last one told is where it stopped."""
    lines = ["set -eu", _AT_END]
    for line, language, text in blocks(path):
        lines.append(f"echo '--- line {line}' >&2")
        saved = _SAVED.match(text)
        if language == "sh":
            lines.append(text)
        elif saved:
            lines.append(f"cat > {saved[1]} <<'END OF FILE'\n{text}END OF FILE")
    return "\n".join(lines) + "\n"


def _wrap(place, programs):
    """A folder of programs that run as the servers' user where root runs the page: they refuse to be root."""
    user = server_user()
    os.makedirs(place)
    for name, program in programs.items():
        path = os.path.join(place, name)
        with open(path, "w", encoding="utf-8") as f:
            as_user = f"setpriv --reuid {user.pw_uid} --regid {user.pw_gid} --clear-groups -- " if user else ""
            f.write(f'#!/bin/sh\nexec {as_user}{shlex.quote(program)} "$@"\n')
        os.chmod(path, 0o755)
    return place


def programs_of(major, folder):
    """A folder with initdb and pg_ctl of that major version of PostgreSQL, below this one."""
    real = major_programs(major, folder)
    return _wrap(os.path.join(folder, f"programs-{major}"), {name: os.path.join(real, name) for name in ("initdb", "pg_ctl")})


def _usual_programs(folder):
    found = {name: os.path.join(default_bindir(), name) for name in ("initdb", "pg_ctl")}
    found.update({name: shutil.which(name) for name in ("mariadbd", "mariadb-install-db") if shutil.which(name)})
    return _wrap(os.path.join(folder, "programs"), found)


def run_page(name, folder, ports=(), env=None, timeout=600):
    """Runs docs/NAME in the (empty) folder; ports: names of variables that get a free one each. What it printed."""
    path = os.path.join(folder, "page.sh")
    with open(path, "w", encoding="utf-8") as f:
        f.write(script(os.path.join(ROOT, "docs", name)))
    programs = _usual_programs(folder)
    give_to_server_user(folder)
    environment = dict(os.environ, **{port: str(free_port()) for port in ports}, **(env or {}), HOME=folder, SIMSHOP=os.path.join(ROOT, "examples", "simshop"),
                       PATH=os.pathsep.join([programs, os.path.dirname(find_crossfade()), os.environ["PATH"]]))
    done = subprocess.run(["setpriv", "--pdeathsig", "TERM", "--", "bash", path], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=patient(timeout), check=False)
    assert done.returncode == 0, f"{name}: exit code {done.returncode}\n{done.stdout[-16000:]}\n{done.stderr[-4000:]}"
    assert "Sanitizer" not in done.stderr, done.stderr[-6000:]
    return done.stdout
