"""A temporary folder that other users may enter, and the user that servers run as."""

import os
import pwd
import shutil
import tempfile
import time


def server_user():
    """The user for servers that refuse to run as root: None when this process is not root anyway."""
    if os.getuid() != 0:
        return None
    for name in (os.environ.get("CROSSFADE_SERVER_USER"), "crossfade-test", "postgres", "nobody"):
        try:
            if name:
                return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("no user to run servers as: install PostgreSQL's package or set CROSSFADE_SERVER_USER")


def give_to_server_user(path):
    user = server_user()
    if user:
        for root, dirs, files in os.walk(path):
            for name in dirs + files:
                os.chown(os.path.join(root, name), user.pw_uid, user.pw_gid, follow_symlinks=False)
        os.chown(path, user.pw_uid, user.pw_gid)


class Workdir:
    """with Workdir("name") as path: a fresh folder, removed at the end (kept with keep or CROSSFADE_KEEP=1)."""

    def __init__(self, name="test", keep=False):
        self.path = tempfile.mkdtemp(prefix=f"crossfade-{name}-")
        self.keep = keep or os.environ.get("CROSSFADE_KEEP") == "1"
        os.chmod(self.path, 0o755)

    def __enter__(self):
        return self.path

    def __exit__(self, *exc):
        self.remove()

    def remove(self):
        if self.keep:
            print(f"kept: {self.path}")
            return
        for _ in range(20):  # a program that was just killed may leave a child that still writes for a moment
            shutil.rmtree(self.path, ignore_errors=True)
            if not os.path.exists(self.path):
                return
            time.sleep(0.1)
