"""Recipes: how an index is trained, encoded part by part, merged, or built whole. One protocol for all of them."""

from index_builder.recipes.choice import FAMILIES, pieces_fault, recipe_of
from index_builder.recipes.protocol import Recipe, Trained

__all__ = ["FAMILIES", "Recipe", "Trained", "pieces_fault", "recipe_of"]
