"""Between the sockets and the app: a request takes a thread only once all of it is here.

An event loop collects each request under deadlines, so a client that sends slowly, or never ends, costs a connection
and what it has sent so far, and no thread. Threads run the WSGI app, as many as search well beside each other. Pictures
have threads and a queue of their own: a slow object store, or a large picture to shrink, costs no search its thread.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from queue import SimpleQueue
from time import time
from typing import Any

from serving.connection import Connection
from serving.item_paths import is_of_a_picture
from serving.open_connections import Limits, OpenConnections
from serving.request_head import RequestHead, environ_of
from vitrine.errors import RequestError

log = logging.getLogger("vitrine.serving")

# Where the app finds why a request never came whole: it answers in its own form, and counts the answer.
REFUSED = "vitrine.refused"
_SMALL_BYTES = 65_536  # of a declared body: the first that waits of a connection is not counted, connections are
_FAILED = "the search tier failed; its log says why"

_MAX_WAITING = 128  # pictures; a page asks for 24 on 6 connections

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Front:
    """Takes connections on the event loop's thread, and has threads answer their requests.

    Args:
        app: the WSGI app.
        threads: that run it for all but pictures.
        picture_threads: that run it for `…/image`; how many wait for them is bounded.
        max_body_bytes: of one request; the app refuses what is larger, by its own limit.
        body_timeout_s: a body must be here within as many seconds.
        max_held_bytes: of all larger bodies together: many slow senders must not fill the memory either.
        limits: of connections.
    """

    small_bytes = _SMALL_BYTES

    def __init__(
        self,
        app: WsgiApp,
        *,
        threads: int,
        picture_threads: int,
        max_body_bytes: int,
        body_timeout_s: float,
        max_held_bytes: int,
        limits: Limits | None = None,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.body_timeout_s = body_timeout_s
        self.limits = limits or Limits()
        self.open_connections = OpenConnections(self.limits)
        self.is_ending = False  # answers are the last of their connections
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._whole: Lane = SimpleQueue()
        self._pictures: Lane = SimpleQueue()
        for name, lane, count in (("answer", self._whole, threads), ("picture", self._pictures, picture_threads)):
            for number in range(count):
                threading.Thread(target=self._run, args=(lane,), name=f"{name}-{number}", daemon=True).start()

    def connect(self) -> Connection:
        """Makes what the running event loop hands a new connection to."""
        self._loop = asyncio.get_running_loop()
        return Connection(self)

    def now(self) -> float:
        """The time on the event loop's clock, in seconds."""
        return self._loop.time() if self._loop is not None else 0.0

    def hold(self, size_bytes: int) -> bool:
        """Counts bytes of a body that is being received; false when they are too many."""
        with self._lock:
            self._held_bytes += size_bytes
            return self._held_bytes <= self._max_held_bytes

    def let_go(self, size_bytes: int) -> None:
        """Counts bytes no longer."""
        if size_bytes:
            with self._lock:
                self._held_bytes -= size_bytes

    def take(
        self, connection: Connection, head: RequestHead, body: bytes, held_bytes: int, refused: RequestError | None
    ) -> None:
        """Hands a request to the threads; `refused` says why it did not come whole."""
        exchange = _Exchange(self, connection, held_bytes)
        if refused is not None and not head.method:
            exchange.end(refused.status, refused.title, str(refused))
            return
        try:
            environ = environ_of(head)
        except RequestError as error:
            exchange.end(error.status, error.title, str(error))
            return
        except Exception:  # or nobody would ever answer, and the connection would be held for ever
            log.exception("%s %s failed before the app", head.method, head.target[:200])
            exchange.end(500, "Internal Server Error", _FAILED)
            return
        lane = self._pictures if is_of_a_picture(environ) else self._whole
        if lane is self._pictures and lane.qsize() >= _MAX_WAITING:
            refused = RequestError(
                "too many pictures are being fetched or made smaller; try again in a moment",
                status=503,
                title="Not ready",
            )
        if refused is not None:
            environ[REFUSED], lane = refused, self._whole
        lane.put((environ, body, exchange))

    def _run(self, lane: Lane) -> None:
        while True:
            environ, body, exchange = lane.get()
            try:
                self._answer(environ, body, exchange)
            except Exception:  # the thread must live on: others wait for it
                log.exception("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
                self._on_loop(exchange.end, 500, "Internal Server Error", _FAILED)
            del environ, body, exchange  # or they would be kept until the next request

    def _answer(self, environ: dict[str, Any], body: bytes, exchange: _Exchange) -> None:
        environ["wsgi.input"] = io.BytesIO(body)
        head: tuple[str, list[tuple[str, str]]] = "500 Internal Server Error", []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            nonlocal head
            head = status, headers

        answered = self._app(environ, start_response)
        try:
            data = b"".join(answered)
        finally:
            if hasattr(answered, "close"):
                answered.close()
        written = _head_bytes(*head, length=len(data))
        exchange.let_go()  # before the client can know: its next request is not refused for this one's bytes
        self._on_loop(exchange.connection.answer, written, data)

    def _on_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(call, *arguments)


class _Exchange:
    """A request that is being answered, and the bytes that are held for it."""

    def __init__(self, front: Front, connection: Connection, held_bytes: int) -> None:
        self.connection = connection
        self._front = front
        self._held_bytes = held_bytes

    def let_go(self) -> None:
        """Counts the bytes of its body no longer."""
        held, self._held_bytes = self._held_bytes, 0
        self._front.let_go(held)

    def end(self, status: int, title: str, detail: str) -> None:
        """Answers without the app, and ends the connection: nobody knows how much of the request was read."""
        self.let_go()
        problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        data = json.dumps(problem).encode()
        phrase = HTTPStatus(status).phrase
        head = _head_bytes(f"{status} {phrase}", [("content-type", "application/problem+json")], length=len(data))
        self.connection.answer(head, data, ends=True)


Lane = SimpleQueue[tuple[dict[str, Any], bytes, _Exchange]]


def _head_bytes(status: str, headers: list[tuple[str, str]], *, length: int) -> bytes:
    """Returns the head of an answer, without the empty line at its end."""
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name}: {value}" for name, value in headers]
    is_bodiless = status[0] == "1" or status.startswith(("204", "304"))
    if not is_bodiless and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"content-length: {length}")
    lines.append(f"date: {_date(int(time()))}\r\n")
    return "\r\n".join(lines).encode("latin-1")


@lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
