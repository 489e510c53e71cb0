"""A head as one table, for tests whose heads fit memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from vitrine.contracts.items import manifest_items_schema
from vitrine.head.reader import HeadReader
from vitrine.storage import ObjectStore


def head_rows(
    object_store: ObjectStore, manifests: Mapping[str, str], catalog_id: str, columns: Sequence[str]
) -> pa.Table:
    """Returns the chosen columns of the head that `manifests`, by day, make; sorted by item_id."""
    wanted = list(dict.fromkeys([*columns, "item_id"]))
    reader = HeadReader(object_store, catalog_id=catalog_id, manifests=manifests)
    batches = list(reader.batches(wanted))  # which refuses unknown columns
    schema = pa.schema([manifest_items_schema().field(name) for name in wanted])
    return pa.Table.from_batches(batches, schema=schema).sort_by("item_id").select(list(columns)).combine_chunks()
