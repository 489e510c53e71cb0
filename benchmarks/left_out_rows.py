"""What it costs `dedupe` to leave the groups that it met out of the next ask, by the catalog's size.

    python -m benchmarks.left_out_rows

Prints milliseconds and peak bytes of leaving 60 rows out of all, as it is done and by a mask of every row as before.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from vitrine.row_arrays.row_sets import RowSet, every_row

SIZES = (1_000_000, 10_000_000, 100_000_000)


def main() -> None:
    """Prints one line for each size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.left_out_rows", description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=list(SIZES), help="rows of the catalog")
    print(f"{'items':>12} {'ms':>9} {'bytes':>12} {'mask: ms':>10} {'bytes':>12}")
    for items in parser.parse_args().items:
        rows = np.sort(np.random.default_rng(7).choice(items, 60, replace=False))
        now = _measured(lambda items=items, rows=rows: every_row(items).without(rows).parts_of(0, items))
        before = _measured(lambda items=items, rows=rows: _by_mask(items, rows).parts_of(0, items))
        print(f"{items:>12,} {now[0]:>9.3f} {now[1]:>12,} {before[0]:>10.1f} {before[1]:>12,}")


def _by_mask(items: int, rows: np.ndarray) -> RowSet:
    mask = np.ones(items, dtype=np.bool_)
    mask[rows] = False
    return RowSet.of_mask(mask)


def _measured(work: Callable[[], object]) -> tuple[float, int]:
    """Returns milliseconds, the least of three, and the peak of memory in bytes."""
    took = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        took.append((time.perf_counter() - started) * 1_000)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(took), peak


if __name__ == "__main__":
    main()
