"""Trained, empty indexes: made from a factory string, written and read with the recipe that made them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vitrine.errors import ContractError, SettingsError
from vitrine.identity import canonical_json

if TYPE_CHECKING:
    from index_builder.recipes.protocol import Recipe

QUANTIZER_FILE, RECIPE_FILE = "quantizer.faiss", "recipe.json"


def make_index(index_key: str, sample: NDArray[np.float32], *, prepare: Callable[[Any], None] | None = None) -> Any:
    """Returns the index of a factory string, by inner product, trained on `sample`.

    Args:
        prepare: called with the index before it is trained.

    Raises:
        SettingsError: faiss does not know the key, or cannot train it on this sample.
    """
    try:
        index = faiss.index_factory(sample.shape[1], index_key, faiss.METRIC_INNER_PRODUCT)
        if prepare is not None:
            prepare(index)
        if len(sample) < (least := _least_rows(index)):
            raise SettingsError(
                f"VITRINE_INDEX_KEY={index_key!r}: expected at least {least} rows to train it on, found {len(sample)}; "
                "a catalog of so few is searched exactly: set VITRINE_INDEX_KEY=auto or flat until it has grown"
            )
        if not index.is_trained:
            index.train(sample)
    except RuntimeError as error:
        raise SettingsError(
            f"VITRINE_INDEX_KEY={index_key!r} over {len(sample)} rows of {sample.shape[1]} dimensions: {error}"
        ) from error
    return index


def _least_rows(index: Any) -> int:
    """Returns how many rows an index must be trained on: one for each list, and for each centroid of a piece."""
    lists = faiss.try_extract_index_ivf(index)
    codes: Any = index if lists is None else faiss.downcast_index(lists)
    if isinstance(codes, faiss.IndexHNSW):
        codes = faiss.downcast_index(codes.storage)
    pieces = getattr(codes, "pq", None)
    return max(0 if lists is None else int(lists.nlist), 0 if pieces is None else int(pieces.ksub))


def write_quantizer(folder: Path, recipe: Recipe, index: Any) -> None:
    """Writes a trained index and the recipe that made it into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    faiss.write_index(index, str(folder / QUANTIZER_FILE))
    (folder / RECIPE_FILE).write_bytes(canonical_json(recipe.identity()))


def read_quantizer(folder: Path, recipe: Recipe) -> Any:
    """Reads what `write_quantizer` wrote.

    Raises:
        ContractError: it does not lie there, or another recipe made it.
    """
    try:
        identity = json.loads((folder / RECIPE_FILE).read_bytes())
        index = faiss.read_index(str(folder / QUANTIZER_FILE))
    except (OSError, ValueError, RuntimeError) as error:
        raise ContractError(f"{folder}: expected a trained index, found: {error}; train it again") from error
    if identity != json.loads(canonical_json(recipe.identity())):
        raise ContractError(f"{folder}: expected a quantizer of {recipe.index_key}, found {identity.get('index_key')}")
    return index


def squared_error(index: Any, sample: NDArray[np.float32]) -> float:
    """Returns the mean squared L2 distance of vectors to what their codes decode to."""
    decoded = index.sa_decode(index.sa_encode(np.ascontiguousarray(sample)))
    return float(np.mean(np.sum((decoded - sample) ** 2, axis=1)))
