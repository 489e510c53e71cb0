"""The nearest rows of a vector, and the nearest groups of rows: as many as are wanted, whenever so many exist."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitrine.item_table.groups import RowGroups
from vitrine.row_arrays.row_sets import RowSet, every_row
from vitrine.vector_index import VectorIndex

# Rows asked for at first, for each group that is wanted, and at most in one go. A shop has a few views and variants of
# a product; what is alike beyond that is left out of the next ask, so it is met once.
_ROWS_A_GROUP = 3
_MOST_ROWS = 4_096


def nearest_rows(
    vector: NDArray[np.float32], index: VectorIndex, *, top_k: int, allowed: RowSet | None, own_row: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns scores, descending, and rows of the nearest: (up to top_k,) each.

    Args:
        vector: (dimension,), float32, unit L2 norm.
        allowed: only these rows.
        own_row: of the item that is asked by; left out.
    """
    scores, rows = _search(vector, index, wanted=top_k + (own_row is not None), allowed=allowed)
    kept = rows != (-1 if own_row is None else own_row)
    return scores[kept][:top_k], rows[kept][:top_k]


def nearest_groups(
    vector: NDArray[np.float32],
    index: VectorIndex,
    groups: RowGroups,
    *,
    top_k: int,
    allowed: RowSet | None,
    own_row: int | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns the nearest row of each of the nearest groups; arguments and shapes as of `nearest_rows`.

    The group of `own_row` is left out. While groups are missing, the index is asked for more rows, of none of the
    groups that were met: each ask meets another one, so top_k come back whenever so many groups have an allowed row.
    """
    met = set() if own_row is None else {int(groups.groups[own_row])}
    leaving = set(met)
    best: list[tuple[float, int]] = []
    candidates, left_out, wanted = allowed, 0, _ROWS_A_GROUP * top_k + (own_row is not None)
    while True:
        available = index.items if candidates is None else candidates.count
        scores, rows = _search(vector, index, wanted=min(wanted, _MOST_ROWS), allowed=candidates, left_out=left_out)
        for score, row, group in zip(scores.tolist(), rows.tolist(), groups.of(rows).tolist(), strict=True):
            if group not in met:
                met.add(group)
                leaving.add(group)
                best.append((score, row))
        if len(best) >= top_k or len(rows) == available:
            break
        members = groups.members(sorted(leaving))
        candidates, left_out = (candidates or every_row(index.items)).without(members), left_out + len(members)
        leaving.clear()
        wanted *= 2
    # An approximate search may find a nearer row late. Of equal scores the one that was found first stands first.
    best.sort(key=lambda found: -found[0])
    found = best[:top_k]
    return np.array([score for score, _ in found], np.float32), np.array([row for _, row in found], np.int64)


def _search(
    vector: NDArray[np.float32], index: VectorIndex, *, wanted: int, allowed: RowSet | None, left_out: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    available = index.items if allowed is None else allowed.count
    if not available:
        return np.empty(0, np.float32), np.empty(0, np.int64)
    scores, rows = index.search(vector[None, :], top_k=min(wanted, available), allowed=allowed, left_out=left_out)
    return scores[0][rows[0] >= 0], rows[0][rows[0] >= 0]
