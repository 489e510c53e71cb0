"""The recipe that a build takes, from its settings, with what is predicted of it."""

from __future__ import annotations

from dataclasses import dataclass

from index_builder.planning.calibration import read_calibration
from index_builder.planning.division import divide
from index_builder.planning.plan import predict_recipe, rank_recipes
from index_builder.planning.request import PlanRequest
from index_builder.planning.sizes import read_size
from index_builder.planning.table import plan_table
from index_builder.recipes import FAMILIES, Recipe, pieces_fault, recipe_of
from vitrine.contracts.index_builds import IndexFigures
from vitrine.errors import SettingsError
from vitrine.settings import Settings


@dataclass(frozen=True)
class ChosenRecipe:
    """What a build makes.

    Attributes:
        shards: that it makes; the recipe is that of one of them.
        predicted: of the index as a whole; empty figures where nothing is calibrated for its kind.
    """

    recipe: Recipe
    shards: int
    predicted: IndexFigures


def choose_for(settings: Settings, *, items: int, dimension: int) -> ChosenRecipe:
    """Returns the recipe for a catalog of `items`.

    `auto` searches small catalogs exactly: it costs nothing to build, and at 5,000 items less than a graph to search.
    Above that the planner ranks all recipes under the limits of the settings.

    Raises:
        SettingsError: `VITRINE_INDEX_KEY` names no recipe, or no recipe keeps to the limits.
    """
    request = plan_request(settings, items=items, dimension=dimension)
    calibration = read_calibration()
    key = settings.index_key
    if key == "auto":
        if items <= settings.index_flat_max_items:
            ranked = predict_recipe(request, calibration["flat"])
        else:
            graded = {name: family for name, family in calibration.items() if name != "flat"}
            all_ranked = rank_recipes(request, graded)
            ranked = all_ranked[0]
            if not ranked.fits:
                raise SettingsError(
                    f"no recipe keeps to VITRINE_INDEX_MEMORY, _DISK, _RECALL_TARGET and _LATENCY_MS:\n"
                    f"{plan_table(request, all_ranked)}"
                )
    else:
        if key in FAMILIES and (fault := pieces_fault(key, dimension=dimension)):
            raise SettingsError(
                f"VITRINE_INDEX_KEY={key!r}: expected a dimension that divides into enough pieces, found {fault}; set "
                "VITRINE_INDEX_KEY=auto or another recipe (`python -m index_builder plan`)"
            )
        asked = recipe_of(key, items=max(items, 1), dimension=dimension)
        if asked.name not in calibration:
            # What only a calibration knows of lists is left out: they count as even, and as free beside their rows.
            shards = divide(request, key, list_bytes=0.0, list_sizes=()).shards
            return ChosenRecipe(asked, shards, IndexFigures())
        ranked = predict_recipe(request, calibration[asked.name], index_key=None if key == asked.name else key)
    per_shard = -(-max(items, 1) // ranked.shards)
    return ChosenRecipe(
        recipe_of(ranked.index_key, items=per_shard, dimension=dimension), ranked.shards, ranked.figures()
    )


def plan_request(settings: Settings, *, items: int, dimension: int) -> PlanRequest:
    """Returns what the settings ask of an index of `items`."""
    return PlanRequest(
        items=max(items, 1),
        dimension=dimension,
        memory_bytes=read_size(settings.index_memory) if settings.index_memory else None,
        disk_bytes=read_size(settings.index_disk) if settings.index_disk else None,
        recall=settings.index_recall_target,
        latency_ms=settings.index_latency_ms,
        build_memory_bytes=settings.index_build_max_bytes,
        max_shard_rows=settings.index_max_shard_rows,
    )
