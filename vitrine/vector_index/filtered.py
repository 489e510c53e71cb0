"""A search of one shard for rows that a filter lets through."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vitrine.row_arrays.row_sets import RowSet
from vitrine.vector_index.best import Answers, nothing
from vitrine.vector_index.nearby import MOST_LEFT_OUT, NEARBY, alike, lies_far, nearby_shares
from vitrine.vector_index.shards import Shard
from vitrine.vector_index.structures import Walk


def search_filtered(shard: Shard, queries: NDArray[np.float32], wanted: Walk, matches: RowSet) -> Answers:
    """Searches a shard for rows of a set, each query as far as what is let through around it asks for."""
    matching = matches.count_of(shard.first_row, shard.items)
    if not matching:
        return nothing(len(queries), wanted.top_k)
    wanted = replace(wanted, selector=_selector(*matches.parts_of(shard.first_row, shard.items)))
    overall = matching / shard.items
    shares = np.full(len(queries), overall)
    if shard.structure.parameter_names and not wanted.widest and wanted.left_out <= MOST_LEFT_OUT:
        around = shard.candidates(queries, Walk(wanted.tuned, NEARBY + wanted.left_out, left_out=wanted.left_out))
        around = np.where(around < 0, -1, around + shard.first_row)
        shares = nearby_shares(around, matches, overall=overall, left_out=wanted.left_out)
    scores, rows = nothing(len(queries), wanted.top_k)
    for places, share in alike(shares):
        far = wanted.left_out > 0 or lies_far(share, overall=overall)
        walk = replace(wanted, kept=share, far=far)
        scores[places], rows[places] = shard.search(queries[places], walk)
    return scores, rows


def _selector(bits: NDArray[np.uint8] | None, left_out: NDArray[np.int64]) -> Any:
    """Returns what faiss asks of each row: let through by the bits, and not left out; None lets all through."""
    through = None if bits is None else faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]
    if not len(left_out):
        return through
    kept = faiss.IDSelectorNot(faiss.IDSelectorBatch(left_out))
    return kept if through is None else faiss.IDSelectorAnd(through, kept)
