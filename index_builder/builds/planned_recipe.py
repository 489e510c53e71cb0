"""The recipe of a plan, made again from what the plan says of it."""

from __future__ import annotations

from index_builder.recipes import Recipe, recipe_of
from vitrine.contracts.index_builds import IndexPlan
from vitrine.errors import ContractError


def planned_recipe(plan: IndexPlan) -> Recipe:
    """Returns the recipe of a plan.

    Raises:
        ContractError: this version of Vitrine makes the index of its key otherwise.
    """
    recipe = recipe_of(str(plan.recipe["index_key"]), items=plan.items, dimension=plan.dimension)
    if recipe.identity() != plan.recipe:
        raise ContractError(
            f"{plan.plan_id}: expected the recipe {plan.recipe}, found {recipe.identity()}; another version of Vitrine "
            "planned it: plan the build again"
        )
    return recipe
