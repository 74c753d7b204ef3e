"""A service manager's end of sd_notify: a socket that takes what a role says, in order, with the time at which it came."""

import os
import socket
import threading
import time

from .wait import wait_until


class NotifySocket:
    """with NotifySocket(folder) as n: role.env = n.env(watchdog_us=2_000_000); …; n.wait("READY=1")"""

    def __init__(self, folder, name="notify"):
        self.path = os.path.join(str(folder), name)
        self.told = []  # (monotonic seconds, line)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"", self.path)
        self._thread.join()
        self._socket.close()
        os.unlink(self.path)

    def _listen(self):
        while True:
            message = self._socket.recv(8192)
            if not message:
                return
            self.told += [(time.monotonic(), line) for line in message.decode().split("\n") if line]

    def env(self, watchdog_us=None):
        """Variables for the process: as systemd sets them (no WATCHDOG_PID: any process may answer)."""
        return {"NOTIFY_SOCKET": self.path, **({"WATCHDOG_USEC": str(watchdog_us)} if watchdog_us else {})}

    def lines(self, head="", since=0.0):
        return [line for at, line in list(self.told) if line.startswith(head) and at >= since]

    def wait(self, head, more_than=0, timeout=60):
        """Until more than so many lines begin with head."""
        wait_until(lambda: len(self.lines(head)) > more_than, timeout, f"{head} ({self.lines()[-5:]})")
