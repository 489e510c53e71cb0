"""Any text is an item id, and an address of an item is that of no other item."""

from __future__ import annotations

import io
import json
import time
from itertools import product
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from flask import Flask
from shop_window import ShopWindow
from tiny_release import picture, publish_tiny_release

from serving.application import create_app
from serving.item_paths import ItemId, ItemPaths, item_path
from serving.loaded_release import Encoders
from serving.release_cache import ReleaseCache
from serving.replica_folder import CatalogPlan, Plan, ReplicaFolder, SlotPlan
from serving.request_head import RequestHead, environ_of
from serving.worker_slots import WorkerSlots

ACTIONS = ("", "/similar", "/embedding", "/image")
PARTS = ["a", "image", "similar", "embedding", ".", "..", "", "%2F", "?", "#", "&v=1", "+", " ", "é", "\\", "%", "名前"]
IDS = sorted(
    {"/".join(parts) for parts in [*product(PARTS), *product(["a", "", "image", ".."], PARTS)]}
    | {f"x{suffix}" for suffix in ("/image", "/image/image", "//image", "/similar/image", "%2Fimage", "/image/")}
    | {"/x", "//x", "/", "//", "x/", "/image", "/similar/embedding", "items/x/image", "a?item_id=b", "a#b/image"}
)[1:]  # without the empty one, which is none


@pytest.fixture(scope="module")
def odd(shop: ShopWindow, tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An app over a catalog whose items have all those ids, and pictures that tell one from the next."""
    state = tmp_path_factory.mktemp("odd")
    count = len(IDS)
    vectors = np.eye(count, dtype=np.float32)
    pictures = [picture((place % 256, place // 256, 7), size=(8, 8), kind="PNG") for place in range(count)]
    tiny = publish_tiny_release(
        shop.store, shop.ledger, catalog_id="odd", vectors=vectors, pictures=pictures, item_ids=IDS
    )
    settings = shop.settings.model_copy(update={"state_dir": state, "default_catalog": "odd"})
    folder = ReplicaFolder(state, "odd")
    folder.make()
    cache = ReleaseCache(folder.cache)
    cache.fetch("odd", tiny.release_id, shop.store)
    slots = WorkerSlots(cache, Encoders(settings, state / "compiled"))
    catalog = CatalogPlan(
        title="Odd",
        description="",
        slots={"blue": SlotPlan(release_id=tiny.release_id)},
        live=tiny.release_id,
        generation=1,
        activated_at="2026-11-20T00:00:00+00:00",
    )
    plan = Plan(default_catalog="odd", catalogs={"odd": catalog})
    slots.step(plan)
    while not slots.is_settled(plan):
        time.sleep(0.02)
        slots.step(plan)
    slots.step(plan)
    return create_app(settings, slots=slots, folder=folder)


def _get(app: Flask, target: str) -> tuple[int, bytes]:
    """Asks as the front does, by the target of a request line."""
    environ = environ_of(RequestHead("GET", target.encode(), "1.1", {"host": "localhost"}, ("127.0.0.1", 80)))
    status = ""
    environ["wsgi.input"] = io.BytesIO()

    def start_response(told: str, _: Any, __: Any = None) -> None:
        nonlocal status
        status = told

    body = b"".join(app.wsgi_app(environ, start_response))
    return int(status.split(maxsplit=1)[0]), body


def test_each_id_reaches_its_own_item_by_every_address(odd: Flask) -> None:
    for row, item_id in enumerate(IDS):
        inside = f"/v1/items/{quote(item_id, safe='')}"
        for address in ((inside + "{}?"), f"/v1/item{{}}?item_id={quote(item_id, safe='')}&"):
            status, body = _get(odd, address.format(""))
            assert (status, json.loads(body)["item_id"]) == (200, item_id)
            url = json.loads(body)["image_url"]
            status, body = _get(odd, address.format("/embedding"))
            assert (status, json.loads(body)["item_id"], json.loads(body)["embedding"][row]) == (200, item_id, 1.0)
            status, body = _get(odd, address.format("/similar") + "top_k=200")
            assert status == 200
            assert item_id not in [found["item_id"] for found in json.loads(body)["results"]]
            status, image = _get(odd, address.format("/image"))
            assert (status, image) == _get(odd, url)
            assert (status, image) == (200, picture((row % 256, row // 256, 7), size=(8, 8), kind="PNG"))


def test_addresses_of_all_ids_and_actions_differ(odd: Flask) -> None:
    addresses = [item_path(item_id, action) for item_id in IDS for action in ("similar", "image", "embedding")]

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
    app = Flask("ids")
    app.url_map.merge_slashes = False
    app.url_map.converters["path"] = ItemId
    app.wsgi_app = ItemPaths(app.wsgi_app)  # type: ignore[method-assign]
    for action in ACTIONS:
        app.add_url_rule(f"/v1/items/<path:item_id>{action}", action or "item", lambda item_id: {"item_id": item_id})

    answer = app.test_client().get(path)
    sent = _get(app, path)

    assert answer.json == {"item_id": item_id}
    assert json.loads(sent[1]) == {"item_id": item_id}


def test_bytes_that_are_no_text_are_the_address_of_nothing(odd: Flask) -> None:
    assert _get(odd, "/v1/items/%ff")[0] == 404
    assert _get(odd, "/v1/items/a%ff/image")[0] == 404
    assert _get(odd, "/v1/item?item_id=")[0] == 400
    assert _get(odd, "/v1/item")[0] == 400
    assert _get(odd, "/v1/item?item_id=a&item_id=b")[0] == 400
