"""The addresses of items: any text is an item id, and each id reaches its own item only.

`/v1/items/{item_id}` and `/v1/items/{item_id}/similar|embedding|image`, where the id is percent-encoded with its
slashes (`a%2Fimage`). Slashes that are not encoded belong to the id as well, as long as it does not end like one of the
three. Clients take `.` and `..` out of a path, encoded or not, so an item may also be named by a parameter:
`/v1/item?item_id=..`, `/v1/item/image?item_id=..`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from werkzeug.routing import BaseConverter, ValidationError

ACTIONS = ("similar", "embedding", "image")
_ITEMS = "/v1/items/"
# A client may percent-encode any letter of it, and the app ignores how many slashes it begins with; what comes after it
# stays as it was sent.
_SENT_ITEMS = re.compile("(?:/|(?i:%2f))*" + "".join(f"(?:{letter}|(?i:%{ord(letter):02x}))" for letter in _ITEMS))
_ASCII = bytes(range(128))

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ItemId(BaseConverter):
    """An item id as one percent-encoded segment of a path."""

    def to_python(self, value: str) -> str:
        try:
            return unquote(value, encoding="utf-8", errors="strict")
        except UnicodeDecodeError as error:
            raise ValidationError from error  # no id is written so: there is no such address

    def to_url(self, value: Any) -> str:
        return quote(str(value), safe="")


class ItemPaths:
    """Before the app: a path of an item gets its id as one encoded segment, by the path as it was sent."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["PATH_INFO"] = routed_path(environ)
        return self._app(environ, start_response)


def routed_path(environ: dict[str, Any]) -> str:
    """Returns the path by which the app chooses what answers: an item's has its id as one encoded segment."""
    path = str(environ["PATH_INFO"])
    if not f"/{path.lstrip('/')}".startswith(_ITEMS):
        return path
    sent = environ.get("REQUEST_URI", "").partition("?")[0]
    if unquote_to_bytes(sent.encode("latin-1")) != path.encode("latin-1"):
        sent = quote(path, safe="/", encoding="latin-1")  # of a server that keeps no target as it was sent
    sent = quote(sent, safe=_ASCII, encoding="latin-1")  # bytes sent as they are mean what they mean percent-encoded
    return _ITEMS + _segments(_SENT_ITEMS.sub("", sent, count=1))


def is_of_a_picture(environ: dict[str, Any]) -> bool:
    """Says whether a request is for a picture, by the path that the app goes by."""
    path = routed_path(environ)
    return path.endswith("/image") and path != f"{_ITEMS}image"


def item_path(item_id: str, action: str) -> str:
    """Returns where something of an item is served, with the beginning of a query."""
    if item_id in (".", ".."):
        return f"/v1/item/{action}?item_id={item_id}&"
    return f"{_ITEMS}{quote(item_id, safe='')}/{action}?"


def _segments(rest: str) -> str:
    item_id, slash, action = rest.rpartition("/")
    meant = unquote(action)
    if not slash or not item_id or meant not in ACTIONS:
        return _as_one(rest)
    return f"{_as_one(item_id)}/{meant}"


def _as_one(encoded: str) -> str:
    return encoded.replace("/", "%2F")
