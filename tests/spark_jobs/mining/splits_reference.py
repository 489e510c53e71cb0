"""Splits by time and by product, slowly and plainly: what mining must find by Spark.

What a model is tested on is newer than, and unlike, all that it learned from.

Products that share a near-duplicate group are one unit; a unit belongs to the window in which the first of its items
was seen. An item is left out where its own time lies outside its unit's window: a test item of a product that was
trained on would leak the product, and a training item from the time of the test would leak the time.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from vitrine.contracts.training_sets import Split, TrainingWindow
from vitrine.duplicates.disjoint_sets import DisjointSets


@dataclass(frozen=True)
class SplitItem:
    """What decides where an item goes.

    Attributes:
        parent_id: None: a product by itself.
        near_duplicate_group: None: like no other.
        first_seen: `created_at`, or the first day that delivered it; in UTC.
    """

    item_id: str
    parent_id: str | None
    near_duplicate_group: str | None
    first_seen: datetime.datetime


def split_of_time(time: datetime.datetime, window: TrainingWindow) -> Split | None:
    """Returns the split in whose window `time` lies; None in a gap, or after the end."""
    day = time.astimezone(datetime.UTC).date().isoformat()  # ISO days sort as days do
    if day < window.train_until:
        return Split.TRAIN
    if window.validation_from <= day < window.validation_until:
        return Split.VALIDATION
    if window.test_from <= day < window.test_until:
        return Split.TEST
    return None


def assign_splits(items: Iterable[SplitItem], window: TrainingWindow) -> dict[str, Split | None]:
    """Returns each item's split by item_id, or None where it is left out.

    Holds for any items: no parent and no near-duplicate group stands in two splits, and every item's own time lies in
    the window of its split.
    """
    items = list(items)
    units: DisjointSets[tuple[str, str]] = DisjointSets(
        (node, other) for item in items for node in _nodes(item) for other in _nodes(item)
    )
    first_seen: dict[tuple[str, str], datetime.datetime] = {}
    for item in items:
        unit = units.name_of(_nodes(item)[0])
        first_seen[unit] = min(first_seen.get(unit, item.first_seen), item.first_seen)
    result: dict[str, Split | None] = {}
    for item in items:
        own = split_of_time(item.first_seen, window)
        of_unit = split_of_time(first_seen[units.name_of(_nodes(item)[0])], window)
        result[item.item_id] = own if own == of_unit else None
    return result


def _nodes(item: SplitItem) -> list[tuple[str, str]]:
    product = ("item", item.item_id) if item.parent_id is None else ("parent", item.parent_id)
    return [product, *([] if item.near_duplicate_group is None else [("group", item.near_duplicate_group)])]
