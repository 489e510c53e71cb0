"""Between the sockets and the app: a request takes a thread only once all of it is here.

An event loop collects each body under a deadline, so a client that sends slowly, or never ends, costs a connection and
what it has sent so far, and no thread. Threads run the WSGI app, as many as search well beside each other. Pictures
have threads and a queue of their own: a slow object store, or a large picture to shrink, costs no search its thread.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from granian.rsgi import ProtocolClosed

from vitrine.errors import RequestError

log = logging.getLogger("vitrine.serving")

# Where the app finds why a body never came whole: it answers in its own form, and counts the answer.
REFUSED = "vitrine.refused"
_HELD = "vitrine.held_bytes"
_SMALL_BYTES = 65_536  # read in one go and not counted: the number of connections bounds them
_MAX_LENGTH_DIGITS = 20  # of 64 bits, as the server reads it
_FAILED = "the search tier failed; its log says why"

_PICTURE = "/image"
_MAX_WAITING = 128  # pictures; a page asks for 24 on 6 connections

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Lane = SimpleQueue[tuple[dict[str, Any], bytes, Any]]


class Front:
    """What granian calls for each request, on the event loop's thread.

    Args:
        app: the WSGI app.
        threads: that run it for all but pictures.
        picture_threads: that run it for `…/image`; how many wait for them is bounded.
        max_body_bytes: of one request; the app refuses what is larger, by its own limit.
        body_timeout_s: a body must be here within as many seconds.
        max_held_bytes: of all larger bodies together: many slow senders must not fill the memory either.
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        threads: int,
        picture_threads: int,
        max_body_bytes: int,
        body_timeout_s: float,
        max_held_bytes: int,
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._whole: Lane = SimpleQueue()
        self._pictures: Lane = SimpleQueue()
        for name, lane, count in (("answer", self._whole, threads), ("picture", self._pictures, picture_threads)):
            for number in range(count):
                threading.Thread(target=self._run, args=(lane,), name=f"{name}-{number}", daemon=True).start()

    async def __call__(self, exchange: Any) -> None:
        """Collects one request and hands it to the threads.

        Args:
            exchange: granian's `scope` and `proto`, ended by `done` or `err`. Awaiting a thread's answer here, as an
                executor would, costs two more turns of the loop: a third of a small query's time.
        """
        body = b""
        try:
            environ = _environ(exchange.scope)
            if "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") != "0":
                body = await self._collect(environ, exchange.proto)
        except ProtocolClosed:  # the client is gone, or has closed its own half only and still reads
            _end(exchange, 400, "Bad Request", "expected a body of its declared length, found its end before")
            return
        except Exception:  # or nobody would ever answer, and the connection would be held for ever
            log.exception("%s %s failed before the app", exchange.scope.method, exchange.scope.path)
            _end(exchange, 500, "Internal Server Error", _FAILED)
            return
        lane = self._pictures if environ["PATH_INFO"].endswith(_PICTURE) else self._whole
        if lane is self._pictures and lane.qsize() >= _MAX_WAITING:
            environ[REFUSED] = RequestError(
                "too many pictures are being fetched or made smaller; ask again in a moment",
                status=503,
                title="Not ready",
            )
            lane = self._whole
        lane.put((environ, body, exchange))

    async def _collect(self, environ: dict[str, Any], protocol: Any) -> bytes:
        declared = environ.get("CONTENT_LENGTH", "")
        is_number = declared.isascii() and declared.isdigit() and len(declared) <= _MAX_LENGTH_DIGITS
        expected = int(declared) if is_number else None
        if expected is not None and expected > self._max_body_bytes:
            return b""  # the app refuses it by its declared length
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._body_timeout_s):
                if expected is not None and expected <= _SMALL_BYTES:
                    return bytes(await protocol())
                await self._hold(protocol, chunks, environ)
        except TimeoutError:
            environ[REFUSED] = RequestError(
                f"expected the whole body within {self._body_timeout_s:g} s; send a smaller picture, or send it faster",
                status=408,
                title="Request Timeout",
            )
        except Exception:
            self._let_go(environ)
            raise
        body = b"".join(chunks)
        environ.pop("HTTP_TRANSFER_ENCODING", None)  # of chunks, which are one body now
        environ["CONTENT_LENGTH"] = str(len(body))
        return body

    async def _hold(self, protocol: Any, chunks: list[bytes], environ: dict[str, Any]) -> None:
        environ[_HELD] = 0
        async for chunk in protocol:
            chunks.append(chunk)
            environ[_HELD] += len(chunk)
            with self._lock:
                self._held_bytes += len(chunk)
            if self._held_bytes > self._max_held_bytes:
                environ[REFUSED] = RequestError(
                    "too many large requests are being received; ask again in a moment", status=503, title="Not ready"
                )
                return
            if environ[_HELD] > self._max_body_bytes:
                return  # the app refuses it by its length so far

    def _let_go(self, environ: dict[str, Any]) -> None:
        if held := environ.pop(_HELD, 0):
            with self._lock:
                self._held_bytes -= held

    def _run(self, lane: Lane) -> None:
        while True:
            environ, body, exchange = lane.get()
            try:
                self._answer(environ, body, exchange.proto)
            except ProtocolClosed:
                exchange.done()  # the client is gone
            except Exception:  # the thread must live on: others wait for it
                log.exception("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
                _end(exchange, 500, "Internal Server Error", _FAILED)
            else:
                exchange.done()
            self._let_go(environ)
            del environ, body, exchange  # or they would be kept until the next request

    def _answer(self, environ: dict[str, Any], body: bytes, protocol: Any) -> None:
        environ["wsgi.input"] = io.BytesIO(body)
        head: tuple[int, list[tuple[str, str]]] = 500, []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            nonlocal head
            head = int(status.split(" ", 1)[0]), headers

        answered = self._app(environ, start_response)
        try:
            data = b"".join(answered)
        finally:
            if hasattr(answered, "close"):
                answered.close()
        self._let_go(environ)  # before the client can know: its next request is not refused for this one's bytes
        protocol.response_bytes(*head, data)


def _end(exchange: Any, status: int, title: str, detail: str) -> None:
    """Answers without the app, and ends the connection: nobody knows how much of the request was read."""
    head = [("content-type", "application/problem+json"), ("connection", "close")]
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    with suppress(ProtocolClosed):  # the client is gone, or was answered
        exchange.proto.response_bytes(status, head, json.dumps(problem).encode())
    exchange.done()


def _environ(scope: Any) -> dict[str, Any]:
    """Returns the WSGI environment of a request (PEP 3333: text stands for bytes, by Latin-1)."""
    host, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode().decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name:
            continue  # `Content_Length` would stand for `Content-Length`, which the server has checked
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ.setdefault("HTTP_HOST", scope.authority or scope.server)
    return environ
