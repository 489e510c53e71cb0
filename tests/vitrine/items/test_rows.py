"""Rows: every type in every shape it is delivered in, and each reason that needs no image."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest

from vitrine.catalogs import Catalog
from vitrine.items.byte_ranges import Unreadable
from vitrine.items.files import Row
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.policy import IngestPolicy
from vitrine.items.rows import judge_row
from vitrine.settings import Settings

POLICY = IngestPolicy.of(Catalog(catalog_id="demo"), Settings())
VECTORS = IngestPolicy.of(Catalog(catalog_id="demo", space="vectors", dimension=3), Settings())
PLACES = ImagePlaces("s3://bucket/day/", buckets=("shop-photos", "shared/hats/"), platform_bucket="vitrine")
SOUND = {"item_id": "a", "image_uri": "images/a.jpg"}


def judge(values: dict[str, Any], *, text: bool = False, policy: IngestPolicy = POLICY) -> dict[str, Any]:
    return judge_row(Row(values, text), row_number=7, places=PLACES, policy=policy)


def verdict(values: dict[str, Any], *, text: bool = False, policy: IngestPolicy = POLICY) -> tuple[Any, Any]:
    row = judge(values, text=text, policy=policy)
    return row.get("reject_reason"), row.get("reject_detail")


def test_a_sound_row_is_normalised() -> None:
    row = judge(SOUND | {"title": "Hat", "price": 3, "in_stock": True, "material": "wool", "attributes": {"size": "M"}})

    assert row == {
        "row_number": 7,
        "item_id": "a",
        "image_uri": "s3://bucket/day/images/a.jpg",
        "title": "Hat",
        "price": 3.0,
        "in_stock": True,
        "deleted": False,
        "attributes": '{"material":"wool","size":"M"}',
    }


def test_a_wrong_type_says_what_was_expected_and_found() -> None:
    assert verdict(SOUND | {"price": "cheap"}) == ("wrong_type", "price: expected a number, found 'cheap'")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("price", float("nan")),
        ("price", float("inf")),
        ("price", True),
        ("price", "12.5"),
        ("price", 10**400),
        ("title", 12),
        ("title", ["Hat"]),
        ("title", "half \ud800"),
        ("in_stock", "maybe"),
        ("in_stock", 2),
        ("deleted", "soon"),
        ("created_at", "yesterday"),
        ("created_at", 1e300),
        ("created_at", "0001-01-01T00:00:00+23:00"),
        ("attributes", "[1]"),
        ("attributes", {"weight": float("nan")}),
        ("embedding", "1, 2"),
        ("embedding", ["a"]),
        ("embedding", [True]),
        ("image_uri", 5),
        ("item_id", "tab\tin it"),
        ("item_id", "x" * 513),
        ("item_id", 1.5),
        ("thumbnail", b"\x89PNG"),
        ("note", Unreadable("a string that cannot be read")),
    ],
)
def test_what_a_column_cannot_hold_is_a_wrong_type(column: str, value: Any) -> None:
    reason, detail = verdict(SOUND | {column: value})

    assert reason == "wrong_type"
    assert column in detail


@pytest.mark.parametrize("item_id", [None, "", "  "])
def test_a_row_without_an_id_is_missing_its_id(item_id: str | None) -> None:
    assert verdict({"item_id": item_id, "image_uri": "a.jpg"})[0] == "missing_item_id"


def test_whole_numbers_are_ids_too() -> None:
    assert judge(SOUND | {"item_id": 42, "parent_id": 7})["item_id"] == "42"


@pytest.mark.parametrize("parent_id", [None, "", "  "])
def test_a_blank_parent_is_none(parent_id: str | None) -> None:
    assert judge(SOUND | {"parent_id": parent_id}) == judge(SOUND)


@pytest.mark.parametrize("uri", [None, "", " "])
def test_a_row_without_a_uri_is_missing_its_uri(uri: str | None) -> None:
    assert verdict({"item_id": "a", "image_uri": uri})[0] == "missing_image_uri"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("https://shop.example/a.jpg", "scheme 'https' is not read; expected s3://"),
        ("file:///etc/passwd", "scheme 'file' is not read"),
        ("../outside.jpg", "must stay inside the folder"),
        ("/etc/passwd", "must stay inside the folder"),
        ("s3://bucket", "expected s3://bucket/key"),
        ("s3://bucket/a/../b.jpg", "segments"),
        ("a\x00b.jpg", "control characters"),
        ("s3://bucket/" + "é" * 600, "longer than the 1024 bytes"),
    ],
)
def test_a_uri_that_can_lead_nowhere_is_a_missing_image(uri: str, says: str) -> None:
    reason, detail = verdict(SOUND | {"image_uri": uri})

    assert reason == "image_missing"
    assert says in detail


@pytest.mark.parametrize(
    "uri", ["a.jpg", "s3://bucket/elsewhere/a.jpg", "s3://shop-photos/a.jpg", "s3://shared/hats/2026/a.jpg"]
)
def test_a_uri_may_name_the_bucket_of_the_delivery_and_what_the_catalog_lists(uri: str) -> None:
    assert verdict(SOUND | {"image_uri": uri}) == (None, None)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://payroll/scan.jpg",
        "s3://shop-photos-of-others/a.jpg",
        "s3://shared/hatstands/a.jpg",
        "s3://shared/hats",
        "s3://vitrine/other/deliveries/dt=2026-11-01/delivery-1/images/a.jpg",
    ],
)
def test_a_uri_may_name_no_other_bucket_that_the_platform_can_read(uri: str) -> None:
    reason, detail = verdict(SOUND | {"image_uri": uri})

    assert reason == "image_not_allowed"
    assert "list it, or a prefix in it, under `image_buckets`" in detail


def test_in_the_platforms_own_bucket_only_the_delivery_and_listed_prefixes_are_read() -> None:
    places = ImagePlaces("s3://vitrine/shop/images/", buckets=("vitrine", "vitrine/shared"), platform_bucket="vitrine")

    allowed = {
        key: places.allow(f"s3://vitrine/{key}")
        for key in ("shop/images/a.jpg", "shared/a.jpg", "shop/b.jpg", "other/images/a.jpg")
    }

    assert allowed == {
        "shop/images/a.jpg": True,
        "shared/a.jpg": True,
        "shop/b.jpg": False,
        "other/images/a.jpg": False,
    }


@pytest.mark.parametrize(("text", "value"), [("true", True), ("0", False), ("Yes", True), ("no", False)])
def test_a_format_without_types_has_words_for_true_and_false(text: str, value: bool) -> None:
    assert judge(SOUND | {"in_stock": text}, text=True)["in_stock"] is value


@pytest.mark.parametrize("text", ["nan", "1_000", "0x10", "", "1,5"])
def test_text_that_is_no_plain_number_is_no_price(text: str) -> None:
    assert verdict(SOUND | {"price": text}, text=True)[0] == "wrong_type"


def test_numbers_are_read_from_text_and_decimals() -> None:
    assert judge(SOUND | {"price": " 12.50 "}, text=True)["price"] == 12.5
    assert judge(SOUND | {"price": decimal.Decimal("9.99")})["price"] == 9.99


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-01T09:30:00Z",
        "2026-11-01T10:30:00+01:00",
        "2026-11-01 09:30:00",
        1793525400,
        1793525400000,
        "1793525400",
        datetime.datetime(2026, 11, 1, 9, 30),
    ],
)
def test_a_time_is_read_in_the_ways_it_is_delivered(value: Any) -> None:
    assert judge(SOUND | {"created_at": value})["created_at"] == datetime.datetime(
        2026, 11, 1, 9, 30, tzinfo=datetime.UTC
    )


@pytest.mark.parametrize("value", ["2026-11-01", "20261101", datetime.date(2026, 11, 1)])
def test_a_date_is_its_midnight(value: Any) -> None:
    assert judge(SOUND | {"created_at": value})["created_at"] == datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


def test_a_deletion_needs_nothing_but_its_id() -> None:
    row = judge({"item_id": "a", "deleted": True, "price": "cheap", "image_uri": "../x", "embedding": [1.0]})

    assert "reject_reason" not in row
    assert row["deleted"] is True
    assert "price" not in row
    assert "embedding" not in row


def test_a_malformed_row_is_rejected_with_what_was_wrong() -> None:
    row = judge_row(Unreadable("the line is not JSON"), row_number=3, places=PLACES, policy=POLICY)

    assert (row["reject_reason"], row["reject_detail"], row["row_number"]) == (
        "malformed_row",
        "the line is not JSON",
        3,
    )


@pytest.mark.parametrize(
    ("embedding", "reason"),
    [
        (None, "missing_embedding"),
        ([1.0, 0.0], "embedding_dimension"),
        ([], "embedding_dimension"),
        ([1.0, float("nan"), 0.0], "embedding_not_finite"),
        ([1e39, 0.0, 0.0], "embedding_not_finite"),
        ([0.0, 0.0, 0.0], "embedding_zero"),
        ([1e-42, 0.0, 0.0], "embedding_zero"),
        ([1.0, 2.0, 3.0], None),
        ("[1, 2, 3]", None),
    ],
)
def test_a_catalog_of_vectors_rejects_those_that_cannot_be_searched(embedding: Any, reason: str | None) -> None:
    assert verdict(SOUND | {"embedding": embedding}, policy=VECTORS)[0] == reason


def test_a_catalog_of_the_encoder_takes_no_vectors() -> None:
    assert verdict(SOUND | {"embedding": [1.0, 2.0, 3.0]})[0] == "unexpected_embedding"
