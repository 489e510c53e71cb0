"""What filters matched before: a bounded cache that any number of threads may ask at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from vitrine.row_arrays.row_sets import RowSet


class FilterCache:
    """Row sets by what was asked, the ones not asked for longest leaving first.

    A set is computed outside the lock and is immutable once it is in: two requests may compute the same one, and none
    sees half of one.

    Args:
        max_bytes: of all sets together; a larger set is not kept at all.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._sets: OrderedDict[Hashable, RowSet] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Of the sets that are kept now."""
        return self._held_bytes

    def get(self, key: Hashable, make: Callable[[], RowSet]) -> RowSet:
        """Returns the set of a key, made and kept when it is not here."""
        with self._lock:
            found = self._sets.get(key)
            if found is not None:
                self._sets.move_to_end(key)
                return found
        made = make()
        if made.size_bytes > self._max_bytes:
            return made
        with self._lock:
            if key not in self._sets:
                self._sets[key] = made
                self._held_bytes += made.size_bytes
                while self._held_bytes > self._max_bytes:
                    self._held_bytes -= self._sets.popitem(last=False)[1].size_bytes
        return made
