"""One condition on one column, in the values that the column stores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.item_table.columns import MISSING_CODE, MISSING_TIME, FilterColumn
from vitrine.row_arrays.sorted_rows import equal_span, first_place

Span = tuple[int, int]


@dataclass(frozen=True)
class Equal:
    """One of some values, which are distinct and ascending."""

    column: str
    values: tuple[Any, ...]

    def matches(self, column: FilterColumn, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns which of a column's values match: (n,), bool."""
        if len(self.values) == 1:
            return np.asarray(values == self.values[0])
        if column.kind != "category":
            return np.isin(values, self.values)
        table = np.zeros(len(column.dictionary) + 1, dtype=np.bool_)
        table[list(self.values)] = True
        table[MISSING_CODE] = False
        return np.asarray(table[values])

    def spans(self, column: FilterColumn) -> list[Span] | None:
        """Returns where the matching rows stand in the column's order; None where that is unknown."""
        if column.order is None:
            return None
        return [equal_span(column.values, column.order, value) for value in self.values]


@dataclass(frozen=True)
class Within:
    """A range; bounds that are None do not bound."""

    column: str
    gt: Any = None
    gte: Any = None
    lt: Any = None
    lte: Any = None

    def matches(self, column: FilterColumn, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns which of a column's values match: (n,), bool."""
        # A comparison with NaN is false, so a missing number matches no bound; a missing time is the lowest of all.
        present = values != MISSING_TIME if column.kind == "time" else np.ones(values.shape, dtype=np.bool_)
        for bound, compare in (
            (self.gt, np.greater),
            (self.gte, np.greater_equal),
            (self.lt, np.less),
            (self.lte, np.less_equal),
        ):
            if bound is not None:
                present &= compare(values, bound)
        return present

    def spans(self, column: FilterColumn) -> list[Span] | None:
        """Returns where the matching rows stand in the column's order; None where that is unknown."""
        if column.order is None:
            return None
        values = column.values

        def is_inside(row: int) -> bool:  # of the lower bounds, which the missing times are below
            value = values[row]
            is_missing = column.kind == "time" and value == MISSING_TIME
            above = (self.gt is None or value > self.gt) and (self.gte is None or value >= self.gte)
            return bool(math.isnan(value) or (above and not is_missing))

        def is_past(row: int) -> bool:
            value = values[row]
            below = (self.lt is None or value < self.lt) and (self.lte is None or value <= self.lte)
            return bool(math.isnan(value) or not below)

        start, stop = first_place(column.order, is_inside), first_place(column.order, is_past)
        return [(start, max(start, stop))]


Condition = Equal | Within
