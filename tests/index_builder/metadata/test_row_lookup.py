"""Finding rows by item id, and bringing what is found into the order of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from index_builder.metadata import row_buckets
from index_builder.metadata.row_buckets import RowBuckets
from index_builder.metadata.row_lookup import NO_ROW, RowLookup
from vitrine.errors import ContractError


@pytest.mark.parametrize("hash_of", [hash, len, lambda text: 7], ids=["good", "poor", "no hash"])
def test_every_id_finds_its_row_whatever_the_hash_is_worth(hash_of) -> None:
    ids = [f"item-{number * number}" for number in range(500)]
    batches = [pa.array(ids[start : start + 128]) for start in range(0, 500, 128)]

    lookup = RowLookup(lambda: batches, items=500, hash_of=hash_of)

    assert lookup.rows(pa.array(ids[::-1])).tolist() == list(range(500))[::-1]


def test_an_id_that_is_not_there_has_no_row() -> None:
    lookup = RowLookup(lambda: [pa.array(["a", "b"])], items=2)

    assert lookup.rows(pa.array(["b", "c"])).tolist() == [1, NO_ROW]


def test_row_files_of_another_number_of_rows_are_refused() -> None:
    for items in (1, 3):
        with pytest.raises(ContractError, match=f"has {items} rows, its row files hold 2"):
            RowLookup(lambda: [pa.array(["a", "b"])], items=items)


@pytest.mark.parametrize("items", [1, 64, 65, 1_000])
def test_rows_come_out_in_order_one_bucket_at_a_time(
    items: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_buckets, "_LEAST_ROWS", 64)
    order = np.random.default_rng(items).permutation(items)
    schema = pa.schema([("name", pa.string())])
    buckets = RowBuckets(tmp_path / "buckets", items=items, schema=schema)
    for start in range(0, items, 100):
        rows = order[start : start + 100]
        buckets.add(pa.RecordBatch.from_pydict({"name": [f"row {row}" for row in rows]}, schema=schema), rows)
    buckets.close()

    twice = [list(buckets.tables(last=last)) for last in (False, True)]

    for tables in twice:
        assert [(start, stop) for start, stop, _ in tables] == list(buckets.ranges())
        assert [name for _, _, table in tables for name in table["name"].to_pylist()] == [
            f"row {row}" for row in range(items)
        ]
    assert list((tmp_path / "buckets").iterdir()) == []
