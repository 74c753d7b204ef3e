"""A TCP relay on a free port that counts what it carries, in both directions, and may keep from a server that clients have gone."""

import contextlib
import selectors
import socket
import threading

TERMINATE = b"X\0\0\0\4"


class Relay:
    """with Relay(port) as relay: relay.port, relay.carried_bytes

    lingering: a PostgreSQL server hears of no client's end before the relay's.
    """

    def __init__(self, to_port, lingering=False):
        self.to_port, self.carried_bytes, self.lingering = to_port, 0, lingering
        self._clients = set()
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

    def cut_clients(self):
        """Ends all connections of now for the clients. (A lingering server goes on as if nothing had been.)"""
        for client in list(self._clients):
            with contextlib.suppress(OSError):  # it has gone already
                client.shutdown(socket.SHUT_RDWR)

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
        self._clients.add(client)
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
            other.sendall(data.removesuffix(TERMINATE) if self.lingering and one in self._clients else data)
            return
        for each in (one, other):
            selector.unregister(each)
            if not self.lingering or each in self._clients:
                open_sockets.discard(each)
                each.close()
