"""Slices: the parts of the queries that a mean over all of them hides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from training.data.samples import Sample
from training.evaluate.tasks.task import Query

MIN_QUERIES = 5
NEW_SHARE = 0.1
Slice = tuple[str, str]
"""`(column, value)`, such as `("color", "red")` or `("frequency", "tail")`."""


def slices_of(queries: Sequence[Query], samples: Sequence[Sample]) -> Mapping[Slice, NDArray[np.int64]]:
    """Returns the slices that have at least 5 queries, each with its places among the queries.

    By `category`, `brand` and `color` of the item; by `frequency`: `head` are the products with the most pictures that
    together hold half of the catalog, `tail` the others; by `age`: `new` are the tenth of the catalog's items that came
    last. A column that says nothing about the queries makes no slice.

    Args:
        queries: of one task.
        samples: the whole catalog.
    """
    head, newest = _head_parents(samples), _newest(samples)
    found: dict[Slice, list[int]] = {}
    for place, query in enumerate(queries):
        item = query.item
        named = [("category", item.category), ("brand", item.brand), ("color", item.color)]
        if head:
            named.append(("frequency", "head" if item.parent_id in head else "tail"))
        if newest:
            named.append(("age", "new" if item.item_id in newest else "older"))
        for column, value in named:
            if value:
                found.setdefault((column, value), []).append(place)
    order = ("frequency", "age", "category", "brand", "color")
    return {
        key: np.array(found[key], dtype=np.int64)
        for key in sorted(found, key=lambda key: (order.index(key[0]), key[1]))
        if len(found[key]) >= MIN_QUERIES
    }


def _head_parents(samples: Sequence[Sample]) -> set[str]:
    counts = Counter(sample.parent_id for sample in samples)
    if len(set(counts.values())) < 2:
        return set()  # all alike: no head, no tail
    head: set[str] = set()
    held = 0
    for parent_id, pictures in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if held * 2 >= len(samples):
            break
        head.add(parent_id)
        held += pictures
    return head


def _newest(samples: Sequence[Sample]) -> set[str]:
    dated = [(when, sample.item_id) for sample in samples if (when := _when(sample.created_at)) is not None]
    if len({when for when, _ in dated}) < 2:
        return set()
    dated.sort()
    return {item_id for _, item_id in dated[len(dated) - max(1, round(len(dated) * NEW_SHARE)) :]}


def _when(created_at: str | None) -> float | None:
    try:
        when = datetime.fromisoformat((created_at or "").strip())
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
