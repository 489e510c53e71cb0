"""`python -m index_builder plan`: which recipe, before anything is built."""

from __future__ import annotations

import argparse
import json
from typing import Any

from index_builder.planning.sizes import read_size
from vitrine.errors import SettingsError
from vitrine.settings import Settings


def add_plan_command(verbs: Any) -> None:
    """Adds the verb; limits that are left out are those of the settings."""
    summary = "rank the recipes for a catalog: memory, disk, recall, latency and build cost, and why each lost"
    command = verbs.add_parser("plan", help=summary, description=summary)
    command.add_argument("--items", type=int, required=True, help="rows of the index")
    command.add_argument("--dimension", type=int, default=512, help="of the embeddings (default 512)")
    command.add_argument("--memory", help="of one slot, e.g. 8G: anonymous, and mapped pages that each search walks")
    command.add_argument("--disk", help="of one slot, item table included, e.g. 60G")
    command.add_argument("--recall", type=float, help="recall@10 that is wanted")
    command.add_argument("--latency-ms", type=float, help="CPU time of one query at most")
    command.add_argument("--core-hour-price", type=float, help="of a CPU core, in any currency: adds a column of cost")
    command.add_argument("--json", action="store_true", help="for machines")


def run_plan(options: argparse.Namespace, settings: Settings) -> str:
    """Returns the plan as text or JSON.

    Raises:
        SettingsError: an option is out of its range, a size cannot be read, or there is no calibration.
    """
    _check_ranges(options)
    from index_builder.planning.calibration import read_calibration
    from index_builder.planning.plan import rank_recipes
    from index_builder.planning.request import PlanRequest
    from index_builder.planning.table import plan_data, plan_table

    memory, disk = options.memory or settings.index_memory, options.disk or settings.index_disk
    request = PlanRequest(
        items=options.items,
        dimension=options.dimension,
        memory_bytes=read_size(memory) if memory else None,
        disk_bytes=read_size(disk) if disk else None,
        recall=settings.index_recall_target if options.recall is None else options.recall,
        latency_ms=settings.index_latency_ms if options.latency_ms is None else options.latency_ms,
        build_memory_bytes=settings.index_build_max_bytes,
        max_shard_rows=settings.index_max_shard_rows,
        core_hour_price=options.core_hour_price,
    )
    ranked = rank_recipes(request, read_calibration())
    return json.dumps(plan_data(request, ranked), indent=2) if options.json else plan_table(request, ranked)


def _check_ranges(options: argparse.Namespace) -> None:
    for name, value, least in (
        ("items", options.items, 1),
        ("dimension", options.dimension, 1),
        ("core-hour-price", options.core_hour_price, 0),
    ):
        if value is not None and value < least:
            raise SettingsError(f"--{name}: expected {least} or more, found {value}")
    if options.recall is not None and not 0 < options.recall <= 1:
        raise SettingsError(f"--recall: expected a share above 0 and up to 1, e.g. 0.95, found {options.recall}")
    if options.latency_ms is not None and not options.latency_ms > 0:
        raise SettingsError(f"--latency-ms: expected milliseconds above 0, found {options.latency_ms}")
