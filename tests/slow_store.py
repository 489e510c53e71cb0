"""A loopback proxy before the real S3 server, which is slow for requests whose head names what it was told."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

_PIECE_BYTES = 4_096


class SlowStore:
    """Passes bytes on as they are; those that answer a request for `slow_for` come at `bytes_per_s`, until `hurry`.

    Attributes:
        slow_for: what the head of such a request contains; nothing is slow while it is empty.
        asked: set once such a request came.
        answered_bytes: of such requests, so far.
    """

    def __init__(self, endpoint_url: str, *, bytes_per_s: float) -> None:
        parts = urlsplit(endpoint_url)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self.bytes_per_s = bytes_per_s
        self._hurry = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.slow_for = ""
        self.asked = threading.Event()
        self.answered_bytes = 0
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def hurry(self) -> None:
        """Is slow no more."""
        self._hurry.set()

    def close(self) -> None:
        """Takes no more connections."""
        self.hurry()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._upstream)
                is_slow = threading.Event()
                for pump in (self._ask, self._answer):
                    threading.Thread(target=pump, args=(client, server, is_slow), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, is_slow: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if self.slow_for and self.slow_for.encode() in data:
                    self.asked.set()
                    is_slow.set()
                elif data.startswith((b"GET", b"HEAD")):  # another request on a connection that is kept
                    is_slow.clear()
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket, is_slow: threading.Event) -> None:
        with suppress(OSError), client, server:
            while data := server.recv(_PIECE_BYTES):
                if is_slow.is_set():
                    self._hurry.wait(_PIECE_BYTES / self.bytes_per_s)
                    self.answered_bytes += len(data)
                client.sendall(data)
