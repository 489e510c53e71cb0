"""Ranks the recipes for a catalog: what each would take, and why it lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from index_builder.planning.calibration import FamilyCalibration
from index_builder.planning.division import divide
from index_builder.planning.footprint import Footprint
from index_builder.planning.request import PlanRequest
from index_builder.recipes import pieces_fault
from vitrine.contracts.index_builds import IndexFigures

# An item in the item table, measured at 10M items by `benchmarks/item_table.py`: SQLite, filter columns, groups.
# Columns and groups are mapped; nothing of it grows with the items in anonymous memory.
ITEM_DISK_BYTES, ITEM_MAPPED_BYTES = 708, 96
_SPREAD_MS = 0.05  # of CPU a query: asking one shard more and merging its answer


@dataclass(frozen=True)
class RankedRecipe:
    """One recipe with what is predicted of one slot, item table included.

    Attributes:
        lost_because: why it is not the choice; empty for the first.
        fits: it keeps to every limit.
    """

    name: str
    index_key: str
    shards: int
    footprint: Footprint
    index_footprint: Footprint
    recall: float
    cpu_ms: float | None
    build_cpu_s: float
    cost: float | None
    lost_because: str
    fits: bool

    def figures(self) -> IndexFigures:
        """Returns what is predicted of the index alone, as a manifest records it."""
        return IndexFigures(
            memory_bytes=self.index_footprint.anonymous_bytes,
            mapped_bytes=self.index_footprint.mapped_bytes,
            disk_bytes=self.index_footprint.disk_bytes,
            recall=self.recall,
            cpu_ms=self.cpu_ms,
        )


def rank_recipes(request: PlanRequest, calibration: Mapping[str, FamilyCalibration]) -> list[RankedRecipe]:
    """Returns every recipe, those that fit first, by CPU time of a query and then of the build."""
    judged = [_judged(request, family) for family in calibration.values()]
    judged.sort(key=lambda ranked: (not ranked.fits, _dearness(ranked)))
    best = judged[0]
    return [best, *(_beaten(ranked, best) for ranked in judged[1:])]


def predict_recipe(request: PlanRequest, family: FamilyCalibration, *, index_key: str | None = None) -> RankedRecipe:
    """Returns what one family would take, whether it fits or not.

    Args:
        index_key: a factory string of the family that the catalog asks for, instead of the family's own.
    """
    return _judged(request, family, index_key=index_key)


def _judged(request: PlanRequest, family: FamilyCalibration, *, index_key: str | None = None) -> RankedRecipe:
    division = divide(
        request,
        index_key or family.name,
        list_bytes=family.list_bytes(request.dimension),
        list_sizes=family.list_sizes,
    )
    shards, index = division.shards, division.footprint
    with_items = replace(
        index,
        mapped_bytes=index.mapped_bytes + request.items * ITEM_MAPPED_BYTES,
        disk_bytes=index.disk_bytes + request.items * ITEM_DISK_BYTES,
    )
    cpu_ms = family.cpu_ms(recall=request.recall, rows=math.ceil(request.items / shards), dimension=request.dimension)
    if cpu_ms is not None:
        cpu_ms = cpu_ms * shards + _SPREAD_MS * (shards - 1)
    build_cpu_s = family.build_cpu_s(rows=request.items, dimension=request.dimension, shards=shards)
    price = request.core_hour_price
    reasons = _reasons(request, with_items, cpu_ms, family.best_recall)
    if request.build_memory_bytes is not None and division.held_bytes > request.build_memory_bytes:
        held, limit = shown_bytes(division.held_bytes), shown_bytes(request.build_memory_bytes)
        reasons.append(f"build memory {held} > {limit}, even in {shards} shards")
    if index_key is None and (fault := pieces_fault(family.name, dimension=request.dimension)):
        reasons.insert(0, fault)
    return RankedRecipe(
        name=family.name,
        index_key=division.index_key,
        shards=shards,
        footprint=with_items,
        index_footprint=index,
        recall=min(request.recall, family.best_recall) if cpu_ms is None else request.recall,
        cpu_ms=cpu_ms,
        build_cpu_s=build_cpu_s,
        cost=None if price is None else price * build_cpu_s / 3_600,
        lost_because="; ".join(reasons),
        fits=not reasons,
    )


def _reasons(request: PlanRequest, footprint: Footprint, cpu_ms: float | None, best_recall: float) -> list[str]:
    reasons = []
    for name, needed, limit in (
        ("memory", footprint.anonymous_bytes + footprint.walked_bytes, request.memory_bytes),
        ("disk", footprint.disk_bytes, request.disk_bytes),
    ):
        if limit is not None and needed > limit:
            reasons.append(f"{name} {shown_bytes(needed)} > {shown_bytes(limit)}")
    if cpu_ms is None:
        reasons.append(f"recall {best_recall:.3f} at most")
    elif request.latency_ms is not None and cpu_ms > request.latency_ms:
        reasons.append(f"{cpu_ms:.2f} ms > {request.latency_ms:g} ms a query")
    return reasons


def _dearness(ranked: RankedRecipe) -> tuple[float, float]:
    return (math.inf if ranked.cpu_ms is None else ranked.cpu_ms, ranked.build_cpu_s)


def _beaten(ranked: RankedRecipe, best: RankedRecipe) -> RankedRecipe:
    if ranked.lost_because or ranked.cpu_ms is None or not best.cpu_ms:
        return ranked
    return replace(ranked, lost_because=f"{ranked.cpu_ms / best.cpu_ms:.1f} times the CPU a query of {best.name}")


def shown_bytes(size: float) -> str:
    """Returns a size for people: 3.1 GB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} B"
