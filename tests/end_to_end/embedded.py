"""What was embedded of the demo catalog, read from the ledger and the blocks themselves."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from tests.end_to_end.conftest import CATALOG_ID
from tests.head_rows import head_rows
from tests.platform_fixture import Platform
from vitrine.connections import open_ledger, open_object_store


def embedded_keys(platform: Platform, fingerprint: str) -> list[str]:
    """Returns the embedding key of each vector under an encoder, as often as it was embedded."""
    ledger = open_ledger(platform.settings)
    try:
        blocks = ledger.blocks.committed(catalog_id=CATALOG_ID, fingerprint=fingerprint).values()
    finally:
        ledger.close()
    store = open_object_store(platform.settings)
    return [
        key
        for block in blocks
        for key in pq.read_table(pa.BufferReader(store.get_bytes(block.key)), columns=["embedding_key"])[
            "embedding_key"
        ].to_pylist()
    ]


def head_keys(platform: Platform) -> list[str]:
    """Returns the embedding key of each item of the head."""
    ledger = open_ledger(platform.settings)
    try:
        manifests = ledger.partitions.head(CATALOG_ID).manifests
    finally:
        ledger.close()
    rows = head_rows(open_object_store(platform.settings), manifests, CATALOG_ID, ["item_id", "embedding_key"])
    keys: list[str] = rows.column("embedding_key").to_pylist()
    return keys
