"""An item table: the head's metadata in the order of an index version's rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from index_builder.builds import find_index_version
from index_builder.metadata.staged_head import HEAD_COLUMNS, StagedHead
from vitrine.connections import open_connections
from vitrine.contracts.datasets import EmbeddingSet
from vitrine.contracts.document import Provenance, StoredFile
from vitrine.contracts.releases import IndexVersion, ItemTable
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.files.scratch import scratch_folder
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.head.reader import HeadReader
from vitrine.identity import attempt_id, content_id
from vitrine.ledger import Ledger
from vitrine.provenance import describe_run, put_provenance
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_file import open_parquet
from vitrine.storage.object_store import file_sha256
from vitrine.write_once import put_once

# Enters the id, so that a table of an older layout is made again: 2 has orders of columns and groups.
_LAYOUT = 2
_BATCH_ROWS = 65_536


def build_item_table(
    settings: Settings,
    *,
    catalog_id: str,
    embedding_set_id: str,
    index_version: str,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Writes the item table of a head, aligned to the rows of an index version; returns its id.

    Equal metadata over the same rows is the same table, which is returned when it exists. Memory is bounded: about 80
    bytes an item, and a piece of the head; the head lies on disk meanwhile.

    Raises:
        ContractError: the head's items are not the index's rows.
    """
    with open_connections(settings) as (object_store, ledger):
        embedding_set = read_embedding_set(object_store, catalog_id, embedding_set_id)
        index = find_index_version(object_store, catalog_id, index_version)
        if index is None:
            raise ContractError(f"catalog {catalog_id}: index {index_version} does not exist; build it first")
        distance = settings.near_duplicate_distance
        with scratch_folder(settings, "items") as folder:
            staged = _staged(object_store, embedding_set, index, folder / "staged")
            item_table_id = content_id("items", [catalog_id, index_version, staged.digest, distance, _LAYOUT])
            if find_item_table(object_store, catalog_id, item_table_id) is not None:
                return item_table_id
            (folder / "table").mkdir()
            groups, names = staged.write(folder / "table", near_duplicate_distance=distance)
            manifest = ItemTable(
                item_table_id=item_table_id,
                catalog_id=catalog_id,
                index_version=index_version,
                head_sequence=embedding_set.head_sequence,
                manifests=embedding_set.manifests,
                items=staged.items,
                columns={column.name: column.kind for column in staged.columns},
                groups=groups,
                files=tuple(_stored(folder / "table", name) for name in names),
                attempt_id=attempt_id(),
            )
            for name in names:
                object_store.put_file(f"{_files_prefix(manifest)}/{name}", folder / "table" / name)
        _commit(object_store, ledger, manifest, describe_run(provenance))
    print(
        f"{catalog_id}: item table {item_table_id}, {manifest.items:,} items, "
        f"{groups['image']:,} pictures and {groups['product']:,} products among them",
        file=sys.stderr,
    )
    return item_table_id


def find_item_table(object_store: ObjectStore, catalog_id: str, item_table_id: str) -> ItemTable | None:
    """Returns the manifest of an item table, or None when it was never completed."""
    try:
        return ItemTable.from_bytes(
            object_store.get_bytes(f"{keys.item_table_prefix(catalog_id, item_table_id)}/manifest.json")
        )
    except ObjectMissingError:
        return None


def _staged(object_store: ObjectStore, embedding_set: EmbeddingSet, index: IndexVersion, folder: Path) -> StagedHead:
    head = HeadReader(object_store, catalog_id=embedding_set.catalog_id, manifests=embedding_set.manifests)
    return StagedHead.stage(
        head.batches(HEAD_COLUMNS, batch_rows=_BATCH_ROWS),
        lambda: _index_rows(object_store, index),
        items=index.items,
        folder=folder,
        label=f"{index.catalog_id}: item table over index {index.index_version}",
    )


def _index_rows(object_store: ObjectStore, index: IndexVersion) -> Iterator[pa.RecordBatch]:
    """Yields `item_id` and `embedding_key` of an index's rows, in order of rows."""
    prefix = keys.index_prefix(index.catalog_id, index.index_version)
    for name in (file.name for file in index.files if file.name.startswith("rows/")):
        with open_parquet(object_store, f"{prefix}/{name}") as parquet:
            yield from parquet.iter_batches(batch_size=_BATCH_ROWS, columns=["item_id", "embedding_key"])


def _stored(folder: Path, name: str) -> StoredFile:
    path = folder / name
    return StoredFile(name=name, size_bytes=path.stat().st_size, sha256=file_sha256(path))


def _files_prefix(table: ItemTable) -> str:
    """Each attempt has a folder of its own: another SQLite writes equal rows as other bytes."""
    return keys.item_table_files_prefix(table.catalog_id, table.item_table_id, attempt_id=table.attempt_id)


def _commit(object_store: ObjectStore, ledger: Ledger, manifest: ItemTable, provenance: Provenance) -> None:
    """Makes the table the one of its id, unless another attempt was first."""

    def is_whole(document: bytes) -> bool:
        table = ItemTable.from_bytes(document)
        return all(object_store.exists(f"{_files_prefix(table)}/{file.name}") for file in table.files)

    prefix = keys.item_table_prefix(manifest.catalog_id, manifest.item_table_id)
    put_provenance(object_store, ledger, prefix, provenance)
    # The head that it was made at stands in it and in no id.
    put_once(object_store, ledger, f"{prefix}/manifest.json", manifest.to_bytes(), is_whole=is_whole)
