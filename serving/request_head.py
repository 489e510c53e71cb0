"""The head of a request, as it was sent, and the WSGI environment that it means."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from vitrine.errors import RequestError

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)


@dataclass
class RequestHead:
    """What stands before a body.

    Attributes:
        target: of the request line: a path and a query, percent-encoded, or a whole URL.
        headers: by lower-case name; what is sent more than once is joined by commas.
        server: the address that the client connected to, and `client` its own; (host, port).
    """

    method: str
    target: bytes
    version: str
    headers: dict[str, str] = field(default_factory=dict)
    server: tuple[str, int] = ("", 0)
    client: tuple[str, int] = ("", 0)


def split_target(target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Returns path, query and authority of a request target (RFC 9112, 3.2); an authority only where it holds one.

    Raises:
        RequestError: it is no target of a request to this server.
    """
    authority = None
    if not target.startswith(b"/") and target != b"*":
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            raise RequestError("expected a path as the target of the request")
        authority = absolute.group(1)
        target = target[absolute.end() :] or b"/"
        if not target.startswith(b"/"):
            target = b"/" + target
    path, _, query = target.partition(b"#")[0].partition(b"?")
    return path, query, authority


def percent_encoded(target: bytes) -> bytes:
    """Returns a target, or a part of one, in ASCII: what else stands in it is percent-encoded."""
    if target.isascii():
        return target
    return b"".join(b"%%%02X" % byte if byte >= 0x80 else bytes((byte,)) for byte in target)


def environ_of(head: RequestHead) -> dict[str, Any]:
    """Returns the WSGI environment of a request (PEP 3333: text stands for bytes, by Latin-1).

    `REQUEST_URI` holds the target as it was sent: `PATH_INFO` no longer tells a slash from `%2F`.

    Raises:
        RequestError: the target is none, or no host is named.
    """
    path, query, authority = split_target(head.target)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": percent_encoded(query).decode("ascii"),  # bytes that are no UTF-8 end the app
        "REQUEST_URI": (path + b"?" + query if query else path).decode("latin-1"),
        "SERVER_NAME": head.server[0],
        "SERVER_PORT": str(head.server[1]),
        "SERVER_PROTOCOL": f"HTTP/{head.version}",
        "REMOTE_ADDR": head.client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in head.headers.items():
        if "_" in name:
            continue  # `Content_Length` would stand for `Content-Length`, which the parser has checked
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    if "HTTP_HOST" not in environ and head.version != "1.0":
        raise RequestError("expected a header Host, found none; name the host of this address")  # RFC 9112, 3.2
    if authority is not None:
        environ["HTTP_HOST"] = authority.decode("latin-1")
    host = head.server[0]
    environ.setdefault("HTTP_HOST", f"{f'[{host}]' if ':' in host else host}:{head.server[1]}")
    return environ
