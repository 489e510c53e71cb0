"""Connected components of a graph too large for one process, by a tree of union-finds.

Every task keeps a spanning forest of its edges, which has fewer edges than nodes; fewer tasks take those of several,
until one has them all. Its memory grows with the nodes that have an edge at all, not with the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from vitrine.duplicates.disjoint_sets import DisjointSets

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_FAN_IN = 8
_SCHEMA = "first bigint, second bigint"


def connected_components(edges: DataFrame, *, tasks: int) -> DataFrame:
    """Returns each `node` that is not the smallest of its component, and that smallest one as `component`.

    Args:
        edges: `first` and `second`, both bigint.
        tasks: that read the edges.
    """
    while True:
        edges = edges.repartition(tasks, "first").mapInArrow(_forest, _SCHEMA)
        if tasks == 1:
            return edges.toDF("node", "component")
        tasks = max(1, tasks // _FAN_IN)


def _forest(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    sets: DisjointSets[int] = DisjointSets()
    for batch in batches:
        for first, second in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            sets.join(first, second)
    names = [(node, name) for node, name in sorted(sets.names().items()) if node != name]
    columns = [pa.array([pair[place] for pair in names], pa.int64()) for place in (0, 1)]
    yield pa.RecordBatch.from_arrays(columns, names=["first", "second"])
