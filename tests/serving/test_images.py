"""Pictures never cost searches their threads, however slow the object store is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from serving.application import create_app
from serving.replica_folder import ReplicaFolder
from tests.serving.shop_window import ShopWindow


@pytest.fixture
def silent_store() -> Iterator[socket.socket]:
    """An object store that accepts requests and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield silent


@pytest.fixture
def slow_store_app(shop: ShopWindow, silent_store: socket.socket, tmp_path: Path) -> Flask:
    """The shop's app over that object store."""
    folder = ReplicaFolder(tmp_path, "slow")
    folder.make()
    url = f"http://127.0.0.1:{silent_store.getsockname()[1]}"
    return create_app(shop.settings.model_copy(update={"s3_endpoint_url": url}), slots=shop.slots, folder=folder)


def test_a_picture_waits_for_a_slow_store_once_and_is_asked_for_again_later(
    slow_store_app: Flask, silent_store: socket.socket
) -> None:
    answer = slow_store_app.test_client().get("/v1/items/item%2F1/image")

    assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "2")
    assert _count_connections(silent_store) == 1  # a second attempt would make a second one


def _count_connections(server: socket.socket) -> int:
    server.setblocking(False)
    for count in range(64):
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
    return 64
