"""Indexes of several shards: each holds one run of rows, and a search over them is one over all rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from index_builder.builds import build_index_version, find_index_version
from index_builder.coverage import resolve_head
from tests.index_builder.synthetic_catalog import FINGERPRINT, SyntheticCatalog, make_items, vector_of
from vitrine.identity import sha256_hex
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.vector_index import VectorIndex


@pytest.mark.parametrize("index_key", ["Flat", "HNSW32,SQ8", "IVF16,SQ8"])
def test_a_search_over_several_shards_is_one_over_all_rows(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, tmp_path: Path, index_key: str
) -> None:
    catalog = SyntheticCatalog(object_store, ledger, catalog_id, pack_rows=64)
    items = make_items(1500)
    catalog.deliver("2026-11-01", items)
    catalog.embed(items)
    changed = {"index_key": index_key, "index_max_shard_rows": 500, "index_part_rows": 256}
    embedding_set_id = resolve_head(settings, catalog_id=catalog_id, fingerprint=FINGERPRINT)

    index_version = build_index_version(
        settings.model_copy(update=changed), catalog_id=catalog_id, embedding_set_id=embedding_set_id
    )

    manifest = find_index_version(object_store, catalog_id, index_version)
    prefix = keys.index_prefix(catalog_id, index_version)
    for file in manifest.files:
        object_store.get_file(f"{prefix}/{file.name}", tmp_path / file.name, sha256=file.sha256)
    index = VectorIndex.open(tmp_path, manifest)
    item_ids = [name for part in sorted(tmp_path.glob("rows/*")) for name in pq.read_table(part)["item_id"].to_pylist()]
    vectors = np.stack([vector_of(sha256_hex(f"picture of {item_id}".encode())) for item_id in item_ids])
    queries = np.stack([vector_of(f"query {number}") for number in range(50)])
    _, rows = index.search(queries, top_k=10)
    exact = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    assert len(manifest.shards) == 3
    assert sorted(item_ids) == [item.item_id for item in items]
    assert all(index.reconstruct(row) @ vectors[row] > 0.999 for row in range(0, 1500, 50))
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, exact, strict=True)]) > 0.9
    assert manifest.recall_at_10.image >= 0.95
