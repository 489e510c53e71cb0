"""A head on its way to an item table: brought into an index's order on disk, looked at, then written.

Three passes, each with one piece of the head in memory: rows find their place by a lookup of ids; they are compared
with the index's rows, hashed, and their columns chosen; they are written. The head may come in any order, and so may
the index's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from index_builder.metadata.attributes import Attributes
from index_builder.metadata.column_files import ColumnFileWriters
from index_builder.metadata.digest import MetadataDigest
from index_builder.metadata.duplicate_groups import GROUPED_COLUMNS, GroupKeys
from index_builder.metadata.filter_choice import ChosenColumn, ColumnChoice
from index_builder.metadata.item_database import STORED_COLUMNS, ItemDatabaseWriter
from index_builder.metadata.row_buckets import RowBuckets
from index_builder.metadata.row_lookup import NO_ROW, RowLookup
from vitrine.errors import ContractError
from vitrine.item_table.groups import GroupKind
from vitrine.item_table.table import ITEMS_FILE
from vitrine.progress import progress

HEAD_COLUMNS = tuple(dict.fromkeys([*STORED_COLUMNS, *GROUPED_COLUMNS]))
"""Columns of a manifest that an item table is made of."""

RowBatches = Callable[[], Iterable[pa.RecordBatch]]
"""Reads `item_id` and `embedding_key` of an index's rows, in order of rows."""


class StagedHead:
    """A head in the order of an index's rows.

    Attributes:
        items: how many rows there are.
        digest: of the metadata in order of rows.
        columns: that can be filtered on.
    """

    def __init__(self, folder: Path, *, items: int, label: str) -> None:
        self._folder = folder
        self._label = label
        self.items = items
        self.digest = ""
        self.columns: list[ChosenColumn] = []

    @classmethod
    def stage(
        cls, head: Iterable[pa.RecordBatch], index_rows: RowBatches, *, items: int, folder: Path, label: str
    ) -> StagedHead:
        """Reads a head and compares it with the rows of an index.

        Args:
            head: batches of `HEAD_COLUMNS`, in any order.
            items: rows of the index.
            folder: an empty one, on a disk with room for the head.
            label: of the progress that is shown.

        Raises:
            ContractError: the head's items are not the index's rows.
        """
        staged = cls(folder, items=items, label=label)
        staged._place(head, index_rows)
        staged._survey(index_rows)
        return staged

    def write(self, folder: Path, *, near_duplicate_distance: int) -> tuple[dict[GroupKind, int], list[str]]:
        """Writes the files of the item table; returns the numbers of groups, and the files' names.

        The staged rows are gone afterwards.
        """
        columns = ColumnFileWriters(folder, self.columns, items=self.items)
        database = ItemDatabaseWriter(folder / ITEMS_FILE)
        try:
            with progress(f"{self._label}: writing", total=self.items) as advance:
                for start, _, table in self._buckets.tables(last=True):
                    database.write(start, table)
                    columns.write(start, table, Attributes(table["attributes"]))
                    advance(table.num_rows)
            database.close()
        except BaseException:
            database.abandon()
            raise
        column_names = columns.close()
        counts, group_names = self._keys.write(folder, max_distance=near_duplicate_distance)
        return counts, [ITEMS_FILE, *column_names, *group_names]

    def _place(self, head: Iterable[pa.RecordBatch], index_rows: RowBatches) -> None:
        lookup = RowLookup(lambda: (batch.column("item_id") for batch in index_rows()), items=self.items)
        buckets: RowBuckets | None = None
        placed = 0
        with progress(f"{self._label}: reading the head", total=self.items) as advance:
            for batch in head:
                if buckets is None:
                    buckets = RowBuckets(self._folder / "buckets", items=self.items, schema=batch.schema)
                rows = lookup.rows(batch.column("item_id"))
                if (rows == NO_ROW).any():
                    stranger = batch.column("item_id")[int((rows == NO_ROW).argmax())].as_py()
                    raise self._misaligned(f"item {stranger!r} of the head is none of its rows")
                buckets.add(batch, rows)
                placed += batch.num_rows
                advance(batch.num_rows)
        if buckets is None or placed != self.items:
            raise self._misaligned(f"the head holds {placed} items")
        buckets.close()
        self._buckets = buckets

    def _survey(self, index_rows: RowBatches) -> None:
        digest, choice = MetadataDigest(list(HEAD_COLUMNS)), ColumnChoice()
        self._keys = GroupKeys(self._folder / "keys", items=self.items)
        expected = _pieces(index_rows(), (stop - start for start, stop in self._buckets.ranges()))
        with progress(f"{self._label}: looking at rows", total=self.items) as advance:
            for (start, stop, table), rows in zip(self._buckets.tables(), expected, strict=True):
                for column in ("item_id", "embedding_key"):
                    if table.num_rows != stop - start or not table[column].equals(rows[column]):
                        raise self._misaligned(f"{column} differs among rows {start} to {stop - 1}")
                digest.update(table)
                choice.see(table, Attributes(table["attributes"]))
                self._keys.see(start, table)
                advance(table.num_rows)
        self.digest, self.columns = digest.hexdigest(), choice.columns()

    def _misaligned(self, how: str) -> ContractError:
        return ContractError(
            f"{self._label}: the head is not what the index's {self.items} rows are: {how}; "
            "build the index of this head first"
        )


def _pieces(batches: Iterable[pa.RecordBatch], lengths: Iterable[int]) -> Iterator[pa.Table]:
    """Yields the rows of batches in pieces of other lengths; the last are short when there are fewer rows."""
    source = iter(batches)
    held: list[Any] = []
    for length in lengths:
        while sum(batch.num_rows for batch in held) < length:
            batch = next(source, None)
            if batch is None:
                break
            held.append(batch.select(["item_id", "embedding_key"]))
        table = pa.Table.from_batches(held)
        yield table.slice(0, length).combine_chunks()
        held = table.slice(length).to_batches()
