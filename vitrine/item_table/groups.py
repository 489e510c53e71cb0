"""Groups of rows that count as one result: the same picture or a near duplicate of it, or the same product.

On disk a grouping is `groups/<name>.npy`, the group of each row, and `groups/<name>.order.npy`, the rows in order of
their groups; a group is named by its smallest row. Both are memory-mapped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitrine.row_arrays.mapped_arrays import map_array
from vitrine.row_arrays.sorted_rows import ROW_TYPE, equal_span, sort_rows

GroupKind = Literal["image", "product"]


@dataclass(frozen=True)
class RowGroups:
    """One grouping of all rows.

    Attributes:
        groups: (items,), uint32: the smallest row of each row's group.
        order: (items,), uint32: rows in order of their groups.
    """

    kind: GroupKind
    groups: NDArray[np.uint32]
    order: NDArray[np.uint32]

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the groups of rows."""
        return self.groups[rows].astype(np.int64)

    def members(self, groups: Iterable[int]) -> NDArray[np.int64]:
        """Returns all rows of some groups, ascending."""
        spans = (equal_span(self.groups, self.order, group) for group in groups)
        found = [self.order[start:stop] for start, stop in spans]
        return np.sort(np.concatenate(found)).astype(np.int64) if found else np.empty(0, dtype=np.int64)


def write_groups(folder: Path, kind: GroupKind, groups: NDArray[np.integer[Any]]) -> list[str]:
    """Writes one grouping under `folder`; returns the files' names, relative to it."""
    (folder / "groups").mkdir(parents=True, exist_ok=True)
    values = np.ascontiguousarray(groups, dtype=ROW_TYPE)
    np.save(folder / _files(kind)[0], values)
    np.save(folder / _files(kind)[1], sort_rows(values))
    return list(_files(kind))


def open_groups(folder: Path, kinds: Iterable[GroupKind], *, items: int) -> dict[GroupKind, RowGroups]:
    """Memory-maps the groupings that `write_groups` wrote.

    Raises:
        ContractError: a file is missing, malformed, or of another number of rows.
    """
    opened: dict[GroupKind, RowGroups] = {}
    for kind in kinds:
        arrays = [map_array(folder / name, items=items, dtype=ROW_TYPE) for name in _files(kind)]
        opened[kind] = RowGroups(kind, arrays[0], arrays[1])
    return opened


def _files(kind: GroupKind) -> tuple[str, str]:
    return f"groups/{kind}.npy", f"groups/{kind}.order.npy"
