"""Nothing that a client sends gives a 500: random bodies, URLs and raw bytes."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.attacks.request_mutants import mutants
from benchmarks.attacks.requests import COUNT
from benchmarks.attacks.sending import send_all
from tests.serving.replica_process import ReplicaProcess
from tests.serving.shop_window import ShopWindow

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
)
columns = st.sampled_from(["category", "color", "price", "in_stock", "x"])
ranges = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte", "eq"]), values, max_size=3)
filters = st.dictionaries(columns, values | ranges, max_size=3) | values
bodies = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=60) | values,
        "item_id": st.sampled_from(["item/1", "nobody"]) | values,
        "embedding": st.lists(st.floats(), min_size=14, max_size=18) | values,
        "image": st.text(max_size=60) | values,
        "catalog": st.sampled_from(["shop", "plain", "coming", "nowhere"]) | values,
        "top_k": st.integers(-5, 300) | values,
        "filters": filters,
        "dedupe": st.sampled_from(["image", "product"]) | values,
    },
)
JSON_POST = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
shared = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
quick = settings(max_examples=100, deadline=None, suppress_health_check=shared)


def _check(answer: Any) -> None:
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    if answer.status_code >= 400:
        assert answer.mimetype == "application/problem+json"
        assert answer.json["detail"]


@quick
@given(body=bodies)
def test_random_queries_are_answered_or_refused(shop: ShopWindow, body: dict[str, Any]) -> None:
    _check(shop.client.post("/v1/search", data=json.dumps(body), content_type="application/json"))


@quick
@given(
    body=st.binary(max_size=300), content_type=st.sampled_from(["application/json", "multipart/form-data; boundary=x"])
)
def test_random_bytes_are_refused(shop: ShopWindow, body: bytes, content_type: str) -> None:
    _check(shop.client.post("/v1/search", data=body, content_type=content_type))


@quick
@given(
    item_id=st.text(max_size=30),
    action=st.sampled_from(["", "/similar", "/image", "/embedding"]),
    query=st.dictionaries(st.sampled_from(["catalog", "top_k", "filters", "width", "v", "q"]), st.text(max_size=20)),
)
def test_random_urls_are_answered_or_refused(
    shop: ShopWindow, item_id: str, action: str, query: dict[str, str]
) -> None:
    _check(shop.client.get(f"/v1/items/{quote(item_id)}{action}", query_string=query))


@pytest.mark.parametrize("seed", range(4))
def test_a_tenth_of_the_attack_by_requests_gets_no_5xx_and_hangs_nowhere(
    shop_replica: ReplicaProcess, seed: int
) -> None:
    faults: list[tuple[str, bytes]] = []

    found = send_all(
        mutants(COUNT // 40, seed=seed),
        shop_replica.settings.search_port,
        tell=lambda mutant, outcome: faults.append((outcome, mutant.data)),
    )

    assert faults == []
    assert found.total() == COUNT // 40
    assert found["2xx"] > 20  # they are not all refused at the door
    assert shop_replica.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        JSON_POST + b"Content-Length: 50\r\n\r\n{",
        JSON_POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        JSON_POST + b"Content-Length: 99999999999\r\n\r\n{}",
        b"GET /v1/items/%ff%00%0a/similar?catalog=%00&top_k=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/item/embedding?filters\xbdFalse HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/release HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"b" * 60_000 + b"\r\n\r\n",
        b"TRACE /v1/search HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_raw_bytes_on_the_socket_break_nothing(shop_replica: ReplicaProcess, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", shop_replica.settings.search_port), timeout=60) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""

    assert not answer.startswith((b"HTTP/1.1 500", b"HTTP/1.1 502"))
    assert shop_replica.get("/healthz").status_code == 200
