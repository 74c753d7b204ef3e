"""Processes: any (Process), and the roles of Crossfade (Role).

A child gets the parent-death signal, so that nothing survives a test process that is killed. The kernel sends that signal
when the *thread* that started the child ends; therefore one thread, which lives as long as the interpreter, starts them all.
"""

import atexit
import concurrent.futures
import contextlib
import glob
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
import weakref

from .wait import patient, wait_until

_starter = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")
_alive = weakref.WeakSet()
_REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def children_of(pid):
    """The ids of the direct children of a process."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(path) as f:
            found += [int(word) for word in f.read().split()]
    return found


def processes_about(text):
    """Processes with that in their arguments, as anybody sees them: [(pid, arguments)]."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError), open(path, "rb") as f:
            words = f.read().replace(b"\0", b" ").decode(errors="replace")
            if text in words:
                found.append((int(path.split("/")[2]), words))
    return found


def pid_alive(pid):
    """Whether the process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def send_signal(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Process:
    """One child process with a log file. It can be started again after it ended; the log goes on in the same file."""

    def __init__(self, name, argv, log, env=None, cwd=None, user=None, detached=False,
                 stop_signal=signal.SIGTERM):
        """user: a pwd entry to run as. detached: it outlives this interpreter (whoever starts it so must end it)."""
        self.name, self.argv, self.log, self.env, self.cwd, self.user = name, list(argv), log, env, cwd, user
        self.detached, self.stop_signal = detached, stop_signal
        self.child = None
        self._starting = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # -- life

    def start(self):
        assert not self.running, f"{self.name} runs already"
        self._starting = _starter.submit(self._spawn)
        self._starting.result()
        return self

    def _spawn(self):
        """Sets self.child by itself: who waits for it may be interrupted, and must still be able to end it."""
        argv = ["setpriv"]
        if self.user:
            argv += ["--reuid", str(self.user.pw_uid), "--regid", str(self.user.pw_gid), "--clear-groups"]
        if not self.detached:
            argv += ["--pdeathsig", self.stop_signal.name[3:]]
        if len(argv) > 1:
            argv += ["--"] + self.argv
        else:
            argv = self.argv
        env = dict(os.environ, **{k: str(v) for k, v in (self.env or {}).items()})
        if self.user:
            env["HOME"] = self.user.pw_dir
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env,
                                          cwd=self.cwd or os.path.dirname(self.log), start_new_session=True)
        if not self.detached:
            _alive.add(self)

    @property
    def pid(self):
        return self.child.pid if self.child else None

    @property
    def running(self):
        if self._starting is not None and not self._starting.done():
            concurrent.futures.wait([self._starting])
        return self.child is not None and self.child.poll() is None

    @property
    def exit_code(self):
        """None while it runs; negative: ended by that signal."""
        return self.child.poll() if self.child else None

    def signal(self, number):
        assert self.running, f"{self.name} does not run (exit code {self.exit_code})\n{self.log_tail()}"
        self.child.send_signal(number)

    def wait(self, timeout=30):
        """Waits for its end and returns the exit code."""
        try:
            return self.child.wait(patient(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {patient(timeout):g} s\n{self.log_tail()}") from None

    def wait_answers(self, ask, timeout, not_yet=(), what="answers"):
        """Until ask() says something true while the process runs; not_yet: exceptions that mean to ask again."""
        def asked():
            assert self.running, f"{self.name} ended ({self.exit_code})\n{self.log_tail()}"
            with contextlib.suppress(*not_yet):
                return ask()
            return None
        wait_until(asked, timeout, f"{self.name} {what}", interval=0.1)

    def terminate(self, timeout=30):
        """Asks it to end, and returns the exit code."""
        self.signal(self.stop_signal)
        return self.wait(timeout)

    def kill9(self):
        """SIGKILL, unless it has ended by itself; returns the exit code."""
        if self.running:
            self.child.kill()
        return self.wait(10)

    def assert_exit(self, code, timeout=30):
        """Waits until it ends by itself, with this code."""
        got = self.wait(timeout)
        assert got == code, f"{self.name}: exit code {got}, expected {code}\n{self.log_tail()}"

    def close(self):
        if self.running:
            self.child.send_signal(self.stop_signal)
            try:
                self.child.wait(12)
            except subprocess.TimeoutExpired:
                self.kill9()

    # -- log

    def log_text(self):
        with contextlib.suppress(OSError), open(self.log, errors="replace") as f:
            return f.read()
        return ""

    def log_tail(self, lines=30):
        text = self.log_text().splitlines()[-lines:]
        return f"--- {self.log}\n" + "\n".join(text)

    def wait_log(self, text, timeout=30):
        """Waits for a line of the log that contains the text."""
        def seen():
            assert self.running or text in self.log_text(), \
                f"{self.name} ended ({self.exit_code}) without '{text}'\n{self.log_tail()}"
            return text in self.log_text()
        wait_until(seen, timeout, f"{self.name} logs '{text}'")


def run_as(user, argv, cwd, timeout=None):
    """Runs a program to its end as a user (a pwd entry; None: the one that runs this) and returns what it printed; raises with that when it fails."""
    prefix = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups", "--"] if user else []
    done = subprocess.run(prefix + [str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd, timeout=timeout, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@atexit.register
def _end_all():
    for process in list(_alive):
        process.close()


_SANITIZER = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", ": runtime error: ")


def lsn_value(text):
    """0/16B3748 as a number, so that two can be compared."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def find_crossfade():
    """The executable: $CROSSFADE_BIN, else the one below build/ that was built last."""
    named = os.environ.get("CROSSFADE_BIN")
    if named:
        return os.path.abspath(named)
    found = [path for pattern in ("crossfade", "cli/crossfade", "bin/crossfade")
             for path in glob.glob(os.path.join(_REPOSITORY, "build", "*", pattern)) if os.path.isfile(path)]
    if not found:
        raise FileNotFoundError("no crossfade below build/: build one or set CROSSFADE_BIN")
    return max(found, key=os.path.getmtime)


