"""The digest of metadata: of values and their order, of nothing else."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pytest

from index_builder.metadata.digest import MetadataDigest

NOON = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC)
SCHEMA = pa.schema(
    [
        ("title", pa.string()),
        ("price", pa.float64()),
        ("in_stock", pa.bool_()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("image_width", pa.int32()),
    ]
)
ROWS = [
    {"title": "lamp", "price": 1.5, "in_stock": True, "created_at": NOON, "image_width": 64},
    {"title": None, "price": None, "in_stock": None, "created_at": None, "image_width": None},
    {"title": "", "price": 0.0, "in_stock": False, "created_at": NOON, "image_width": 0},
    {"title": "Ärmel", "price": -2.0, "in_stock": True, "created_at": None, "image_width": 7},
]


def _digest(rows: list[dict], *, piece: int = 10) -> str:
    digest = MetadataDigest(SCHEMA.names)
    for start in range(0, len(rows), piece):
        digest.update(pa.Table.from_pylist(rows[start : start + piece], schema=SCHEMA))
    return digest.hexdigest()


@pytest.mark.parametrize("piece", [1, 2, 3])
def test_how_many_rows_come_at_a_time_makes_no_difference(piece: int) -> None:
    assert _digest(ROWS, piece=piece) == _digest(ROWS)


def test_a_slice_of_a_larger_table_counts_as_itself() -> None:
    table = pa.Table.from_pylist([*ROWS, *ROWS], schema=SCHEMA).slice(3, 4)
    digest = MetadataDigest(SCHEMA.names)

    digest.update(table)

    assert digest.hexdigest() == _digest([ROWS[3], *ROWS[:3]])


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (0, {"title": "lam"}),
        (1, {"title": ""}),
        (1, {"price": 0.0}),
        (1, {"in_stock": False}),
        (1, {"created_at": datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)}),
        (3, {"image_width": 8}),
    ],
)
def test_every_value_counts_and_a_missing_one_is_none_of_them(row: int, change: dict) -> None:
    changed = [{**one, **change} if place == row else one for place, one in enumerate(ROWS)]

    assert _digest(changed) != _digest(ROWS)


def test_texts_cannot_trade_letters_and_rows_cannot_trade_places() -> None:
    first, second = {**ROWS[0], "title": "ab"}, {**ROWS[0], "title": "c"}

    assert _digest([first, second]) != _digest([{**first, "title": "a"}, {**second, "title": "bc"}])
    assert _digest([first, second]) != _digest([second, first])
