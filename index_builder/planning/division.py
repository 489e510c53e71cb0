"""Into how many shards an index is divided: as few as keep to the rows of a shard and to the memory of a build."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from index_builder.planning.footprint import Footprint, shard_footprint
from index_builder.planning.request import PlanRequest
from index_builder.recipes import recipe_of

_MOST_SHARDS = 64  # of one slot: each query asks all of them


@dataclass(frozen=True)
class Division:
    """An index in shards.

    Attributes:
        index_key: factory string of each.
        footprint: of all shards together.
        held_bytes: anonymous memory in which a build makes one of them; above the request's where none keeps to it.
    """

    shards: int
    index_key: str
    footprint: Footprint
    held_bytes: int


def divide(request: PlanRequest, key: str, *, list_bytes: float, list_sizes: Sequence[float]) -> Division:
    """Returns the fewest shards that a build can make; each has the lists that suit its own rows.

    Args:
        key: a family, or a factory string.
        list_bytes, list_sizes: as `shard_footprint` takes them.
    """
    shards = 1 if request.max_shard_rows is None else math.ceil(request.items / request.max_shard_rows)
    most = max(shards, _MOST_SHARDS)
    while True:
        rows = math.ceil(request.items / shards)
        recipe = recipe_of(key, items=rows, dimension=request.dimension)
        one = shard_footprint(
            recipe, rows=rows, dimension=request.dimension, list_bytes=list_bytes, list_sizes=list_sizes
        )
        # A graph is built in memory whole; lists are merged with the ids and codes that the shard only maps later.
        held = one.disk_bytes - (rows * request.dimension if recipe.refines else 0)
        if request.build_memory_bytes is None or held <= request.build_memory_bytes or shards >= most:
            together = (one.anonymous_bytes, one.walked_bytes, one.mapped_bytes, one.disk_bytes)
            footprint = Footprint(*(round(part * request.items / rows) for part in together))
            return Division(shards, recipe.index_key, footprint, held)
        shards += 1
