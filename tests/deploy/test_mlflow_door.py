"""The door before MLflow: who may enter, by name, by page and by login."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from typing import Any

import pytest

from deploy.local.mlflow_door import Door

HOSTS = frozenset({"127.0.0.1:5000", "localhost:5000"})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
API = "/api/2.0/mlflow/registered-models/alias"
Headers = Iterable[tuple[bytes, bytes]]


async def beyond(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind the door in these tests."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"entered"})


DOOR = Door(
    beyond, user="admin", password="sésame:öffne", hosts=HOSTS, origins=frozenset(f"http://{host}" for host in HOSTS)
)
HOST = (b"host", b"127.0.0.1:5000")


def login(text: str, scheme: str = "Basic") -> tuple[bytes, bytes]:
    return b"authorization", f"{scheme} {base64.b64encode(text.encode()).decode()}".encode()


LOGIN = login("admin:sésame:öffne")


def status(method: str, path: str, headers: Headers) -> int:
    refusal = DOOR.refusal(method, path, headers)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/", API, "/version", "/health/", "//health", "/Health", "/health/../version", ""])
def test_without_the_login_nothing_is_answered_but_that_the_server_runs(method: str, path: str) -> None:
    assert status(method, path, [HOST]) == 401
    assert status(method, path, [HOST, LOGIN]) == 200
    assert status("GET", "/health", [HOST]) == 200
    assert status("POST", "/health", [HOST]) == 401


@pytest.mark.parametrize(
    "wrong",
    [
        login("admin:password1234"),
        login("admin:"),
        login(":"),
        login("admin"),
        login("sésame:öffne"),
        login("admin:sésame:öffne "),
        login("Admin:sésame:öffne"),
        login("admin:sésame:öffne", scheme="Bearer"),
        (b"authorization", b"Basic"),
        (b"authorization", b"Basic !!!"),
        (b"authorization", b"Basic \xff\xfe"),
        (b"authorization", b""),
        (b"x-forwarded-user", b"admin"),
        (b"cookie", b"session=admin"),
    ],
)
def test_a_wrong_login_is_none(wrong: tuple[bytes, bytes]) -> None:
    assert status("GET", API, [HOST, wrong]) == 401


def test_two_logins_are_none() -> None:
    assert status("GET", API, [HOST, LOGIN, login("admin:guess")]) == 401


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"127.0.0.1",
        b"127.0.0.1:5001",
        b"localhost:50000",
        b"localhost:5000.evil.example",
        b"evil.example",
        b"evil.example:5000",
        b"127.0.0.1:5000@evil.example",
        b"0.0.0.0:5000",
        b"[::1]:5000",
        b"10.0.0.1:5000",
        b"localhost.:5000",
    ],
)
@pytest.mark.parametrize("path", ["/health", API])
def test_another_name_is_refused_though_the_login_is_right(host: bytes, path: str) -> None:
    assert status("GET", path, [(b"host", host), LOGIN]) == 403


def test_names_are_compared_without_regard_to_case_and_given_once() -> None:
    assert status("GET", API, [(b"host", b"LocalHost:5000"), LOGIN]) == 200
    assert status("GET", API, [LOGIN]) == 403
    assert status("GET", API, [HOST, (b"host", b"evil.example"), LOGIN]) == 403


@pytest.mark.parametrize(
    "origin",
    [
        b"http://localhost:3000",
        b"http://localhost",
        b"http://127.0.0.1:5001",
        b"http://[::1]:5000",
        b"https://127.0.0.1:5000",
        b"http://127.0.0.1:5000.evil.example",
        b"http://evil.example",
        b"null",
        b"",
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_page_of_another_origin_is_refused_whatever_it_asks(method: str, origin: bytes) -> None:
    assert status(method, API, [HOST, LOGIN, (b"origin", origin)]) == 403
    assert status(method, API, [HOST, LOGIN, (b"origin", b"http://127.0.0.1:5000"), (b"origin", origin)]) == 403


def test_its_own_pages_may_ask() -> None:
    for host in HOSTS:
        origin = (b"origin", f"http://{host}".encode())
        assert status("POST", API, [HOST, LOGIN, origin, (b"sec-fetch-site", b"same-origin")]) == 200


@pytest.mark.parametrize("site", [b"cross-site", b"same-site", b"anything"])
def test_another_page_may_link_to_the_front_page_and_to_nothing_else(site: bytes) -> None:
    link = [(b"sec-fetch-site", site), (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document")]
    frame = [(b"sec-fetch-site", site), (b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe")]
    picture = [(b"sec-fetch-site", site), (b"sec-fetch-mode", b"no-cors"), (b"sec-fetch-dest", b"image")]

    assert status("GET", "/", [HOST, LOGIN, *link]) == 200
    assert status("POST", "/", [HOST, LOGIN, *link]) == 403
    assert status("GET", API, [HOST, LOGIN, *link]) == 403
    assert status("GET", "/", [HOST, LOGIN, *frame]) == 403
    assert status("GET", "/", [HOST, LOGIN, *picture]) == 403


def test_a_refused_request_never_reaches_what_is_behind() -> None:
    async def ask(scope: dict[str, Any]) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await DOOR(scope, None, send)  # type: ignore[arg-type]
        return sent

    request = {"type": "http", "method": "GET", "path": API}
    [start, body] = asyncio.run(ask({**request, "headers": [HOST]}))
    [entered, _] = asyncio.run(ask({**request, "headers": [HOST, LOGIN]}))
    [socket] = asyncio.run(ask({"type": "websocket", "path": API, "headers": [HOST, LOGIN]}))

    assert (start["status"], dict(start["headers"])[b"www-authenticate"][:5]) == (401, b"Basic")
    assert b"admin" not in body["body"]
    assert entered["status"] == 200
    assert socket["type"] == "websocket.close"


def test_the_password_is_not_shown_with_the_door() -> None:
    assert "sésame" not in repr(DOOR)
