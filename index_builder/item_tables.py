"""An item table: the head's metadata in the order of an index version's rows."""

from __future__ import annotations

import datetime
import hashlib
import io
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from index_builder.builds import find_index_version
from index_builder.filter_choice import choose_columns
from vitrine.connections import open_object_store
from vitrine.contracts.document import StoredFile
from vitrine.contracts.releases import IndexVersion, ItemTable
from vitrine.embedding_sets import read_embedding_set
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.filter_columns import write_columns
from vitrine.heads import head_rows
from vitrine.identity import ID_LENGTH, canonical_json, content_id
from vitrine.item_table import ITEMS_COLUMNS, ITEMS_FILE, ITEMS_INDEX, ITEMS_SCHEMA
from vitrine.progress import progress
from vitrine.provenance import PROVENANCE_FILE, describe_run
from vitrine.scratch import scratch_folder
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256

# Columns of the item table after `row`, and the manifest column each is read from.
_SOURCES = {"width": "image_width", "height": "image_height"}
_STORED = tuple(name for name in ITEMS_COLUMNS if name != "row")
_BATCH_ROWS = 16_384


def build_item_table(
    settings: Settings,
    *,
    catalog_id: str,
    embedding_set_id: str,
    index_version: str,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Writes the item table of a head, aligned to the rows of an index version; returns its id.

    Equal metadata over the same rows is the same table, which is returned when it exists.

    Raises:
        ContractError: the head's items are not the index's rows.
    """
    object_store = open_object_store(settings)
    embedding_set = read_embedding_set(object_store, catalog_id, embedding_set_id)
    index = find_index_version(object_store, catalog_id, index_version)
    if index is None:
        raise ContractError(f"catalog {catalog_id}: index {index_version} does not exist; build it first")
    columns = [_SOURCES.get(name, name) for name in _STORED]
    rows = head_rows(object_store, embedding_set.manifests, catalog_id, [*columns, "embedding_key"])
    _check_alignment(object_store, index, rows)
    digest = _metadata_digest(rows.select(columns))
    item_table_id = content_id("items", [catalog_id, index_version, digest])
    prefix = keys.item_table_prefix(catalog_id, item_table_id)
    if find_item_table(object_store, catalog_id, item_table_id) is not None:
        return item_table_id
    with scratch_folder(settings, "items") as folder:
        filters = choose_columns(rows)
        names = [ITEMS_FILE, *write_columns(folder, filters)]
        _write_items(folder / ITEMS_FILE, rows.select(columns), label=f"{catalog_id}: item table")
        manifest = ItemTable(
            item_table_id=item_table_id,
            catalog_id=catalog_id,
            index_version=index_version,
            head_sequence=embedding_set.head_sequence,
            manifests=embedding_set.manifests,
            items=rows.num_rows,
            columns={column.name: column.kind for column in filters},
            files=tuple(
                StoredFile(name=name, size_bytes=(folder / name).stat().st_size, sha256=file_sha256(folder / name))
                for name in names
            ),
        )
        # One head written twice gives the same bytes, so attempts that race write the same objects.
        for name in names:
            object_store.put_file(f"{prefix}/{name}", folder / name)
    made = describe_run(provenance)
    object_store.put_bytes(f"{prefix}/{PROVENANCE_FILE}", made.to_bytes())
    object_store.put_bytes(f"{prefix}/manifest.json", manifest.to_bytes())
    print(f"{catalog_id}: item table {item_table_id}, {manifest.items:,} items", file=sys.stderr)
    return item_table_id


def find_item_table(object_store: ObjectStore, catalog_id: str, item_table_id: str) -> ItemTable | None:
    """Returns the manifest of an item table, or None when it was never completed."""
    try:
        return ItemTable.from_bytes(
            object_store.get_bytes(f"{keys.item_table_prefix(catalog_id, item_table_id)}/manifest.json")
        )
    except ObjectMissingError:
        return None


def _check_alignment(object_store: ObjectStore, index: IndexVersion, rows: pa.Table) -> None:
    """Row by row, the head's items and vectors must be those of the index."""
    start = 0
    prefix = keys.index_prefix(index.catalog_id, index.index_version)
    for name in (file.name for file in index.files if file.name.startswith("rows/")):
        part = pq.read_table(io.BytesIO(object_store.get_bytes(f"{prefix}/{name}")))
        for column in ("item_id", "embedding_key"):
            ours = rows[column].slice(start, part.num_rows).combine_chunks()
            if not ours.equals(part[column].combine_chunks()):
                raise ContractError(
                    f"catalog {index.catalog_id}: the head's {rows.num_rows} items are not the {index.items} rows of "
                    f"index {index.index_version} (first difference of {column} at or after row {start}); "
                    "build the index of this head first"
                )
        start += part.num_rows
    if not start == index.items == rows.num_rows:
        raise ContractError(
            f"catalog {index.catalog_id}: the head holds {rows.num_rows} items, index {index.index_version} {start}; "
            "build the index of this head first"
        )


def _metadata_digest(rows: pa.Table) -> str:
    digest = hashlib.sha256()
    for batch in rows.to_batches(max_chunksize=_BATCH_ROWS):
        for values in zip(*(batch.column(name).to_pylist() for name in rows.column_names), strict=True):
            digest.update(canonical_json([_plain(value) for value in values]))
    return digest.hexdigest()[:ID_LENGTH]


def _write_items(path: Path, rows: pa.Table, *, label: str) -> None:
    marks = ",".join("?" * len(ITEMS_COLUMNS))
    connection = sqlite3.connect(path)
    try:
        # Nobody reads the file before it is complete and uploaded: a journal would only cost time.
        connection.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
        connection.execute(ITEMS_SCHEMA)
        start = 0
        with progress(label, total=rows.num_rows) as advance:
            for batch in rows.to_batches(max_chunksize=_BATCH_ROWS):
                columns = [batch.column(position).to_pylist() for position in range(batch.num_columns)]
                numbered = (
                    (start + offset, *(_plain(value) for value in values))
                    for offset, values in enumerate(zip(*columns, strict=True))
                )
                connection.executemany(f"INSERT INTO items VALUES ({marks})", numbered)  # noqa: S608
                start += batch.num_rows
                advance(batch.num_rows)
        connection.execute(ITEMS_INDEX)
        connection.commit()
    finally:
        connection.close()


def _plain(value: Any) -> Any:
    """Returns a value as JSON and SQLite take it: times as ISO 8601 in UTC."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat()
    return value
