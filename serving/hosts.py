"""Who may ask: by which names this replica is called, and from which web pages its costly routes are used.

A page of an attacker can have its own name resolve to this machine (DNS rebinding), and then reads what answers under
it; and any page can send a form to any address. Neither can be seen by address, both by what browsers say: `Host`,
`Origin` and `Sec-Fetch-Site`, which no script can set.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request

from vitrine.errors import RequestError
from vitrine.settings import Settings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SAFE = {"GET", "HEAD", "OPTIONS"}  # methods that a link or a picture of any page may use
_OWN_PAGE = {"same-origin", "none"}  # `none`: a person typed the address


class OwnNames:
    """The names by which a replica is called.

    Its own are those of the loopback interface and of the address that it listens on, with its port; the host of the
    URL that it advertises; and the address that a client has connected to, whichever of this machine's that is: by it
    Prometheus and load balancers ask. `search_hosts` adds to them, `*` allows any.
    """

    def __init__(self, settings: Settings) -> None:
        port = str(settings.search_port)
        self._names: set[tuple[str, str | None]] = {(name, port) for name in _LOOPBACK}
        self._is_open = False
        bound = settings.search_host
        if bound:
            self._names.add((_without_dot(bound), port))
        advertised = settings.search_url
        if advertised:
            self._names.add((_without_dot(urlsplit(advertised).hostname or ""), None))
        for entry in _entries(settings.search_hosts):
            if entry == "*":
                self._is_open = True
            elif (split := _split(entry)) is not None:
                self._names.add(split)

    def holds(self, host: str, *, connected: tuple[str, str]) -> bool:
        """Says whether a `Host` header names this replica; `connected` is the address that the client reached."""
        if self._is_open:
            return True
        found = _split(host)
        if found is None:
            return False
        name, port = found
        if (name, port) in self._names or (name, None) in self._names:
            return True
        # The port of HTTP itself is left out. No name can stand for it elsewhere: what decides is the name.
        if port is None and any(name == known for known, _ in self._names):
            return True
        address = _address(name)
        return address is not None and address == _address(connected[0]) and port in (None, connected[1])


def install(app: Flask, settings: Settings) -> None:
    """Has `app` refuse requests to other names, and costly ones from other pages."""
    names = OwnNames(settings)
    origins = {origin.rstrip("/").lower() for origin in _entries(settings.search_origins)}

    @app.before_request
    def check() -> None:
        host = request.environ.get("HTTP_HOST", "")
        if not names.holds(host, connected=_connected(request.environ)):
            raise RequestError(
                f"{host[:100]!r} is not a name of this search tier; use one of its own, or add this one to "
                "VITRINE_SEARCH_HOSTS",
                status=421,
                title="Misdirected Request",
            )
        if request.method not in _SAFE and not _is_own_page(request, origins):
            raise RequestError(
                "this was sent by a web page of another origin; pages that may search here stand in "
                "VITRINE_SEARCH_ORIGINS",
                status=403,
                title="Forbidden",
            )

    @app.after_request
    def allow(response: Response) -> Response:
        origin = request.headers.get("Origin", "")
        if origins:
            response.vary.add("Origin")
        if origin.lower() in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Headers"] = "content-type"
            response.headers["Access-Control-Max-Age"] = "600"
        return response


def _is_own_page(asked: Request, origins: set[str]) -> bool:
    """Says whether a request comes from this tier's own page, from an allowed one, or from no page at all."""
    origin, site = asked.headers.get("Origin"), asked.headers.get("Sec-Fetch-Site")
    if site in _OWN_PAGE or (origin is not None and origin.lower() in origins):
        return True
    if site is not None:
        return False
    return origin is None or urlsplit(origin).netloc.lower() == asked.environ.get("HTTP_HOST", "").lower()


def _connected(environ: Mapping[str, Any]) -> tuple[str, str]:
    return str(environ.get("SERVER_NAME", "")).lower(), str(environ.get("SERVER_PORT", ""))


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _split(host: str) -> tuple[str, str | None] | None:
    """Returns name and port of a `Host`, or None where it is none."""
    if any(letter in host for letter in "/?#@\\ ,") or not host.isascii():
        return None
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or host.endswith(":"):
        return None
    return _without_dot(name), None if port is None else str(port)


def _without_dot(name: str) -> str:
    return name.lower().removesuffix(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
