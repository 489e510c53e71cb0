"""The order of a version's rows: it follows the blocks, however little memory there is for sorting."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from index_builder.builds.rows.ordering import ordered_rows
from index_builder.coverage import resolve_head
from tests.head_rows import head_rows
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, SyntheticItem, make_items
from vitrine.contracts.datasets import EmbeddingSet
from vitrine.errors import ContractError
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@pytest.fixture
def embedding_set(settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> EmbeddingSet:
    """Three days of 150 items, one of which two items share a picture on."""
    catalog = SyntheticCatalog(object_store, ledger, catalog_id)
    for day in range(3):
        items = make_items(149, start=150 * day)
        items.append(SyntheticItem(f"another-{day}", picture=items[5].image))
        catalog.deliver(f"2026-11-0{day + 1}", items)
        catalog.embed(items)
    embedding_set_id = resolve_head(settings, catalog_id=catalog_id, fingerprint=FINGERPRINT)
    return read_embedding_set(object_store, catalog_id, embedding_set_id)


@pytest.mark.parametrize("range_rows", [1, 100, 10_000])
def test_rows_are_sorted_by_block_then_key_in_ranges_of_any_size(
    object_store: ObjectStore, embedding_set: EmbeddingSet, tmp_path: Path, range_rows: int
) -> None:
    columns = ["source_id", "row_group", "embedding_key", "item_id"]
    expected = sorted(
        tuple(row.values())
        for row in head_rows(object_store, embedding_set.manifests, embedding_set.catalog_id, columns).to_pylist()
    )

    tables = list(ordered_rows(object_store, embedding_set, folder=tmp_path, range_rows=range_rows))

    assert [tuple(row.values()) for row in pa.concat_tables(tables).select(columns).to_pylist()] == expected
    assert len(tables) == (1 if range_rows == 10_000 else 3)
    assert list(tmp_path.iterdir()) == []


def test_rows_that_are_not_those_of_the_embedding_set_are_refused(
    object_store: ObjectStore, embedding_set: EmbeddingSet, tmp_path: Path
) -> None:
    changed = embedding_set.model_copy(update={"rows_digest": "0" * 20})

    with pytest.raises(ContractError, match=r"expected 450 rows of digest 0000.*found 450"):
        list(ordered_rows(object_store, changed, folder=tmp_path, range_rows=1000))