def _takes(pid, signum):
    """Whether the process catches or blocks the signal (proc(5): SigCgt, SigBlk)."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            masks = [int(line.split()[1], 16) for line in f if line.startswith(("SigCgt:", "SigBlk:"))]
    except FileNotFoundError:
        return True
    return any(mask >> (signum - 1) & 1 for mask in masks)


class Role(Process):
    """`crossfade -c CONFIG SUBCOMMAND…` that runs and answers over HTTP.

    The listen address is the configuration's: port tells which port of 127.0.0.1 it is (free_port() beforehand).
    """

    def __init__(self, subcommand, config, log, port=None, binary=None, **more):
        words = subcommand.split() if isinstance(subcommand, str) else list(subcommand)
        super().__init__("crossfade " + " ".join(words), [binary or find_crossfade(), "-c", str(config), *words], str(log), **more)
        self.port = port

    def start(self, failpoint=None):
        """failpoint "name[:n[:kill|error|stop|hang]]" holds for this start only."""
        self.env = {k: v for k, v in (self.env or {}).items() if k != "CROSSFADE_FAILPOINT"}
        if failpoint:
            self.env["CROSSFADE_FAILPOINT"] = failpoint
        return super().start()

    def terminate(self, timeout=30):
        """As of any process, but not before it can be told to end: one that has just begun would die of the signal."""
        wait_until(lambda: not self.running or _takes(self.pid, self.stop_signal), timeout, f"{self.name} takes {self.stop_signal.name}")
        return super().terminate(timeout)

    def sanitizer_reports(self):
        """The lines in which a sanitizer complained, of all starts."""
        return [line for line in self.log_text().splitlines() if any(mark in line for mark in _SANITIZER)]

    def get(self, path, timeout=2.0):
        """GET: (HTTP status, body as text), or None when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, ValueError):
            return None

    def status(self):
        """/status as a dictionary, or None when it does not answer (yet)."""
        answer = self.get("/status")
        return json.loads(answer[1]) if answer and answer[0] == 200 else None

    def wait_for(self, predicate, timeout=60, what="status"):
        """Waits until predicate(status) is true and returns that status; complains at once when the role ends."""
        last = {}

        def holds():
            status = self.status()
            if status is not None:
                last.update(status=status)
                if predicate(status):
                    return status
            assert self.running, f"{self.name} ended ({self.exit_code}) while waiting for {what}\n{self.log_tail()}"
            return None
        try:
            return wait_until(holds, timeout, f"{self.name}: {what}")
        except AssertionError as error:
            raise type(error)(f"{error}\nlast status: {json.dumps(last.get('status'))}\n{self.log_tail()}") from None

    def wait_ready(self, timeout=30):
        return self.wait_for(lambda status: True, timeout, "answers /status")

    def wait_lsn(self, field, lsn, timeout=60):
        """Waits until a position of its status (such as "applied_lsn") has reached this LSN, given as text."""
        return self.wait_for(lambda status: lsn_value(status.get(field) or "0/0") >= lsn_value(lsn), timeout, f"{field} >= {lsn}")


def last_line(role):
    """The last line of its log: a role that ends says there why."""
    return role.log_text().strip().splitlines()[-1]


def halts(role, code, *words, timeout=60):
    """Waits until the role ends by itself with this code; its last line has all these words."""
    role.assert_exit(code, timeout)
    for word in words:
        assert word in last_line(role), f"'{word}' is not in: {last_line(role)}"


def retries(role, *words, timeout=60):
    """Waits until the role tries again because of an error with all these words, and returns its status."""
    def seen(status):
        return status.get("phase") == "retrying" and all(word in (status.get("last_error") or "") for word in words)
    return role.wait_for(seen, timeout, f"retries because of {words}")


def run_crossfade(*arguments, config=None, binary=None, timeout=120, env=None):
    """Runs a subcommand to its end: subprocess.CompletedProcess with text in stdout and stderr."""
    argv = [binary or find_crossfade()] + (["-c", str(config)] if config else []) + [str(a) for a in arguments]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patient(timeout),
                          env=dict(os.environ, **(env or {})), check=False)


__all__ = [
    "Process", "Role", "halts", "last_line", "retries", "run_crossfade", "find_crossfade", "lsn_value", "children_of", "pid_alive",
    "send_signal",
]
