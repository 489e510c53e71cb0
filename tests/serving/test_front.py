"""Slow, endless and oversized requests cost a connection, never a thread."""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import unquote

import pytest

from serving.front import _MAX_WAITING
from serving.worker import THREADS
from tests.serving.lone_front import WAIT_S, lone_front, wait_until_read
from tests.serving.lone_front import answer as _answer
from tests.serving.lone_front import send as _send
from tests.serving.replica_process import ReplicaProcess
from tests.serving.shop_window import ShopWindow
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def front_port() -> Iterator[int]:
    """The port of a front with small limits, in a process of its own; a body may take as long as it likes."""
    with lone_front(body_timeout_s=3600.0) as port:
        yield port


@contextmanager
def _held_pictures(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Asks for pictures that no thread answers before the block ends; in which order they are read is the server's."""
    _answer(_send(port, "GET /shut HTTP/1.1", b"\r\n"))
    pictures = [_send(port, "GET /held/image HTTP/1.1", b"\r\n") for _ in range(count)]
    try:
        yield pictures
    finally:
        _answer(_send(port, "GET /open HTTP/1.1", b"\r\n"))


def _readable(connections: list[socket.socket]) -> list[socket.socket]:
    return select.select(connections, [], [], 0)[0]


def _wait_readable(connections: list[socket.socket], *, count: int) -> list[socket.socket]:
    """Returns the connections that have an answer once there are as many, and all that were answered with them."""
    deadline = time.monotonic() + WAIT_S
    while len(_readable(connections)) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return _readable(connections)


def _once_refused(port: int) -> tuple[int, dict[str, object]]:
    """Sends whole bodies until one is refused: those that were sent before need not have been read yet."""
    whole = b"\r\n" + b"x" * 300_000
    deadline = time.monotonic() + WAIT_S
    while True:
        status, body = _answer(_send(port, "POST /large HTTP/1.1\r\nContent-Length: 300000", whole))
        if status != 200 or time.monotonic() > deadline:
            return status, body


def test_searches_are_answered_while_more_slow_senders_than_threads_hold_their_requests(
    shop: ShopWindow, shop_replica: ReplicaProcess
) -> None:
    head = "POST /v1/search HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 60"
    query = {"embedding": shop.plain.vectors[5].tolist(), "catalog": "plain", "top_k": 1}
    workers = len(shop_replica.wait_ready()["workers"])
    with ExitStack() as opened:
        senders = [_send(shop.settings.search_port, head, b'\r\n{"text": ') for _ in range(3 * workers * THREADS)]
        for sender in senders:
            opened.enter_context(closing(sender))
        wait_until_read(senders)

        answers = [shop_replica.search(**query) for _ in range(20)]

        told_off = _readable(senders)
    assert [answer.status_code for answer in answers] == [200] * 20
    assert told_off == []  # no sender's time was up before the searches were answered


def test_slow_pictures_keep_no_search_waiting(front_port: int) -> None:
    with _held_pictures(front_port, 2) as pictures:
        search, _ = _answer(_send(front_port, "GET /search HTTP/1.1", b"\r\n"))

        answered_meanwhile = _readable(pictures)
    answers = [_answer(picture)[0] for picture in pictures]

    assert search == 200
    assert answered_meanwhile == []
    assert answers == [200, 200]


def test_pictures_that_wait_are_bounded_and_the_others_are_told_to_come_again(front_port: int) -> None:
    with _held_pictures(front_port, 30 + _MAX_WAITING) as pictures:
        answered_meanwhile = _wait_readable(pictures, count=29)
    answers = Counter((status, body.get("title")) for status, body in map(_answer, pictures))

    # One is being answered; its thread may take it from the queue late, when the queue was full without it.
    assert answers.pop((503, "Not ready")) in (29, 30)
    assert set(answers) == {(200, None)}
    assert len(answered_meanwhile) >= 29


def test_a_body_that_is_not_whole_in_time_is_answered_with_what_was_expected() -> None:
    with lone_front(body_timeout_s=0.5) as port:
        status, body = _answer(_send(port, "POST /slow HTTP/1.1\r\nContent-Length: 10", b"\r\nhalf"))

    assert status == 408
    assert body["title"] == "Request Timeout"
    assert "within 0.5 s" in str(body["detail"])


def test_a_body_in_chunks_that_grows_over_the_limit_is_cut_off(front_port: int) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + 3 * (b"61A80\r\n" + b"x" * 400_000 + b"\r\n")

    status, _ = _answer(_send(front_port, "POST /big HTTP/1.1", chunks))

    assert status == 413


def test_many_large_bodies_that_never_end_are_refused_before_they_fill_the_memory(front_port: int) -> None:
    head, body = "POST /large HTTP/1.1\r\nContent-Length: 1000000", b"\r\n" + b"x" * 900_000
    with closing(_send(front_port, head, body)), closing(_send(front_port, head, body)):
        status, refused = _once_refused(front_port)
        small, _ = _answer(_send(front_port, "POST /small HTTP/1.1\r\nContent-Length: 2", b"\r\nok"))

    assert (status, refused["title"]) == (503, "Not ready")
    assert small == 200


def test_what_was_held_is_free_again_after_the_answers(front_port: int) -> None:
    whole = b"\r\n" + b"x" * 1_000_000

    def ask() -> tuple[int, dict[str, object]]:
        return _answer(_send(front_port, "POST /a HTTP/1.1\r\nContent-Length: 1000000", whole))

    wait_for(lambda: ask()[0] == 200, what="the end of what clients of the test before had sent")
    answers = [ask() for _ in range(5)]

    assert [(status, body["bytes"]) for status, body in answers] == [(200, 1_000_000)] * 5


def test_paths_and_queries_reach_the_app_as_they_were_meant(front_port: int) -> None:
    _, body = _answer(_send(front_port, "GET /item%2F7/caf%C3%A9%20%3F?catalog=a%20b&x= HTTP/1.1", b"\r\n"))

    assert body == {"path": "item/7/café ?", "bytes": 0, "query": "catalog=a%20b&x="}


def test_a_query_in_raw_utf8_reaches_the_app_as_it_was_meant(front_port: int) -> None:
    with socket.create_connection(("127.0.0.1", front_port), timeout=WAIT_S) as connection:
        connection.sendall("GET /a?q=€ HTTP/1.1\r\nHost: vitrine\r\n\r\n".encode())

        status, body = _answer(connection)

    assert (status, unquote(body["query"])) == (200, "q=€")


@pytest.mark.parametrize("header", ["Content_Length: " + "9" * 5_000, "Content_Length: 7"])
def test_a_header_with_an_underscore_does_not_stand_for_another_one(front_port: int, header: str) -> None:
    status, body = _answer(_send(front_port, f"GET /a HTTP/1.1\r\n{header}", b"\r\n"))

    assert (status, body["bytes"]) == (200, 0)


def test_what_fails_before_the_app_is_answered_and_ends_the_connection(front_port: int) -> None:
    with closing(_send(front_port, "GET /a HTTP/1.1\r\nX-Break-The-Front: yes", b"\r\n")) as connection:
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"application/problem+json" in answer


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(front_port: int) -> None:
    for _ in range(5):
        _send(front_port, "POST /gone HTTP/1.1\r\nContent-Length: 1000", b"\r\nx").close()

    status, _ = _answer(_send(front_port, "GET /next HTTP/1.1", b"\r\n"))

    assert status == 200
