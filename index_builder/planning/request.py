"""What a plan is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlanRequest:
    """What a catalog needs and may take.

    Attributes:
        memory_bytes: of one slot, item table included: anonymous, and mapped pages that every search walks; None: any.
        disk_bytes: disk of one slot, item table included; None: any.
        recall: recall@10 against exact search.
        latency_ms: CPU time of one query at most; None: any.
        build_memory_bytes: anonymous memory of a build, which merges one shard at a time; None: any.
        max_shard_rows: rows of one shard at most; None: any.
        core_hour_price: of a CPU core, in any currency; None: cost is told in core hours only.
    """

    items: int
    dimension: int
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    recall: float = 0.95
    latency_ms: float | None = None
    build_memory_bytes: int | None = None
    max_shard_rows: int | None = None
    core_hour_price: float | None = None
