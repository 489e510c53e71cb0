"""Exact answers to queries, without and with filters, computed block by block."""

from __future__ import annotations

from collections.abc import Mapping

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.index_comparison.phases import batches

TOP_K = 10
_BLOCK_ROWS = 65_536


def exact_rows(
    vectors: NDArray[np.float16],
    queries: Mapping[str, NDArray[np.float32]],
    *,
    allowed: Mapping[str, NDArray[np.bool_]] | None = None,
    threads: int = 2,
) -> dict[str, NDArray[np.int64]]:
    """Returns the nearest rows of each set of queries: by its name, (n, TOP_K), by inner product, -1 where there are
    fewer.

    Args:
        vectors: (n, dimension), float16.
        allowed: masks by the name of the queries that they hold for; all rows where there is none.
    """
    heaps = {name: faiss.ResultHeap(len(asked), TOP_K, keep_max=True) for name, asked in queries.items()}
    faiss.omp_set_num_threads(threads)
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = np.concatenate(list(batches(vectors, start=start, stop=min(start + _BLOCK_ROWS, len(vectors)))))
        for name, asked in queries.items():
            rows = np.arange(start, start + len(block))
            kept = block
            if allowed is not None and name in allowed:
                mask = allowed[name][start : start + len(block)]
                rows, kept = rows[mask], block[mask]
            if len(kept):
                scores, found = faiss.knn(asked, kept, min(TOP_K, len(kept)), metric=faiss.METRIC_INNER_PRODUCT)
                heaps[name].add_result(scores, rows[found])
    for heap in heaps.values():
        heap.finalize()
    return {name: heap.I for name, heap in heaps.items()}


def recall_at_10(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Returns the share of the exact answers that were found, over all queries."""
    hits = sum(len(set(exact[exact >= 0]) & set(rows)) for rows, exact in zip(found, truth, strict=True))
    return hits / max(1, int((truth >= 0).sum()))
