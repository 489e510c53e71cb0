"""A plan as people read it in a terminal of 100 columns, and as machines do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from index_builder.planning.plan import ITEM_DISK_BYTES, RankedRecipe, shown_bytes
from index_builder.planning.request import PlanRequest

_WIDTH = 100


def plan_table(request: PlanRequest, ranked: Sequence[RankedRecipe]) -> str:
    """Returns the plan as a table, with why each recipe lost and what a swap takes."""
    lines = [
        f"{request.items:,} items of {request.dimension} dimensions, recall@10 of {request.recall:g}"
        + (f", {request.latency_ms:g} ms of CPU a query at most" if request.latency_ms is not None else ""),
        "",
        f"   {'recipe':<11} {'RAM':>6} {'walked':>7} {'mapped':>7} {'disk':>6}   {'slot RAM':>9} {'slot disk':>9} "
        f"{'ms':>6} {'core h':>7} {'shards':>6}" + ("   cost" if request.core_hour_price is not None else ""),
    ]
    for place, one in enumerate(ranked, start=1):
        lines.append(_row(request, one, place))
        reason = "the choice" if place == 1 and one.fits else one.lost_because
        lines += textwrap.wrap(f"{one.index_key}: {reason}", _WIDTH, initial_indent="     ", subsequent_indent="     ")
    best = ranked[0]
    held = best.footprint.anonymous_bytes + best.footprint.walked_bytes
    lines += ["", *_notes(best, held)]
    if not best.fits:
        lines += [
            "",
            "No recipe keeps to every limit: raise one, lower the recall, or spread the catalog over replicas.",
        ]
    return "\n".join(lines)


def plan_data(request: PlanRequest, ranked: Sequence[RankedRecipe]) -> dict[str, Any]:
    """Returns the plan as plain data."""
    return {
        "items": request.items,
        "dimension": request.dimension,
        "recall": request.recall,
        "recipes": [
            {
                "name": one.name,
                "index_key": one.index_key,
                "fits": one.fits,
                "lost_because": one.lost_because,
                "shards": one.shards,
                "slot": vars(one.footprint),
                "swap": {name: 2 * size for name, size in vars(one.footprint).items()},
                "index": vars(one.index_footprint),
                "recall": one.recall,
                "cpu_ms": None if one.cpu_ms is None else round(one.cpu_ms, 3),
                "build_cpu_s": round(one.build_cpu_s),
                "cost": None if one.cost is None else round(one.cost, 4),
            }
            for one in ranked
        ],
    }


def _row(request: PlanRequest, one: RankedRecipe, place: int) -> str:
    def each(size: int) -> str:
        return f"{size / max(request.items, 1):,.0f}"

    index, slot = one.index_footprint, one.footprint
    latency = "-" if one.cpu_ms is None else f"{one.cpu_ms:.2f}"
    row = (
        f"{place:>2} {one.name:<11} {each(index.anonymous_bytes):>6} {each(index.walked_bytes):>7} "
        f"{each(index.mapped_bytes):>7} {each(index.disk_bytes):>6}   "
        f"{shown_bytes(slot.anonymous_bytes + slot.walked_bytes):>9} {shown_bytes(slot.disk_bytes):>9} "
        f"{latency:>6} {one.build_cpu_s / 3_600:>7.2f} {one.shards:>6}"
    )
    return row if one.cost is None else f"{row} {one.cost:>6.3f}"


def _notes(best: RankedRecipe, held: int) -> list[str]:
    text = (
        "RAM (anonymous), walked (mapped, and read by every search), mapped (all of it) and disk are bytes a vector of "
        "the index. A slot's RAM counts RAM and walked pages; its disk counts the item table too "
        f"({ITEM_DISK_BYTES} bytes an item). ms is CPU time of a query on one thread, core h that of a build. A "
        f"release is loaded beside the live one: a swap of {best.name} peaks at {shown_bytes(2 * held)} of RAM and "
        f"{shown_bytes(2 * best.footprint.disk_bytes)} of disk."
    )
    return textwrap.wrap(text, _WIDTH)
