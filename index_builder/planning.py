"""Stand-in."""

from dataclasses import dataclass
from index_builder.recipes import Recipe, make_recipe
from vitrine.contracts.index_builds import IndexFigures
from vitrine.settings import Settings


@dataclass(frozen=True)
class Choice:
    recipe: Recipe
    predicted: IndexFigures


def choose_recipe(settings: Settings, *, items: int, dimension: int) -> Choice:
    return Choice(make_recipe(settings, items=items), IndexFigures(memory_bytes=items * dimension))
