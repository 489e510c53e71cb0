"""Any text is an item id, and an address of an item is that of no other item."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from serving.item_paths import ItemId, ItemPaths, is_of_a_picture, item_path
from serving.request_head import RequestHead, environ_of
from tests.serving.odd_shop import ODD_IDS, odd_picture

ACTIONS = ("", "/similar", "/embedding", "/image")


def _get(app: Flask, target: str | bytes) -> tuple[int, bytes]:
    """Asks as the front does, by the target of a request line."""
    sent = target.encode() if isinstance(target, str) else target
    environ = environ_of(RequestHead("GET", sent, "1.1", {"host": "localhost"}, ("127.0.0.1", 80)))
    status = ""
    environ["wsgi.input"] = io.BytesIO()

    def start_response(told: str, _: Any, __: Any = None) -> None:
        nonlocal status
        status = told

    body = b"".join(app.wsgi_app(environ, start_response))
    return int(status.split(maxsplit=1)[0]), body


def test_each_id_reaches_its_own_item_by_every_address(odd_app: Flask) -> None:
    for row, item_id in enumerate(ODD_IDS):
        inside = f"/v1/items/{quote(item_id, safe='')}"
        for address in ((inside + "{}?"), f"/v1/item{{}}?item_id={quote(item_id, safe='')}&"):
            status, body = _get(odd_app, address.format(""))
            assert (status, json.loads(body)["item_id"]) == (200, item_id)
            url = json.loads(body)["image_url"]
            status, body = _get(odd_app, address.format("/embedding"))
            assert (status, json.loads(body)["item_id"], json.loads(body)["embedding"][row]) == (200, item_id, 1.0)
            status, body = _get(odd_app, address.format("/similar") + "top_k=200")
            assert status == 200
            assert item_id not in [found["item_id"] for found in json.loads(body)["results"]]
            status, image = _get(odd_app, address.format("/image"))
            assert (status, image) == _get(odd_app, url)
            assert (status, image) == (200, odd_picture(row))


def _app_of_ids() -> Flask:
    """Answers with the id and the action that an address means."""
    app = Flask("ids")
    app.url_map.merge_slashes = False
    app.url_map.converters["path"] = ItemId
    app.wsgi_app = ItemPaths(app.wsgi_app)  # type: ignore[method-assign]
    for action in ("item", *(action.lstrip("/") for action in ACTIONS if action)):
        rule = "/v1/items/<path:item_id>" + ("" if action == "item" else f"/{action}")
        app.add_url_rule(rule, action, lambda item_id, action=action: {"item_id": item_id, "action": action})
    return app


def test_addresses_of_all_ids_and_actions_differ(odd_app: Flask) -> None:
    addresses = [item_path(item_id, action) for item_id in ODD_IDS for action in ("similar", "image", "embedding")]

    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize(
    ("path", "item_id"),
    [
        ("/v1/items/a/b", "a/b"),
        ("/v1/items/a/b/similar", "a/b"),
        ("/v1/items/a%2Fb/image", "a/b"),
        ("/v1/items/a/b/", "a/b/"),
        ("/v1/items//x", "/x"),
        ("/v1/items//image", "/image"),
        ("/v1/items/image", "image"),
        ("/v1/items/image/image", "image"),
        ("/v1/items/a%2Fimage", "a/image"),
        ("/v1/items/a%2fimage/image", "a/image"),
        ("/v1/items/a%252Fb", "a%2Fb"),
        ("/v1/items/caf\u00e9", "café"),
        ("/v1/items/caf%C3%A9", "café"),
    ],
)
def test_addresses_mean_what_they_meant_and_encoded_slashes_belong_to_ids(path: str, item_id: str) -> None:
    app = _app_of_ids()

    answer = app.test_client().get(path)
    sent = _get(app, path)

    assert answer.json is not None and answer.json["item_id"] == item_id
    assert json.loads(sent[1]) == answer.json


@pytest.mark.parametrize(
    ("target", "item_id", "action"),
    [
        ("/v1/item%73/a", "a", "item"),
        ("/v1/item%73/a/image", "a", "image"),
        ("/v1/item%73/a%2Fimage", "a/image", "item"),
        ("/v1/items%2fa/similar", "a", "similar"),
        ("/v1%2Fitems/a%2Fb/embedding", "a/b", "embedding"),
        ("/%76%31/%69%74%65%6d%73/a/image", "a", "image"),
        ("/%76%31/%69%74%65%6D%73/caf%c3%a9", "café", "item"),
        ("//v1/items/a%2Fimage", "a/image", "item"),
        ("/%2F/v1/item%73/a%252Fb/image", "a%2Fb", "image"),
        ("/v1/items//v1/items/a", "/v1/items/a", "item"),
        ("/v1/items/a/im%61ge", "a", "image"),
        ("/v1/items/a%2Fim%61ge", "a/image", "item"),
        ("/v1/items/a/im%2561ge", "a/im%61ge", "item"),
        ("/v1/items/café/image", "café", "image"),  # as some clients send it: without percent-encoding
        ("/v1/items/\ufffd", "\ufffd", "item"),
        ("/v1/items/a%00b", "a\0b", "item"),
        ("/v1/items/%2Fv1%2Fitems%2Fa/image", "/v1/items/a", "image"),
        ("/v1/item%73/./a/../b/image", "./a/../b", "image"),
    ],
)
def test_letters_of_the_address_may_be_encoded_as_well(target: str, item_id: str, action: str) -> None:
    status, body = _get(_app_of_ids(), target)

    assert (status, json.loads(body)) == (200, {"item_id": item_id, "action": action})


@pytest.mark.parametrize(
    ("target", "is_picture"),
    [
        ("/v1/items/a/image", True),
        ("/v1/items/a/imag%65?width=9", True),
        ("/v1/item/image?item_id=a", True),
        ("/v1/item/imag%65?item_id=a", True),
        ("/v1/item%2Fimage?item_id=a", True),
        ("/v1/items/a%2Fimage/image", True),
        ("/v1/items/a%2Fimage", False),
        ("/v1/items/image", False),
        ("/v1/items/a?x=/image", False),
    ],
)
def test_a_picture_is_known_by_the_path_that_the_app_goes_by(target: str, is_picture: bool) -> None:
    environ = environ_of(RequestHead("GET", target.encode(), "1.1", {"host": "localhost"}))

    assert is_of_a_picture(environ) == is_picture


@pytest.mark.parametrize(
    "target",
    [
        "/v1//items/a",
        "/v1/./items/a",
        "/v1/x/../items/a",
        "/V1/items/a",
        "/v1/item%2573/a",
        "/v1/items",
    ],
)
def test_other_spellings_are_the_address_of_nothing(target: str) -> None:
    assert _get(_app_of_ids(), target)[0] == 404


def test_bytes_that_are_no_text_are_the_address_of_nothing(odd_app: Flask) -> None:
    assert _get(odd_app, "/v1/items/%ff")[0] == 404
    assert _get(odd_app, "/v1/items/a%ff/image")[0] == 404
    assert _get(odd_app, b"/v1/items/\xff")[0] == 404
    assert _get(odd_app, b"/v1/items/a\xff/image")[0] == 404
    assert _get(odd_app, "/v1/items/%ED%A0%80")[0] == 404  # half of a surrogate pair
    assert _get(odd_app, "/v1/item?item_id=%FF")[0] == 400
    assert _get(odd_app, b"/v1/item/image?item_id=\xff")[0] == 400
    assert _get(odd_app, "/v1/item?item_id=")[0] == 400
    assert _get(odd_app, "/v1/item")[0] == 400
    assert _get(odd_app, "/v1/item?item_id=a&item_id=b")[0] == 400
