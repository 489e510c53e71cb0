"""The listening socket is lent whole: what waits in its queue is answered by whoever borrowed it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from serving.listening import borrow, is_loopback, lend, listen, listens_on
from tests.free_ports import free_port
from tests.waiting import wait_for
from vitrine.errors import SettingsError


def test_a_connection_that_waits_is_answered_by_who_borrowed_the_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("a-long-name" * 10)  # longer than the path of a Unix socket may be
    folder.mkdir()
    port = free_port()
    listening = listen("127.0.0.1", port)
    lend(listening, folder / "0.sock")
    client = socket.create_connection(("127.0.0.1", port))

    borrowed = wait_for(lambda: borrow(folder / "0.sock"), what="the socket that is lent")
    listening.close()
    borrowed.setblocking(True)
    accepted, _ = borrowed.accept()
    accepted.sendall(b"hello")

    assert client.recv(5) == b"hello"
    assert listens_on(borrowed, "127.0.0.1", port)
    assert not listens_on(borrowed, "127.0.0.2", port)
    assert not borrowed.get_inheritable()
    for one in (client, accepted, borrowed):
        one.close()


def test_nothing_is_borrowed_where_nobody_lends(tmp_path: Path) -> None:
    (tmp_path / "0.sock").touch()

    assert borrow(tmp_path / "0.sock") is None
    assert borrow(tmp_path / "1.sock") is None


def test_an_address_that_cannot_be_listened_on_is_said(tmp_path: Path) -> None:
    port = free_port()
    with listen("127.0.0.1", port), pytest.raises(SettingsError, match=f"127.0.0.1:{port}"):
        listen("127.0.0.1", port)
    with pytest.raises(SettingsError, match="VITRINE_SEARCH_HOST"):
        listen("192.0.2.1", port)  # of documentation, and of no machine


@pytest.mark.parametrize(("host", "is_so"), [("127.3.2.1", True), ("::1", True), ("localhost", True), ("shop", False)])
def test_loopback_is_known_by_name_and_by_address(host: str, is_so: bool) -> None:
    assert is_loopback(host) is is_so
