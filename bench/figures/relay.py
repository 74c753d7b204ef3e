"""A TCP relay on a free port that counts what it carries, in both directions."""

import selectors
import socket
import threading


class Relay:
    """with Relay(port) as relay: relay.port, relay.carried_bytes"""

    def __init__(self, to_port):
        self.to_port, self.carried_bytes = to_port, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._stop_read, self._stop_write = socket.socketpair()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop_write.close()
        self._thread.join()
        self._listener.close()
        self._stop_read.close()

    def _carry(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stop_read, selectors.EVENT_READ)
            open_sockets = set()
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stop_read:
                        for each in open_sockets:
                            each.close()
                        return
                    if key.fileobj is self._listener:
                        self._accept(selector, open_sockets)
                    elif key.fileobj in open_sockets:
                        self._pass_on(selector, open_sockets, key.fileobj, key.data)

    def _accept(self, selector, open_sockets):
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self.to_port))
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one, selectors.EVENT_READ, other)
            open_sockets.add(one)

    def _pass_on(self, selector, open_sockets, one, other):
        try:
            data = one.recv(65536)
        except ConnectionError:
            data = b""
        if data:
            self.carried_bytes += len(data)
            other.sendall(data)
            return
        for each in (one, other):
            selector.unregister(each)
            open_sockets.discard(each)
            each.close()
