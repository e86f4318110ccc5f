"""A way to PostgreSQL that loses a connection between a commit and its answer."""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

READY = b"Z\x00\x00\x00\x05I"  # the server has done what it was asked to, and waits


class Forwarder:
    """Listens where a client looks for `server`'s socket, in a folder of its own."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder, self.server = folder, server
        self.mark, self.before, self.cuts, self.is_open = b"", False, 0, True
        self.sockets: set[socket.socket] = set()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / server.name))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, mark: bytes, *, before: bool = False, for_good: bool = False) -> None:
        """Lose the connection that sends `mark`, once: after its commit, or before it.

        `for_good`: no connection is made afterwards, until `open` is called.
        """
        self.mark, self.before, self.for_good = mark, before, for_good

    def open(self) -> None:
        self.is_open = True

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if not self.is_open:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.server))
                self.sockets |= {client, server}
                doomed = threading.Event()
                for carry in (self._to_server, self._to_client):
                    args = (client, server, doomed)
                    threading.Thread(target=carry, args=args, daemon=True).start()

    def _to_server(
        self, client: socket.socket, server: socket.socket, doomed: threading.Event
    ) -> None:
        seen = b""
        with suppress(OSError):
            while data := client.recv(65536):
                seen = seen[-200:] + data
                if self.mark and self.mark in seen:
                    self.mark, self.cuts = b"", self.cuts + 1
                    if self.for_good:
                        self.is_open = False
                    if self.before:
                        break
                    doomed.set()
                server.sendall(data)
        if not doomed.is_set():
            self._hang_up(client, server)

    def _to_client(
        self, client: socket.socket, server: socket.socket, doomed: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if not doomed.is_set():
                    client.sendall(data)
                elif READY in data:
                    break
        self._hang_up(client, server)

    def _hang_up(self, *pair: socket.socket) -> None:
        for each in self.sockets if not self.is_open else pair:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Forwarder":
        return self

    def __exit__(self, *ignored: object) -> None:
        self.listener.close()
        self.is_open = False
        self._hang_up()
        os.unlink(self.folder / self.server.name)
