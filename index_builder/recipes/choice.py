"""Which recipe: by the family's name, by a faiss factory string, or by the size of the catalog."""

from __future__ import annotations

import math

import faiss

from index_builder.recipes.compared import ComparedRecipe
from index_builder.recipes.graph import GraphRecipe
from index_builder.recipes.lists import REFINED, ListRecipe
from index_builder.recipes.protocol import Recipe
from vitrine.errors import SettingsError

SEED = 20_261_101
_TRAIN_ROWS = 65_536
_ROWS_A_CENTROID = 40  # of the training sample: with fewer than 39 faiss warns
_EF_CONSTRUCTION = 64
_LEAST_ITEMS_A_LIST = 40
# From so many lists on their centroids are searched by a graph: comparing a query with all of them would cost more than
# the lists that it visits.
HNSW_FROM_LISTS = 16_384


def list_count(items: int) -> int:
    """Returns how many inverted lists suit a shard of `items`: the power of two nearest 4 sqrt(items)."""
    wanted = min(4 * math.sqrt(items), items / _LEAST_ITEMS_A_LIST)
    return 2 ** max(0, round(math.log2(max(1.0, wanted))))


FAMILIES: dict[str, str] = {
    "flat": "Flat",
    "hnsw-sq8": "HNSW32,SQ8",
    "ivf-sq8": "{lists},SQ8",
    "ivf-rabitq": "{lists},RaBitQfs" + REFINED,
    "ivf-pq": "{lists},PQ{quarters}x4fs" + REFINED,
    "opq-ivf-pq": "OPQ{eighths},{lists},PQ{eighths}" + REFINED,
}
_PIECE_WIDTHS = {"quarters": 4, "eighths": 8}  # dimensions of a piece, as near as a divisor comes
_LEAST_SHARE_OF_PIECES = 0.75  # of those that are wanted: with fewer the codes are too coarse to find candidates by


def pieces_fault(family: str, *, dimension: int) -> str | None:
    """Returns why a family cannot cut vectors of this dimension finely enough; None where it can.

    A product quantizer cuts a vector into equal pieces, so their number divides the dimension. Of 514 = 2 x 257
    dimensions 2 pieces are left of the 128 that are wanted: 8 bits for a vector, by which nothing is found.
    """
    for name, width in _PIECE_WIDTHS.items():
        if f"{{{name}}}" in FAMILIES[family]:
            wanted, found = max(1, dimension // width), _pieces(dimension, width)
            if found < _LEAST_SHARE_OF_PIECES * wanted:
                return f"{dimension} dimensions cut into {found} pieces of {wanted} wanted"
    return None


def index_key_of(family: str, *, items: int, dimension: int) -> str:
    """Returns the factory string of a family for a shard of `items`."""
    count = list_count(items)
    return FAMILIES[family].format(
        lists=f"IVF{count}_HNSW32" if count >= HNSW_FROM_LISTS else f"IVF{count}",
        **{name: _pieces(dimension, width) for name, width in _PIECE_WIDTHS.items()},
    )


def recipe_of(key: str, *, items: int, dimension: int) -> Recipe:
    """Returns the recipe of a family's name or of a faiss factory string.

    Args:
        items: of one shard, from which a family takes its number of lists.

    Raises:
        SettingsError: neither a family nor a key that faiss knows.
    """
    name = key if key in FAMILIES else _family(key)
    index_key = index_key_of(key, items=items, dimension=dimension) if key in FAMILIES else key
    try:
        index = faiss.index_factory(dimension, index_key.removesuffix(REFINED), faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise SettingsError(
            f"VITRINE_INDEX_KEY={key!r}: neither one of {', '.join(FAMILIES)} nor a factory string of faiss: {error}"
        ) from error
    if isinstance(index, faiss.IndexHNSW):
        return GraphRecipe(name, index_key, train_rows=_TRAIN_ROWS, seed=SEED, ef_construction=_EF_CONSTRUCTION)
    lists = faiss.try_extract_index_ivf(index)
    if lists is not None:
        train_rows = max(_TRAIN_ROWS, _ROWS_A_CENTROID * int(lists.nlist))
        return ListRecipe(name, index_key, train_rows=train_rows, seed=SEED)
    # Other codes (PQ, RaBitQ, LSH) have a layout of their own in a file, which `write_codes` does not write.
    if isinstance(index, faiss.IndexFlat | faiss.IndexScalarQuantizer):
        return ComparedRecipe(name, index_key, train_rows=_TRAIN_ROWS, seed=SEED)
    raise SettingsError(
        f"VITRINE_INDEX_KEY={key!r}: expected lists (IVF…), a graph (HNSW…) or codes of one number a dimension (Flat, "
        f"SQ8, SQfp16), found {type(index).__name__}; name one of {', '.join(FAMILIES)}, or put codes of "
        "another kind into lists (IVF256,PQ16)"
    )


def _pieces(dimension: int, width: int) -> int:
    """Returns into how many pieces of about `width` dimensions a vector is cut: as many as divide it."""
    return next(pieces for pieces in range(max(1, dimension // width), 0, -1) if dimension % pieces == 0)


def _family(index_key: str) -> str:
    """Returns the family that a factory string belongs to, or the string itself."""
    if index_key == "Flat":
        return "flat"
    if index_key.startswith("HNSW") and index_key.endswith(",SQ8"):
        return "hnsw-sq8"
    for name, start, mark in (
        ("opq-ivf-pq", "OPQ", ",PQ"),
        ("ivf-rabitq", "IVF", ",RaBitQfs"),
        ("ivf-pq", "IVF", "x4fs"),
    ):
        if index_key.startswith(start) and mark in index_key and index_key.endswith(REFINED):
            return name
    if index_key.startswith("IVF") and index_key.endswith(",SQ8"):
        return "ivf-sq8"
    return index_key
