"""Ports that nobody listens on.

They lie below the range from which the kernel takes ports for outgoing connections: a server that is killed and
started again on its port must not find it taken by somebody's connection.
"""

import random
import socket
import threading

_LOW, _HIGH = 18000, 32000
_lock = threading.Lock()
_given = set()


def free_port():
    """Returns a port of 127.0.0.1 that is free now and that this process has not given away before."""
    with _lock:
        for _ in range(1000):
            port = random.SystemRandom().randrange(_LOW, _HIGH)
            if port in _given:
                continue
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            _given.add(port)
            return port
    raise RuntimeError("no free port found")
