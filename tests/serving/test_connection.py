"""What a client gets that ends its half, its body or its patience early, and one that never reads."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from unittest.mock import MagicMock

import pytest

from serving.front import Front
from tests.serving.lone_front import WAIT_S, answer, lone_front, send

ALLOWED_UNREAD_BYTES = 10_000_000
GET = b"GET /a HTTP/1.1\r\nHost: vitrine\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: vitrine\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
# As Java's clients and `curl --http2` begin.
UPGRADING = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"


@pytest.fixture(scope="module")
def front_port() -> Iterator[int]:
    """A front whose clients have all the time that they like, and of which there are few."""
    patience = dict.fromkeys(("write_timeout_s", "head_timeout_s", "idle_timeout_s", "linger_s"), 3_600)
    with lone_front(**patience, max_connections=60, max_unread_bytes=ALLOWED_UNREAD_BYTES) as port:
        yield port


@pytest.fixture(scope="module")
def strict_port() -> Iterator[int]:
    """A front that cuts off who takes nothing for two seconds, or less than 50 kB a second."""
    with lone_front(write_timeout_s=2.0, min_bytes_per_s=50_000, head_timeout_s=3.0) as port:
        yield port


def _all_answers(port: int, sent: bytes, *, half_closes: bool) -> bytes:
    """Sends and reads until the server ends the connection."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)) as connection:
        connection.sendall(sent)
        if half_closes:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def _statuses(answers: bytes) -> list[int]:
    return [int(part.split(b" ", 1)[0]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def _unread(port: int, path: str, *, window_bytes: int = 4_096) -> socket.socket:
    """Asks for what is never read: with a small window, so that little of it leaves the server."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    connection.settimeout(WAIT_S)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: vitrine\r\n\r\n".encode())
    return connection


def _is_cut(connection: socket.socket) -> bool:
    """Says whether the server has reset the connection, without reading from it."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (GET, [200]),
        (POST + b"Content-Length: 2\r\n\r\nab", [200]),
        (CHUNKED + b"2\r\nab\r\n0\r\n\r\n", [200]),
        (GET * 5, [200] * 5),
        (b"GET /a HTTP/1.0\r\n\r\n", [200]),
        (UPGRADING + b"\r\n" + GET, [200, 200]),
    ],
)
def test_a_client_that_closes_its_half_after_whole_requests_gets_its_answers(
    front_port: int, sent: bytes, statuses: list[int]
) -> None:
    assert _statuses(_all_answers(front_port, sent, half_closes=True)) == statuses


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED + b"2\r\nab\r\n",
        CHUNKED + b"2\r\nab\r\n0\r\n",
        CHUNKED + b"5\r\nab",
        CHUNKED,
        CHUNKED + b"2\r\nab\r\n0\r\nTrailer: x\r\n",
        POST + b"Content-Length: 3\r\n\r\nab",
        POST + b"Content-Length: 300000\r\n\r\nab",
        POST + b"Content-Le",
        b"GET /a",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\nab",
        b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"GET /a HTTP/1.1\r\n\r\n",  # without Host
        UPGRADING + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        UPGRADING + b"Content-Length: 3\r\n\r\nab",
        UPGRADING + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_request_that_ends_before_its_end_or_has_two_is_refused(front_port: int, sent: bytes) -> None:
    answers = _all_answers(front_port, sent, half_closes=True)

    assert _statuses(answers) == [400]
    assert b"application/problem+json" in answers


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 300_000, 431),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"CONNECT vitrine:80 HTTP/1.1\r\n\r\n", 400),
        (CHUNKED + b"1;" + b"x" * 400_000, 400),
        (CHUNKED + b"1\r\na\r\n0\r\n" + b"Trailer: x\r\n" * 40_000, 400),
        (CHUNKED + b"2\r\nab\r\n" * 500_000 + b"0\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (POST + b"Content-Length: 99999999999\r\n\r\n", 413),
        (UPGRADING + b"Content-Length: 99999999999\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 400),
    ],
)
def test_what_grows_without_end_or_is_of_another_protocol_is_refused_and_ended(
    front_port: int, sent: bytes, status: int
) -> None:
    with closing(socket.create_connection(("127.0.0.1", front_port), timeout=WAIT_S)) as connection:
        connection.sendall(sent)
        connection.settimeout(WAIT_S)
        found = connection.recv(65_536)

    assert _statuses(found) == [status]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ],
)
def test_a_request_that_asks_for_another_protocol_is_answered_as_if_it_had_not(
    front_port: int, body: bytes, at_once: bool
) -> None:
    sent = UPGRADING + body + GET
    with closing(socket.create_connection(("127.0.0.1", front_port), timeout=WAIT_S)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in [sent] if at_once else [sent[at : at + 1] for at in range(len(sent))]:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        answers = connection.makefile("rb").read()

    assert _statuses(answers) == [200, 200]
    assert answers.index(b'"bytes":5') < answers.index(b'"bytes":0')


def test_requests_that_are_sent_at_once_are_answered_in_their_order_and_not_without_end(front_port: int) -> None:
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: vitrine\r\n\r\n" % number for number in range(1_000))

    answers = _all_answers(front_port, requests, half_closes=False)

    statuses = _statuses(answers)
    found = [answers.index(b'"path":"%d"' % number) for number in range(len(statuses))]
    assert 32 <= len(statuses) <= 1_000
    assert set(statuses) == {200}
    assert found == sorted(found)


def test_a_body_after_expect_is_asked_for(front_port: int) -> None:
    with closing(send(front_port, "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2", b"\r\n")) as sender:
        asked = sender.recv(1_000)
        sender.sendall(b"ab")
        status, body = answer(sender)

    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (status, body["bytes"]) == (200, 2)


def test_a_head_that_is_not_whole_in_time_is_answered_with_408(strict_port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", strict_port), timeout=WAIT_S)) as slow:
        slow.sendall(b"GET /a HTTP/1.1\r\nA: ")
        told = b"".join(iter(lambda: slow.recv(65_536), b""))

    assert _statuses(told) == [408]


def test_a_client_that_says_nothing_is_let_go(strict_port: int) -> None:
    with closing(socket.create_connection(("127.0.0.1", strict_port), timeout=WAIT_S)) as silent:
        assert silent.recv(65_536) == b""


def test_clients_that_never_read_are_cut_off_and_one_that_reads_slowly_is_not(strict_port: int) -> None:
    size, read = 1_500_000, 0
    with ExitStack() as opened:
        never = [opened.enter_context(closing(_unread(strict_port, f"/size/{size}"))) for _ in range(5)]
        never.append(opened.enter_context(closing(_unread(strict_port, "/size/20000"))))  # the kernel holds it all
        slow = opened.enter_context(closing(_unread(strict_port, f"/size/{size}", window_bytes=32_768)))
        began = time.monotonic()
        while read < size and (part := slow.recv(16_384)):
            read += len(part)
            time.sleep(0.03)
        took_s = time.monotonic() - began
        cut = [_is_cut(connection) for connection in never]

    assert read >= size
    assert took_s > 2.0  # longer than a client may take nothing
    assert cut == [True] * 6


def test_a_client_that_reads_a_little_now_and_then_is_cut_off(strict_port: int) -> None:
    with closing(_unread(strict_port, "/size/300000")) as drip:
        began = time.monotonic()
        with pytest.raises(ConnectionResetError):
            while time.monotonic() - began < WAIT_S and drip.recv(200):
                time.sleep(0.05)


def test_clients_that_never_read_keep_nobody_out_and_hold_no_more_than_is_allowed(front_port: int) -> None:
    size, most = 1_000_000, ALLOWED_UNREAD_BYTES // 500_000  # some of an answer may be on its way
    with ExitStack() as opened:
        never = [opened.enter_context(closing(_unread(front_port, f"/size/{size}"))) for _ in range(150)]
        good = [answer(send(front_port, "GET /a HTTP/1.1", b"\r\n"))[0] for _ in range(100)]
        held, deadline = never, time.monotonic() + WAIT_S
        while len(held) > most and time.monotonic() < deadline:
            # The kernel tells of a reset once.
            held = [one for one in held if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
            time.sleep(0.05)

    assert good == [200] * 100
    assert len(held) <= most


def test_an_answer_under_way_is_finished_when_the_worker_ends() -> None:
    def open_once_it_ends() -> list[int]:
        while idle.recv(65_536):  # what idles is let go as soon as the end begins
            pass
        opening.sendall(b"x")
        return [answer(opening)[0], answer(held)[0]]

    with ThreadPoolExecutor() as pool, ExitStack() as opened:
        with lone_front() as port:
            idle = opened.enter_context(closing(send(port, "GET /first HTTP/1.1", b"\r\n")))
            held = send(port, "GET /held/image HTTP/1.1", b"\r\n")
            opening = send(port, "POST /open HTTP/1.1\r\nContent-Length: 1", b"\r\n")
            answer(send(port, "GET /a HTTP/1.1", b"\r\n"))  # the loop has read what came before
            opened_late = pool.submit(open_once_it_ends)

        assert opened_late.result() == [200, 200]


def test_a_body_in_chunks_of_two_bytes_is_told_how_to_come(front_port: int) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nab\r\n" * 20_000 + b"0\r\n\r\n"

    status, body = answer(send(front_port, "POST /a HTTP/1.1", chunks))

    assert status == 400
    assert body["detail"] == (
        "expected a body of 20,644 bytes in at most 10,322 chunks, found more; send it in larger chunks, or with a "
        "Content-Length"
    )


@pytest.mark.parametrize(("size", "count"), [(1, 9_000), (64, 15_000), (8_192, 120)])
def test_a_body_in_chunks_that_clients_send_is_read(front_port: int, size: int, count: int) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + (b"%x\r\n" % size + b"x" * size + b"\r\n") * count

    status, body = answer(send(front_port, "POST /a HTTP/1.1", chunks + b"0\r\n\r\n"))

    assert (status, body["bytes"]) == (200, size * count)


def test_small_bodies_that_wait_behind_another_are_counted_and_let_go() -> None:
    """A transport that only notes what it is told: how much of what is sent at once a real one reads varies."""

    async def held_bytes() -> list[int]:
        front = Front(
            lambda *_: [],
            threads=0,
            picture_threads=0,
            max_body_bytes=1_000_000,
            body_timeout_s=60.0,
            max_held_bytes=2_000_000,
        )
        connection = front.connect()
        transport = MagicMock()
        transport.is_closing.return_value = False
        transport.get_extra_info.side_effect = {"socket": MagicMock()}.get
        connection.connection_made(transport)
        connection.data_received((POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 1_000) * 5)
        waiting = front._held_bytes
        connection.connection_lost(None)
        return [waiting, front._held_bytes]

    # One is being answered, and one waits, as of every connection.
    assert asyncio.run(held_bytes()) == [3_000, 0]
