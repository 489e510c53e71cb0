"""The search API: what it answers, and what it says to requests that are wrong."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.attacks import picture_files as files
from tests.replicas.tiny_release import picture
from tests.serving.shop_window import ShopWindow
from vitrine.contracts.search import Item, ItemList, LiveRelease, SearchResponse


def _search(shop: ShopWindow, **body: Any) -> Any:
    return shop.client.post("/v1/search", json=body)


def test_a_text_finds_items_and_the_answer_names_its_release(shop: ShopWindow) -> None:
    answer = _search(shop, text="a red thing", top_k=3)

    body = SearchResponse.model_validate_json(answer.data)
    assert body.release_id == shop.encoded.release_id
    assert len(body.results) == 3
    assert [result.score for result in body.results] == sorted((one.score for one in body.results), reverse=True)
    assert set(answer.json["timings_ms"]) == {"encode", "search", "total"}


@pytest.mark.parametrize("row", [0, 3])
def test_a_picture_of_the_catalog_finds_itself_as_a_file_and_as_base64(shop: ShopWindow, row: int) -> None:
    data = shop.pictures[row]
    file = {"image": (io.BytesIO(data), "photo.jpg"), "top_k": "2", "catalog": "shop"}

    by_file = shop.client.post("/v1/search", data=file, content_type="multipart/form-data")
    by_text = _search(shop, image="data:image/jpeg;base64," + base64.b64encode(data).decode(), top_k=2)

    for answer in (by_file, by_text):
        assert answer.status_code == 200, answer.text
        assert answer.json["results"][0]["item_id"] == f"item/{row}"
        assert answer.json["results"][0]["score"] > 0.99


def test_an_item_finds_others_but_not_itself(shop: ShopWindow) -> None:
    by_body = _search(shop, item_id="item/7", catalog="plain", top_k=5)
    by_path = shop.client.get("/v1/items/item%2F7/similar?catalog=plain&top_k=5")

    assert by_body.json["results"] == by_path.json["results"]
    assert len(by_body.json["results"]) == 5
    assert "item/7" not in {result["item_id"] for result in by_body.json["results"]}


def test_a_vector_finds_what_an_exact_comparison_finds(shop: ShopWindow) -> None:
    query = np.random.default_rng(3).standard_normal(16)
    expected = np.argsort(-(shop.plain.vectors @ query))[:10]

    answer = _search(shop, embedding=(query * 1e-200).tolist(), catalog="plain")

    assert [result["item_id"] for result in answer.json["results"]] == [f"item/{row}" for row in expected]


def test_filters_hold_for_every_result_and_never_shorten_an_answer(shop: ShopWindow) -> None:
    filters = {"category": "lamp", "price": {"gte": 10, "lt": 40}, "in_stock": True}

    answer = _search(shop, embedding=[1.0] * 16, catalog="plain", filters=filters, top_k=200)

    expected = [row for row in range(60) if row % 2 == 1 and 10 <= row < 40 and row % 5 != 0]
    assert sorted(int(one["item_id"].split("/")[1]) for one in answer.json["results"]) == expected


def test_filters_of_a_similar_query_go_in_the_url(shop: ShopWindow) -> None:
    parameters = {"catalog": "plain", "filters": json.dumps({"color": ["red", "blue"]}), "top_k": 60}

    answer = shop.client.get("/v1/items/item/1/similar", query_string=parameters)

    assert {result["color"] for result in answer.json["results"]} == {"red", "blue"}


def test_of_each_product_the_nearest_item_is_shown_and_the_answer_is_as_long_as_asked(shop: ShopWindow) -> None:
    query = np.random.default_rng(5).standard_normal(16)
    best = (shop.plain.vectors @ query).reshape(30, 2).max(axis=1)
    body = {"embedding": query.tolist(), "catalog": "plain", "top_k": 25}

    answer = _search(shop, **body, dedupe="product").json["results"]

    assert [one["parent_id"] for one in answer] == [f"parent-{product}" for product in np.argsort(-best)[:25]]
    filtered = _search(shop, **body, dedupe="product", filters={"category": "lamp"}).json["results"]
    assert len({one["parent_id"] for one in filtered if one["category"] == "lamp"}) == 25


def test_similar_items_of_other_products_leave_out_the_items_own(shop: ShopWindow) -> None:
    parameters = {"catalog": "plain", "top_k": 60, "dedupe": "product"}

    answer = shop.client.get("/v1/items/item/6/similar", query_string=parameters)

    parents = [one["parent_id"] for one in answer.json["results"]]
    assert sorted(parents) == sorted(f"parent-{product}" for product in range(30) if product != 3)


def test_a_form_asks_for_one_item_of_each_product(shop: ShopWindow) -> None:
    form = {"item_id": "item/6", "catalog": "plain", "top_k": "60", "dedupe": "product"}

    answer = shop.client.post("/v1/search", data=form, content_type="multipart/form-data")

    parents = [one["parent_id"] for one in answer.json["results"]]
    assert sorted(parents) == sorted(f"parent-{product}" for product in range(30) if product != 3)


def test_a_release_of_before_says_that_it_knows_no_groups(shop: ShopWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(shop.slots.live.releases["plain"].loaded.items.groups, "image")

    answer = _search(shop, item_id="item/1", catalog="plain", dedupe="image")
    wrong = _search(shop, item_id="item/1", catalog="plain", dedupe="colour")

    assert answer.status_code == wrong.status_code == 400
    assert "does not say which items are one image" in answer.json["detail"]
    assert "dedupe" in wrong.json["detail"]


def test_an_item_its_vector_and_its_neighbours_can_be_read(shop: ShopWindow) -> None:
    item = Item.model_validate_json(shop.client.get("/v1/items/item/2").data)
    vector = shop.client.get("/v1/items/item/2/embedding").json["embedding"]
    some = ItemList.model_validate_json(shop.client.get("/v1/items?catalog=plain&limit=12").data)

    assert item.attributes == {"material": "wood"}
    assert np.allclose(vector, shop.encoded.vectors[2], atol=1e-5)
    assert len({one.item_id for one in some.items}) == 12


def test_the_release_endpoint_answers_exactly_what_was_promised(shop: ShopWindow) -> None:
    answer = shop.client.get("/v1/release?catalog=plain")

    LiveRelease.model_validate_json(answer.data)
    assert set(answer.json) == {
        *("release_id", "encoder_fingerprint", "encoder_version", "index_version", "items", "dimension"),
        *("recall_at_10", "activated_at", "slot", "pinned"),
    }


def test_catalogs_are_listed_with_what_can_be_asked_of_them(shop: ShopWindow) -> None:
    listed = {one["catalog_id"]: one for one in shop.client.get("/v1/catalogs").json["catalogs"]}

    assert set(listed) == {"shop", "plain"}
    assert listed["shop"]["is_default"]
    assert listed["plain"]["space"] == "vectors"
    assert listed["plain"]["filters"]["price"] == "number"


def test_a_picture_is_served_as_it_was_packed_and_may_be_kept_for_ever(shop: ShopWindow) -> None:
    url = _search(shop, text="red", top_k=1).json["results"][0]["image_url"]
    row = int(url.split("%2F")[1].split("/")[0])

    first = shop.client.get(url)
    again = shop.client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    small = shop.client.get(url + "&width=64")

    assert first.data == shop.pictures[row]
    assert first.mimetype == "image/jpeg"
    assert "immutable" in first.headers["Cache-Control"]
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert again.status_code == 304
    assert Image.open(io.BytesIO(small.data)).width == 64


def test_a_picture_by_a_url_without_its_hash_is_kept_only_briefly(shop: ShopWindow) -> None:
    answer = shop.client.get("/v1/items/item/0/image")

    assert "immutable" not in answer.headers["Cache-Control"]


def test_a_catalog_that_is_being_loaded_answers_503_with_a_time_to_come_back(shop: ShopWindow) -> None:
    answer = _search(shop, text="red", catalog="coming")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.mimetype == "application/problem+json"


def test_the_description_of_the_api_names_every_route(shop: ShopWindow) -> None:
    document = shop.client.get("/openapi.json").json

    routes = {
        rule.rule.replace("<path:item_id>", "{item_id}")
        for rule in shop.client.application.url_map.iter_rules()
        if rule.rule not in ("/", "/page/<name>", "/openapi.json")
    }
    assert routes == set(document["paths"])
    assert "SearchRequest" in document["components"]["schemas"]


def test_the_description_of_the_api_says_the_largest_numbers_that_are_answered(shop: ShopWindow) -> None:
    document = shop.client.get("/openapi.json").json
    said = {}
    for path, methods in document["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", []):
            if parameter["schema"]["type"] == "integer":
                said[path, parameter["name"]] = parameter["schema"]["maximum"]
    form = document["paths"]["/v1/search"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    said["form", "top_k"] = form["properties"]["top_k"]["maximum"]
    said["body", "top_k"] = document["components"]["schemas"]["SearchRequest"]["properties"]["top_k"]["maximum"]
    limits = shop.client.get("/v1/catalogs").json["limits"]

    assert {name: most for (_, name), most in said.items()} == {"top_k": 200, "limit": 200, "width": 100_000}
    assert len(said) == 7
    assert limits == {"top_k": 200, "text_length": 1_000, "image_bytes": 200_000, "image_pixels": 300_000}
    for (path, name), most in said.items():
        if path.startswith("/"):
            url = path.replace("{item_id}", "item%2F1") + (
                "?" if "{" in path or path == "/v1/items" else "?item_id=item/1&"
            )
            answers = [shop.client.get(f"{url}{name}={number}").status_code for number in (most, most + 1)]
            assert answers == [200, 400], (path, name)


def test_metrics_count_requests_by_route_and_status(shop: ShopWindow) -> None:
    shop.client.get("/v1/release?catalog=nothing")

    text = shop.client.get("/metrics").text

    assert 'vitrine_search_requests_total{route="/v1/release",status="404"}' in text


def _bomb() -> str:
    stream = io.BytesIO()
    Image.new("1", (4_000, 4_000)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _cut() -> str:
    return base64.b64encode(picture((1, 2, 3), size=(300, 300))[:400]).decode()


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 400, "exactly one of"),
        ({"text": "a", "item_id": "b"}, 400, "text and item_id"),
        ({"text": "a", "surprise": 1}, 400, "surprise"),
        ({"text": 7}, 400, "text"),
        ({"text": ""}, 400, "words"),
        ({"text": " \n "}, 400, "spaces"),
        ({"text": "a\x00b"}, 400, "control characters"),
        ({"text": "x" * 1_001}, 400, "1000"),
        ({"text": "a", "top_k": 0}, 400, "top_k"),
        ({"text": "a", "top_k": 10**9}, 400, "1 to 200"),
        ({"text": "a", "top_k": "5"}, 400, "top_k"),
        ({"text": "a", "top_k": 1.5}, 400, "top_k"),
        ({"text": "a", "top_k": True}, 400, "top_k"),
        ({"text": "a", "catalog": "nowhere"}, 404, "live: coming, plain, shop"),
        ({"text": "a", "catalog": ""}, 400, "catalog"),
        ({"text": "a", "catalog": "plain"}, 400, "no encoder"),
        ({"image": _cut(), "catalog": "plain"}, 400, "no encoder"),
        ({"item_id": "nobody"}, 404, "no item 'nobody'"),
        ({"item_id": ""}, 400, "item_id"),
        ({"item_id": "a\n"}, 400, "control characters"),
        ({"embedding": [0.0] * 16, "catalog": "plain"}, 400, "points nowhere"),
        ({"embedding": [], "catalog": "plain"}, 400, "embedding"),
        ({"embedding": [1.0] * 15, "catalog": "plain"}, 400, "16 dimensions, found 15"),
        ({"embedding": [1.0] * 9_000, "catalog": "plain"}, 400, "8192"),
        ({"embedding": ["1"] * 16, "catalog": "plain"}, 400, "embedding.0"),
        ({"image": "@@@"}, 400, "base64"),
        ({"image": ""}, 400, "found nothing"),
        ({"image": base64.b64encode(b"no picture").decode()}, 400, "cannot be decoded"),
        ({"image": _cut()}, 400, "cannot be decoded"),
        ({"image": _bomb()}, 413, "pixels"),
        ({"image": _base64(files.scan_bomb(scans=4_000, width=500, height=500))}, 413, "scans over 500 x 500 pixels"),
        ({"image": _base64(files.mpo_bomb(scans=4_000, width=500, height=500))}, 413, "scans over 500 x 500 pixels"),
        ({"image": _base64(files.tiff_bomb(scans=4_000, width=500, height=500))}, 413, "scans over 500 x 500 pixels"),
        ({"image": _base64(files.sound_pictures()["png without palette"])}, 400, "cannot be decoded"),
        ({"text": "a", "filters": {"weight": 3}}, 400, "no such column"),
        ({"text": "a", "filters": {"price": {"around": 3}}}, 400, "range"),
        ({"text": "a", "filters": {"price": {"gte": 10**400}}}, 400, "price"),
        ({"text": "a", "filters": []}, 400, "filters"),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_wrong(
    shop: ShopWindow, body: dict[str, Any], status: int, says: str
) -> None:
    answer = _search(shop, **body)

    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert says in answer.json["detail"]
    assert set(answer.json) == {"type", "title", "status", "detail", "instance"}


@pytest.mark.parametrize(
    ("data", "content_type", "status", "says"),
    [
        (b"{", "application/json", 400, "JSON"),
        (b"", "application/json", 400, "JSON"),
        (b"[]", "application/json", 400, "object"),
        (b'{"text": "\xff\xfe"}', "application/json", 400, "JSON"),
        (b'{"text": "\\ud800"}', "application/json", 400, "JSON"),
        (b'{"text": "a", "filters": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "application/json", 400, "JSON"),
        (b'{"embedding": [NaN], "catalog": "plain"}', "application/json", 400, "embedding"),
        (b'{"embedding": [1e999], "catalog": "plain"}', "application/json", 400, "embedding"),
        (b'{"text": "a", "top_k": ' + b"9" * 5_000 + b"}", "application/json", 400, ""),
        (b"{}", "text/plain", 415, "application/json"),
        (b"{}", "", 415, "no content type"),
        (b"text=a", "application/x-www-form-urlencoded", 415, "multipart"),
        (b"no boundary", "multipart/form-data", 400, ""),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400, ""),
        (b" " * 300_000, "application/json", 413, "at most 200,000 bytes, found 300,000"),
    ],
)
def test_a_malformed_body_is_refused(shop: ShopWindow, data: bytes, content_type: str, status: int, says: str) -> None:
    answer = shop.client.post("/v1/search", data=data, content_type=content_type)

    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert says in answer.json["detail"]


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        ({"text": "a", "image": (io.BytesIO(b"x"), "x.jpg")}, 400, "text and image"),
        ({"image": (io.BytesIO(b""), "x.jpg")}, 400, "empty"),
        ({"photo": (io.BytesIO(b"x"), "x.jpg")}, 400, "photo"),
        ({"text": "a", "top_k": "many"}, 400, "top_k"),
        ({"text": "a", "filters": "{"}, 400, "filters"),
        ({"text": "a", "embedding": "[1]"}, 400, "embedding"),
        ({f"field{number}": "a" for number in range(21)}, 413, "at most 20 fields"),
    ],
)
def test_a_wrong_form_is_refused(shop: ShopWindow, form: dict[str, Any], status: int, says: str) -> None:
    answer = shop.client.post("/v1/search", data=form, content_type="multipart/form-data")

    assert answer.status_code == status, answer.text
    assert says in answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/items/nobody", 404),
        ("/v1/items/nobody/similar", 404),
        ("/v1/items/nobody/image", 404),
        ("/v1/items/item/1/image?catalog=plain", 404),
        ("/v1/items/item/1/image?width=0", 400),
        ("/v1/items/item/1/image?width=wide", 400),
        ("/v1/items/item/1/similar?top_k=-1", 400),
        ("/v1/items/item/1/similar?top_k=1&top_k=2", 400),
        ("/v1/items/item/1/similar?unknown=1", 400),
        ("/v1/items/%00/similar", 404),
        ("/v1/items/%FF%FE", 404),
        ("/v1/items?limit=0", 400),
        ("/v1/release?catalog=nowhere", 404),
        ("/v1/nothing", 404),
        ("/page/../serving", 404),
        ("/page/secrets.txt", 404),
        ("/v1/search", 405),
    ],
)
def test_a_wrong_url_is_refused(shop: ShopWindow, path: str, status: int) -> None:
    answer = shop.client.get(path)

    assert answer.status_code in (status, 400), answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == answer.status_code


def test_the_page_may_load_nothing_from_elsewhere(shop: ShopWindow) -> None:
    page = shop.client.get("/")

    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert b"http://" not in page.data.replace(b"http://www.w3.org", b"")
    assert b"https://" not in page.data
