"""The rows of an index version in their order: they follow the blocks, so that a task reads its own blocks, each once.

Sorted by (source_id, row_group, embedding_key, item_id). A head of any size is sorted in bounded memory: the embedding
set says how many vectors each source has, so the rows are first dealt out to ranges of sources, on disk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from index_builder.coverage import ROW_COLUMNS, RowsDigest, row_batches
from vitrine.contracts.datasets import EmbeddingBlock, EmbeddingSet
from vitrine.contracts.items import manifest_items_schema
from vitrine.errors import ContractError
from vitrine.ledger import Head
from vitrine.storage import ObjectStore

ROW_ORDER = ("source_id", "row_group", "embedding_key", "item_id")
SORTED_ROW_BYTES = 800  # of a row while its range is sorted: about 180 as it is, taken a few times over


def ordered_rows(
    object_store: ObjectStore, embedding_set: EmbeddingSet, *, folder: Path, range_rows: int
) -> Iterator[pa.Table]:
    """Yields all rows of an embedding set in the order of a version, in tables of whole units.

    Args:
        folder: scratch, for the rows of heads that are larger than one range.
        range_rows: rows that are sorted in memory at a time, about; a source is never divided.

    Raises:
        ContractError: the head's rows are not those of the embedding set.
    """
    head = Head(embedding_set.catalog_id, embedding_set.head_sequence, embedding_set.manifests)
    digest = RowsDigest()
    starts = _range_starts(embedding_set.blocks, range_rows)
    ranges = _Ranges(starts, folder)
    for batch in row_batches(object_store, head):
        digest.add(batch)
        ranges.add(batch)
    if (digest.rows, digest.value) != (embedding_set.items, embedding_set.rows_digest):
        raise ContractError(
            f"embedding set {embedding_set.embedding_set_id}: expected {embedding_set.items} rows of digest "
            f"{embedding_set.rows_digest}, found {digest.rows} of {digest.value}; "
            "a manifest was changed after it was written"
        )
    order = [(name, "ascending") for name in ROW_ORDER]
    for table in ranges.tables():
        if table.num_rows:
            yield table.sort_by(order).combine_chunks()


def _range_starts(blocks: Iterable[EmbeddingBlock], range_rows: int) -> list[str]:
    """Returns the first source of each range but the first."""
    starts: list[str] = []
    filled, last = 0, None
    for block in sorted(blocks, key=lambda block: block.source_id):
        if block.source_id != last and filled >= range_rows:
            starts.append(block.source_id)
            filled = 0
        filled += block.rows
        last = block.source_id
    return starts


class _Ranges:
    """Rows by range of sources: one range is held in memory, several lie in files."""

    def __init__(self, starts: list[str], folder: Path) -> None:
        schema = manifest_items_schema()
        self._schema = pa.schema([schema.field(name) for name in ROW_COLUMNS])
        self._starts = starts
        self._paths = [folder / f"rows-{number:05d}.arrow" for number in range(len(starts) + 1)] if starts else []
        self._files = [pa.OSFile(str(path), "wb") for path in self._paths]
        self._writers = [pa.ipc.new_stream(file, self._schema) for file in self._files]
        self._held: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Deals out the rows of a batch."""
        batch = batch.select(list(ROW_COLUMNS))
        if not self._starts:
            self._held.append(batch)
            return
        sources = batch.column("source_id").dictionary_encode()
        of_source = np.array([bisect_right(self._starts, name) for name in sources.dictionary.to_pylist()])
        of_row = of_source[sources.indices.to_numpy(zero_copy_only=False)]
        for number in np.unique(of_row):
            self._writers[number].write_batch(batch.filter(pa.array(of_row == number)))

    def tables(self) -> Iterator[pa.Table]:
        """Yields the ranges in order; each file goes when it was read."""
        if not self._starts:
            yield pa.Table.from_batches(self._held, schema=self._schema)
            return
        for writer, file in zip(self._writers, self._files, strict=True):
            writer.close()
            file.close()
        for path in self._paths:
            with pa.OSFile(str(path)) as file:
                yield pa.ipc.open_stream(file).read_all()
            path.unlink()
