"""Requests as no client sends them: JSON, forms, URLs, headers and raw bytes, drawn from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_TEXTS = [
    "",
    "red",
    "é",
    "名前",
    "\x00",
    "\ud800",
    "a" * 3_000,
    "%2F",
    "../..",
    "<script>",
    "'; --",
    "nan",
    "1e999",
    "\r\nX: y",
]
_NUMBERS = [0, 1, -1, 10, 200, 201, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan")]
_FIELDS = ["text", "image", "item_id", "embedding", "catalog", "top_k", "filters", "dedupe", "x", ""]
_COLUMNS = ["category", "color", "price", "in_stock", "x"]
_PATHS = [
    "/",
    "/v1/items",
    "/v1/item",
    "/v1/catalogs",
    "/v1/release",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/page/x",
]
_ACTIONS = ["", "/similar", "/embedding", "/image", "/x", "/image/similar", "/"]
_HEADERS = ["Content-Length", "Transfer-Encoding", "Expect", "Connection", "Host", "Origin", "Range", "If-None-Match"]
_HEADER_VALUES = [
    "0",
    "-1",
    "9" * 30,
    "chunked",
    "gzip",
    "identity",
    "100-continue",
    "close",
    "upgrade",
    "null",
    "*",
    "é",
    "bytes=0-",
]


@dataclass(frozen=True)
class Mutant:
    """One request; what is `whole` must be answered, of what is not the connection may just end."""

    kind: str
    data: bytes
    is_whole: bool


def mutants(count: int, *, seed: int) -> Iterator[Mutant]:
    """Draws requests; equal seeds give equal ones."""
    drawn = random.Random(seed)
    kinds: list[tuple[str, Callable[[random.Random], bytes], bool]] = [
        ("json", _json, True),
        ("form", _form, True),
        ("url", _url, True),
        ("headers", _headers, False),
        ("raw", _raw, False),
    ]
    for number in range(count):
        kind, make, is_whole = kinds[number % len(kinds)]
        yield Mutant(kind, make(drawn), is_whole)


def _value(drawn: random.Random, depth: int = 3) -> Any:
    kind = drawn.randrange(7 if depth else 5)
    if kind < 2:
        return drawn.choice(_TEXTS)
    if kind < 4:
        return drawn.choice(_NUMBERS)
    if kind == 4:
        return drawn.choice([None, True, False])
    if kind == 5:
        return [_value(drawn, depth - 1) for _ in range(drawn.randrange(5))]
    return {drawn.choice([*_COLUMNS, "gte", "lt", "eq"]): _value(drawn, depth - 1) for _ in range(drawn.randrange(4))}


def _query(drawn: random.Random) -> dict[str, Any]:
    sound: dict[str, Any] = {
        "text": "a red lamp",
        "item_id": "item/3",
        "catalog": drawn.choice(["shop", "shop", "plain", "nowhere"]),
        "top_k": drawn.choice([drawn.randrange(1, 50), drawn.randrange(-2, 250)]),  # half of them are behind the door
        "filters": {drawn.choice(_COLUMNS): _value(drawn, 2)},
        "embedding": [drawn.random() for _ in range(drawn.choice([0, 1, 16, 17]))],
        "dedupe": drawn.choice(["image", "product"]),
    }
    names = drawn.sample(sorted(sound), drawn.randrange(1, 5))
    body = {name: sound[name] for name in names}
    for _ in range(drawn.randrange(3)):
        body[drawn.choice(_FIELDS)] = _value(drawn)
    return body


def _json(drawn: random.Random) -> bytes:
    text = json.dumps(_query(drawn)).encode()
    if drawn.random() < 0.4:
        text = _broken(drawn, text)
    if drawn.random() < 0.02:
        text = drawn.choice([b"[" * 50_000, b'{"a":' * 50_000, b'"' + b"a" * 150_000])
    return _post(text, drawn.choice(["application/json"] * 8 + ["application/json; charset=zzz", "text/json"]))


def _form(drawn: random.Random) -> bytes:
    parts = []
    for _ in range(drawn.randrange(5)):
        disposition = drawn.choice(["form-data"] * 6 + ["attachment", "", "form-data; form-data"])
        name = drawn.choice(["", "; name", "; name*=utf-8''te%ffxt", *[f'; name="{field}"' for field in _FIELDS]])
        file = drawn.choice([""] * 3 + ['; filename="a.jpg"', "; filename*=zzz'x'%ff", '; filename=""'])
        kind = drawn.choice([""] * 4 + ["\r\nContent-Type: text/plain; charset=zzz", "\r\nContent-Length: x"])
        value = drawn.choice([drawn.choice(_TEXTS).encode("utf-8", "surrogatepass"), drawn.randbytes(50), _GIF])
        head = f"--x\r\nContent-Disposition: {disposition}{name}{file}{kind}\r\n\r\n".encode()
        parts.append(head + value + b"\r\n")
    body = b"".join(parts) + drawn.choice([b"--x--\r\n"] * 4 + [b"", b"--x", b"--y--"])
    if drawn.random() < 0.4:
        body = _broken(drawn, body)
    boundary = drawn.choice(["; boundary=x"] * 8 + ["", "; boundary=", '; boundary="x', "; boundary=" + "y" * 300])
    return _post(body, f"multipart/form-data{boundary}")


def _url(drawn: random.Random) -> bytes:
    path = drawn.choice(_PATHS)
    if drawn.random() < 0.7:
        ids = [drawn.choice(["item/3", "nobody", "image", "..", "%ff", "%", *_TEXTS[:9]]) for _ in range(2)]
        coded = quote(drawn.choice(ids), safe=drawn.choice(["", "/", "%/"]), errors="replace")
        path = f"/v1/item{drawn.choice(['s/' + coded, 's//' + coded, ''])}{drawn.choice(_ACTIONS)}"
    names = ["catalog", "top_k", "limit", "filters", "dedupe", "width", "v", "item_id", "x"]
    query = "&".join(
        f"{drawn.choice(names)}={quote(str(_value(drawn, 1)), errors='replace')[:2_000]}"
        for _ in range(drawn.randrange(4))
    )
    method = drawn.choice(["GET"] * 8 + ["HEAD", "OPTIONS", "DELETE", "PUT"])
    target = f"{path}?{query}" if query else path
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def _headers(drawn: random.Random) -> bytes:
    lines = [f"{drawn.choice(_HEADERS)}: {drawn.choice(_HEADER_VALUES)}" for _ in range(drawn.randrange(1, 6))]
    if drawn.random() < 0.9:
        lines.append("Host: localhost")  # without it nothing else is looked at
    target, version = (
        drawn.choice([*_PATHS, "*", "http://localhost/", "//", "x"]),
        drawn.choice(["1.1"] * 6 + ["1.0", "2.0", "9"]),
    )
    first = f"{drawn.choice(['GET', 'POST', 'CONNECT', 'get', 'TRACE'])} {target} HTTP/{version}"
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1", "replace") + drawn.choice([b"", b"0\r\n\r\n", b"{}"])


def _raw(drawn: random.Random) -> bytes:
    sound = drawn.choice([_json, _form, _url, _headers])(drawn)
    for _ in range(drawn.randrange(1, 4)):
        sound = _broken(drawn, sound)
    if drawn.random() < 0.2:
        sound += drawn.choice([_json, _url])(drawn)
    return sound


def _broken(drawn: random.Random, data: bytes) -> bytes:
    if not data:
        return drawn.randbytes(20)
    place, end = drawn.randrange(len(data)), drawn.randrange(len(data) + 1)
    return drawn.choice(
        [
            data[:place],
            data[:place] + drawn.randbytes(drawn.randrange(1, 9)) + data[place:],
            data[:place] + bytes((data[place] ^ (1 << drawn.randrange(8)),)) + data[place + 1 :],
            data[: min(place, end)] + data[max(place, end) :],
            data + data[place:],
        ]
    )


def _post(body: bytes, content_type: str) -> bytes:
    head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


_GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
