"""One connection of a client: requests are read under deadlines, answered in order, and nothing is held for ever.

The parser is llhttp, by httptools; the event loop is libuv's, by uvloop. What is here is what neither decides: how long
a client may take, how much of it is kept, and when its connection ends (docs/adr/0014).
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httptools

from serving.request_head import RequestHead, percent_encoded
from vitrine.errors import RequestError

if TYPE_CHECKING:
    from serving.front import Front

MAX_HEAD_BYTES = 131_072
MAX_TARGET_BYTES = 65_534
MAX_HEADERS = 100
MAX_PIPELINED = 32  # requests that one connection may send before its first answer
_OLD_KEEPS_ALIVE = b"connection: keep-alive\r\n\r\n"  # HTTP/1.0 closes unless told otherwise
_FREE_CHUNKS, _BYTES_A_CHUNK = 10_000, 64  # clients send kilobytes in each; a chunk costs more than its bytes
_CHUNK_OVERHEAD_BYTES = 16  # of size line and line ends; what is more are extensions, which mean nothing here
_RESET = struct.pack("ii", 1, 0)  # what is unsent is dropped, and the client told so
_SEND_BUFFER_BYTES = 262_144  # of the kernel; by itself it takes 4 MB for a client that reads nothing


@dataclass
class _Received:
    """A request whose body is whole, or refused."""

    head: RequestHead
    body: bytes
    held_bytes: int
    refused: RequestError | None
    keeps_alive: bool


class Connection(asyncio.Protocol):
    """Reads requests from a socket and hands each to the front, whose threads answer them one at a time.

    A client that has sent all and closes its half still gets its answers. One that sends too slowly is told so; one
    that does not read, or hardly, is cut off.
    """

    def __init__(self, front: Front) -> None:
        self.front = front
        self.deadline = 0.0  # when `time_is_up` is called, by the loop's clock; 0: never
        self.unread_bytes = 0  # of answers, that the client has not taken as far as the last look shows
        self.is_answering = False
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._server = self._client = ("", 0)
        self._waiting: deque[_Received] = deque()
        self._is_paused = False
        self._is_blocked = False  # the client does not take what is written
        self._is_ended = False  # the client has closed its half
        self._is_old = False
        self._keeps_answering = True
        self._is_deaf = False  # nothing more is read as a request
        self._is_framing = False  # the parser reads a head that says nothing but where the body ends
        self._is_lingering = False
        self._written_at = self._moved_at = 0.0
        self._written_bytes = 0
        self._target = self._raw_target = b""
        self._received_bytes = 0
        self._forget_request()

    # --- What the event loop calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        nobody = ("", 0)
        ends = (transport.get_extra_info(name) or nobody for name in ("sockname", "peername"))
        self._server, self._client = ((host, port) for host, port, *_ in ends)
        connected = transport.get_extra_info("socket")
        with suppress(OSError):  # the client is gone already
            # Without it half of an answer waits for the client's delayed ACK: 40 ms.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            # What this process has let go of and the client does not take, the kernel would keep for minutes.
            patience_ms = int(self.front.limits.write_timeout_s * 1_000)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
        self.deadline = self.front.now() + self.front.limits.head_timeout_s
        self.front.open_connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.front.open_connections.discard(self)
        self.front.let_go(self._held_bytes + sum(one.held_bytes for one in self._waiting))
        self._waiting.clear()
        self._forget_request()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self.front.open_connections.touch(self)
        if self._phase == "between":
            data = data.lstrip(b"\r\n")  # a line end too many after a body (RFC 9112, 2.2)
            if not data:
                return
            data = self._escaped(data)
        self._received_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, RequestError):
                raise
            self._refuse(error.__context__)
        except httptools.HttpParserError as error:
            self._refuse(RequestError(f"the request is not HTTP/1.1: {error}"))
        else:
            self._check_size()

    def eof_received(self) -> bool:
        self._is_ended = True
        if self._is_lingering:
            return False
        if self._phase != "between" and not self._is_deaf:
            what = "of its declared length" if self._phase == "body" else "that is whole"
            self._refuse(RequestError(f"expected a request {what}, found its end before"))
        self._is_deaf = True
        return self.is_answering or bool(self._waiting)  # true keeps this half open

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._moved_at = self.front.now()
        self._start()

    # --- What the parser calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._is_framing:
            return
        self._phase = "head"
        self._head = RequestHead("", b"", "", {}, self._server, self._client)
        if not self.is_answering:
            self.deadline = self.front.now() + self.front.limits.head_timeout_s

    def on_url(self, url: bytes) -> None:
        if not self._is_framing:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != "head" or self._is_framing:
            return  # a trailer
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self._head.headers
        headers[key] = f"{headers[key]},{text}" if key in headers else text
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise RequestError(
                f"expected at most {MAX_HEADERS} headers", status=431, title="Request Header Fields Too Large"
            )

    def on_headers_complete(self) -> None:
        if self._is_framing:
            return
        head = self._head
        head.method, head.version = self._parser.get_method().decode("latin-1"), self._parser.get_http_version()
        head.target, self._raw_target = self._raw_target or self._target, b""
        if head.version not in ("1.0", "1.1"):
            raise RequestError(f"expected HTTP/1.0 or HTTP/1.1, found HTTP/{head.version}")
        if len(head.target) > MAX_TARGET_BYTES:
            raise RequestError(
                f"expected a URL of at most {MAX_TARGET_BYTES:,} bytes", status=414, title="URI Too Long"
            )
        coding = head.headers.get("transfer-encoding", "chunked").strip().lower()
        if coding != "chunked" or ("transfer-encoding" in head.headers and head.version == "1.0"):
            # RFC 9112, 6.1: where the body ends is known of chunks alone; what else was done to it is not undone here.
            raise RequestError(
                f"expected the Transfer-Encoding `chunked`, in HTTP/1.1, found {coding[:64]!r} in HTTP/{head.version}"
            )
        self._phase, self._headers_bytes = "body", self._received_bytes
        self._keeps_alive = self._parser.should_keep_alive()
        self._is_upgrade = self._parser.should_upgrade() and head.method != "CONNECT"
        length = head.headers.get("content-length", "")
        if length and int(length) > self.front.max_body_bytes:
            self._close_after(None)  # the app refuses it by its declared length
            return
        if not self.is_answering:
            self.deadline = self.front.now() + self.front.body_timeout_s
        self._is_counted = not length or int(length) > self.front.small_bytes or bool(self._waiting)
        if head.headers.get("expect", "").lower() == "100-continue" and head.version == "1.1" and not self._is_deaf:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        if self._is_deaf:
            return
        self._chunks += 1
        most = _FREE_CHUNKS + self._body_bytes // _BYTES_A_CHUNK
        if self._chunks > most:
            self._close_after(
                RequestError(
                    f"expected a body of {self._body_bytes:,} bytes in at most {most:,} chunks, found more; send it in "
                    "larger chunks, or with a Content-Length"
                )
            )

    def on_body(self, part: bytes) -> None:
        if self._is_deaf:
            return
        self._body += part
        self._body_bytes += len(part)
        if self._is_counted:
            self._held_bytes += len(part)
            if not self.front.hold(len(part)):
                self._close_after(
                    RequestError(
                        "too many large requests are being received; try again in a moment",
                        status=503,
                        title="Not ready",
                    )
                )
                return
        if self._body_bytes > self.front.max_body_bytes:
            self._close_after(None)  # the app refuses it by its length so far

    def on_message_complete(self) -> None:
        if self._is_upgrade:
            return  # the parser passes over the body; `_feed` reads it
        if not self._is_deaf:
            self._queue(None, keeps_alive=self._keeps_alive and not self._parser.should_upgrade())
            self._forget_request()
        if len(self._waiting) >= MAX_PIPELINED:
            self._waiting[-1].keeps_alive = False
            self._is_deaf = True
        self._start()

    # --- What the front and its watch call ---------------------------------------------------------------------------

    def answer(self, head: bytes, body: bytes, *, ends: bool = False) -> None:
        """Writes an answer: its head without the empty line at the end, then its body."""
        if self._transport is None or self._transport.is_closing():
            return  # the client is gone, or was cut off
        self.is_answering = False
        keeps_alive = self._keeps_answering and not ends and not self.front.is_ending
        keeps_alive = keeps_alive and not (self._is_ended and not self._waiting)
        last = b"connection: close\r\n\r\n" if not keeps_alive else _OLD_KEEPS_ALIVE if self._is_old else b"\r\n"
        self._transport.writelines((head + last, body))
        self._written_at = self._moved_at = now = self.front.now()
        self._written_bytes = self.unread_bytes = len(head) + len(body)
        self.front.open_connections.touch(self)
        self.deadline = now + (
            self.front.limits.idle_timeout_s if self._phase == "between" else self.front.body_timeout_s
        )
        if not keeps_alive:
            self._finish()
        else:
            self._start()

    def end_if_idle(self) -> None:
        """Ends the connection if it waits for a next request: the worker ends."""
        if not self.is_answering and not self._waiting and self._phase == "between" and not self._is_lingering:
            self._finish()

    def abort(self) -> None:
        """Ends the connection at once, whatever is under way; the kernel keeps nothing of it."""
        if self._transport is not None:
            with suppress(OSError):
                connected = self._transport.get_extra_info("socket")
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def watch(self, now: float) -> None:
        """Looks whether the client takes its answer fast enough, and whether its time is up."""
        if self._transport is None:
            return
        if self.unread_bytes and not self._is_taking(now):
            self.abort()
            return
        if not self.deadline or now < self.deadline or self.is_answering or self.unread_bytes:
            return
        if self._is_lingering or self._phase == "between":
            self._transport.close() if self._is_lingering else self._finish()
        elif self._phase == "body":
            self._close_after(
                RequestError(
                    f"expected the whole body within {self.front.body_timeout_s:g} s; send a smaller picture, or send "
                    "it faster",
                    status=408,
                    title="Request Timeout",
                )
            )
        else:
            limit = self.front.limits.head_timeout_s
            self._refuse(
                RequestError(f"expected the whole head within {limit:g} s", status=408, title="Request Timeout")
            )

    # --- Private -----------------------------------------------------------------------------------------------------

    def _forget_request(self) -> None:
        self._phase = "between"  # or head, or body
        self._head = RequestHead("", b"", "")
        self._target = self._raw_target = b""
        self._body = bytearray()
        self._headers = self._chunks = 0
        self._received_bytes = self._headers_bytes = self._body_bytes = self._held_bytes = 0
        self._is_counted = self._is_upgrade = False
        self._keeps_alive = True

    def _feed(self, data: bytes) -> None:
        """Has the parser read; it stops behind a head that asks for another protocol.

        None is spoken here, so the request means what it means without asking (RFC 9110, 7.8), as Java's clients and
        curl's `--http2` count on. Behind a CONNECT nothing is read.
        """
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._is_upgrade or self._is_deaf:
                    self._is_deaf = True
                    self._start()
                    return
                data = data[upgrade.args[0] :]
                self._read_without_upgrade()
            else:
                return

    def _read_without_upgrade(self) -> None:
        """Begins the body anew, with a parser that knows no more of the head than where the body ends."""
        self._is_upgrade = False
        headers = self._head.headers
        framing = [f"{name}: {headers[name]}" for name in ("content-length", "transfer-encoding") if name in headers]
        self._parser = httptools.HttpRequestParser(self)
        self._is_framing = True
        try:
            self._parser.feed_data(
                "\r\n".join((f"POST / HTTP/{self._head.version}", *framing, "", "")).encode("latin-1")
            )
        finally:
            self._is_framing = False

    def _escaped(self, data: bytes) -> bytes:
        """Returns what the parser reads: it knows no URL in raw UTF-8, which browsers' rivals send."""
        line, separator, rest = data.partition(b"\r\n")
        if line.isascii():
            return data
        parts = line.split(b" ")
        if len(parts) != 3:
            return data
        self._raw_target = parts[1]
        parts[1] = percent_encoded(parts[1])
        return b" ".join(parts) + separator + rest

    def _check_size(self) -> None:
        if self._phase == "head" and self._received_bytes > MAX_HEAD_BYTES:
            self._refuse(
                RequestError(
                    f"expected a head of at most {MAX_HEAD_BYTES:,} bytes",
                    status=431,
                    title="Request Header Fields Too Large",
                )
            )
        elif self._phase == "body" and not self._is_deaf:
            # Neither extensions of chunks nor trailers are counted anywhere else.
            overhead = self._received_bytes - self._headers_bytes - self._body_bytes
            if overhead > MAX_HEAD_BYTES + self._chunks * _CHUNK_OVERHEAD_BYTES:
                self._close_after(RequestError("expected a body in chunks, found extensions or trailers without end"))

    def _refuse(self, error: RequestError) -> None:
        """Answers what cannot be read further, after all that came before it; by the app where its head is known."""
        if self._is_deaf:
            return
        if self._phase == "body":
            self._close_after(error)
            return
        self._is_deaf = True
        self.front.let_go(self._held_bytes)
        self._forget_request()
        self._waiting.append(_Received(RequestHead("", b"", "1.1"), b"", 0, error, keeps_alive=False))
        self._start()

    def _close_after(self, refused: RequestError | None) -> None:
        """Has the app answer what came of the request, and reads no more: nobody knows where the next would begin."""
        self._queue(refused, keeps_alive=False)
        self._is_deaf = True
        self._forget_request()
        self._start()

    def _queue(self, refused: RequestError | None, *, keeps_alive: bool) -> None:
        body = bytes(self._body)
        headers = self._head.headers
        if "transfer-encoding" in headers or self._body_bytes:
            headers.pop("transfer-encoding", None)  # of chunks, which are one body now
            headers["content-length"] = str(len(body))
        self._waiting.append(_Received(self._head, body, self._held_bytes, refused, keeps_alive))

    def _start(self) -> None:
        """Hands the next request to the front once the answer before it was taken."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._is_lingering:
            return
        if not self.is_answering and not self._is_blocked and self._waiting:
            received = self._waiting.popleft()
            self.is_answering, self._keeps_answering = True, received.keeps_alive
            self._is_old = received.head.version == "1.0"
            self.front.take(self, received.head, received.body, received.held_bytes, received.refused)
        must_pause = bool(self._waiting)
        if must_pause != self._is_paused and not self._is_ended:
            self._is_paused = must_pause
            transport.pause_reading() if must_pause else transport.resume_reading()

    def _finish(self) -> None:
        """Ends the connection once all is sent: closing at once would reset it under what the client still sends."""
        self._is_deaf = self._is_lingering = True
        self.deadline = self.front.now() + self.front.limits.linger_s
        if self._is_ended:
            self._transport.close()
            return
        self._transport.write_eof()
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def _is_taking(self, now: float) -> bool:
        """Looks how much of the answer is still here, and says whether the client is fast enough."""
        waiting = self._transport.get_write_buffer_size()
        with suppress(OSError):
            number = self._transport.get_extra_info("socket").fileno()
            waiting += struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, b"\0" * 4))[0]
        if waiting < self.unread_bytes:
            self._moved_at = now
            self.front.open_connections.touch(self)
        self.unread_bytes = waiting
        limits = self.front.limits
        if now - self._moved_at > limits.write_timeout_s:
            return not waiting
        slowest_s = limits.write_timeout_s + self._written_bytes / limits.min_bytes_per_s
        return not waiting or now - self._written_at < slowest_s
