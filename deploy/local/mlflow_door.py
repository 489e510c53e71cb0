"""The door before MLflow: every request names this server, comes from its own pages, and bears the login.

It stands before all routes, so what MLflow adds is behind it too. MLflow's own checks stay where they are; by
themselves they let every port of localhost in, and `/health` answers any name.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATH = "/health"  # says that the server runs, and nothing else
_CHALLENGE = (b"www-authenticate", b'Basic realm="MLflow of Vitrine", charset="UTF-8"')


@dataclass(frozen=True)
class Refusal:
    """What a request is answered with instead of reaching MLflow."""

    status: int
    message: str


@dataclass(frozen=True)
class Door:
    """An ASGI application that lets through to `app` only what may enter.

    Attributes:
        app: behind the door.
        user, password: that every request bears (HTTP Basic), apart from `GET /health`.
        hosts: that a request may name as its `Host`, with their port, in small letters.
        origins: of the pages that may ask; a request of any other page is refused, whatever its method.
    """

    app: App
    user: str
    password: str = field(repr=False)
    hosts: frozenset[str]
    origins: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or hands it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif (refusal := self.refusal(scope["method"], scope["path"], scope["headers"])) is not None:
            await _answer(refusal, send)
        else:
            await self.app(scope, receive, send)

    def refusal(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
        """Returns why a request may not enter, or None when it may.

        Args:
            method: of the request.
            path: without the query.
            headers: names in small letters, as ASGI hands them over; a name may stand there more than once.
        """
        given: dict[bytes, list[str]] = {}
        for name, value in headers:
            given.setdefault(name, []).append(value.decode("latin-1"))
        named = [host.lower() for host in given.get(b"host", [])]
        if len(named) != 1 or named[0] not in self.hosts:
            found = f", found {', '.join(named)}" if any(named) else ""
            return Refusal(403, f"expected a Host header that names this server{found}: see `make status`")
        if not self.origins.issuperset(given.get(b"origin", [])):
            return Refusal(403, "pages of another origin may not ask here")
        if _comes_from_elsewhere(given) and not _opens_the_front_page(method, path, given):
            return Refusal(403, "pages of another origin may open the front page here, and nothing else")
        if method in ("GET", "HEAD") and path == OPEN_PATH:
            return None
        if not self._bears_the_login(given.get(b"authorization", [])):
            return Refusal(401, "expected user and password (HTTP Basic); `make status` shows them")
        return None

    def _bears_the_login(self, credentials: list[str]) -> bool:
        if len(credentials) != 1:
            return False
        scheme, _, encoded = credentials[0].partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except ValueError:
            return False
        return hmac.compare_digest(given, f"{self.user}:{self.password}".encode())


def _comes_from_elsewhere(given: dict[bytes, list[str]]) -> bool:
    """Tells whether a browser says so; only browsers send this header, and no page can forge it."""
    return any(site not in ("same-origin", "none") for site in given.get(b"sec-fetch-site", []))


def _opens_the_front_page(method: str, path: str, given: dict[bytes, list[str]]) -> bool:
    """Tells whether a link to MLflow's page was followed; the page's own views stand behind `#`."""
    navigates = given.get(b"sec-fetch-mode") == ["navigate"]
    return method == "GET" and path == "/" and navigates and given.get(b"sec-fetch-dest") == ["document"]


async def _answer(refusal: Refusal, send: Send) -> None:
    body = f"{refusal.message}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    if refusal.status == 401:
        headers.append(_CHALLENGE)
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
