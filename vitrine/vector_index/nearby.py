"""How many of the rows around a query a filter lets through, which decides how far a filtered search has to walk.

The share of all rows says little: of shoes a shop may have a tenth, of the rows around a picture of a shoe nearly all
are shoes, and around a lamp there is none.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vitrine.row_arrays.row_sets import RowSet

NEARBY = 64  # rows looked at around a query
_SURE = 16  # matches among them from which their share is known to within about a quarter: sqrt(16) / 16
_FAR = 3
MOST_LEFT_OUT = 960  # rows left out right around a query beyond which nobody looks at what lies around them


def nearby_shares(
    rows: NDArray[np.int64], matches: RowSet, *, overall: float, left_out: int = 0
) -> NDArray[np.float64]:
    """Estimates the share that is let through around each query.

    Args:
        rows: (n, NEARBY + left_out), the rows around each query, -1 where there is none.
        matches: the rows that are let through.
        overall: their share of all rows; taken where too few matches are met to believe that there are more nearby.
        left_out: rows right around each query that are not let through by intent, and say nothing of the others.

    Returns:
        shares: (n,), from about 1 / NEARBY to 1: where none is met there may still be one farther away.
    """
    met = (matches.contains(np.maximum(rows, 0)) & (rows >= 0)).sum(axis=1)
    looked_at = np.maximum((rows >= 0).sum(axis=1) - left_out, met)
    shares = np.minimum((met + 1) / (looked_at + 1), 1.0)
    return np.where(met < _SURE, np.minimum(shares, overall), shares)


def lies_far(share: float, *, overall: float) -> bool:
    """Whether so few of the rows around a query are let through that its answers lie elsewhere: by chance no more than
    1 of 25 queries meets a third of what the share of all rows makes expect, from a share of 5% on; below that nobody
    can tell by so few rows."""
    return share <= overall / _FAR


def alike(shares: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.intp], float]]:
    """Yields queries that may be asked together: their places, and the least of their shares, which is at least half
    of each."""
    octaves = np.floor(np.log2(shares))
    for octave in np.unique(octaves):
        places = np.flatnonzero(octaves == octave)
        yield places, float(shares[places].min())
