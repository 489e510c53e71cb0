"""The rows of a plan on this machine's disk: fetched once, reconciled with the embedding set, looked up by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index_builder.builds.parts.cutting import PartRows, fetch_rows, read_rows
from index_builder.builds.parts.part_vectors import part_halves, sampled_vectors
from index_builder.coverage import RowsDigest
from vitrine.contracts.index_builds import IndexPlan, PlannedPart
from vitrine.errors import ContractError
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.progress import progress
from vitrine.storage import ObjectStore, keys


class PlannedRows:
    """The rows of a plan.

    Args:
        folder: where their files come to lie, under their names in the plan.
    """

    def __init__(self, object_store: ObjectStore, plan: IndexPlan, folder: Path) -> None:
        self._object_store = object_store
        self._plan = plan
        self._folder = folder
        self._starts = np.cumsum([0, *(part.rows for part in plan.parts)])

    def halves(self) -> Iterator[NDArray[np.float16]]:
        """Fetches the rows and yields the vectors of all, in order, as stored: (n, dimension) for each block.

        Raises:
            ContractError: they are not the rows of the embedding set: an item is lost, doubled or another one.
        """
        plan = self._plan
        prefix = keys.index_prefix(plan.catalog_id, plan.index_version)
        digest = RowsDigest()
        with progress(f"{plan.catalog_id}: reading vectors", total=plan.items) as advance:
            for planned in plan.parts:
                part = fetch_rows(self._object_store, prefix, planned, self._folder)
                digest.add(part.table)
                yield from part_halves(self._object_store, part, dimension=plan.dimension)
                advance(planned.rows)
        embedding_set = read_embedding_set(self._object_store, plan.catalog_id, plan.embedding_set_id)
        if (digest.rows, digest.value) != (embedding_set.items, embedding_set.rows_digest):
            raise ContractError(
                f"{plan.plan_id}: expected the {embedding_set.items} rows of {plan.embedding_set_id} (digest "
                f"{embedding_set.rows_digest}), found {digest.rows} of {digest.value}; plan the build again"
            )

    def item_ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Returns the items of some rows, in the order of `rows`."""
        found = np.empty(len(rows), dtype=object)
        for planned, places, local in self._by_part(rows):
            column = pq.read_table(self._folder / planned.rows_file.name, columns=["item_id"])["item_id"]
            found[places] = column.take(local).to_pylist()
        return found.tolist()

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Reads the vectors of some rows from their blocks again: (len(rows), dimension), unit L2 norm.

        Args:
            rows: ascending.
        """
        found = np.empty((len(rows), self._plan.dimension), dtype=np.float32)
        for planned, places, local in self._by_part(rows):
            part = self._read(planned)
            found[places] = sampled_vectors(self._object_store, part, local, dimension=self._plan.dimension)
        return found

    def _read(self, planned: PlannedPart) -> PartRows:
        return read_rows(self._folder / planned.rows_file.name)

    def _by_part(self, rows: NDArray[np.int64]) -> Iterator[tuple[PlannedPart, NDArray[np.int64], NDArray[np.int64]]]:
        """Yields parts that hold any of the rows, the rows' places in `rows`, and their places in the part."""
        of_row = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(of_row):
            places = np.flatnonzero(of_row == number)
            yield self._plan.parts[number], places, rows[places] - self._starts[number]
