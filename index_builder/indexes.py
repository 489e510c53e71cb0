"""The faiss index itself: trained on a sample of the whole set, filled in batches."""

from __future__ import annotations

from typing import Any

import faiss

from index_builder.recipes import Recipe
from index_builder.vectors import RowVectors
from vitrine.errors import SettingsError
from vitrine.progress import progress


def fill_index(recipe: Recipe, vectors: RowVectors, *, threads: int, label: str) -> Any:
    """Returns a faiss index over all rows, by inner product.

    Raises:
        SettingsError: faiss does not know the recipe's index key, or cannot train it on so few rows.
    """
    faiss.omp_set_num_threads(threads)
    try:
        index = faiss.index_factory(vectors.dimension, recipe.index_key, faiss.METRIC_INNER_PRODUCT)
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efConstruction = recipe.ef_construction
        if not index.is_trained:
            # A random sample over everything: the first rows are those of the smallest ids, often one supplier's.
            index.train(vectors.rows(vectors.sample(recipe.train_rows, seed=recipe.seed)))
    except RuntimeError as error:
        raise SettingsError(
            f"VITRINE_INDEX_KEY={recipe.index_key!r} over {vectors.items} rows of {vectors.dimension} dimensions: "
            f"{error}"
        ) from error
    with progress(label, total=vectors.items) as advance:
        for _, batch in vectors.batches():
            index.add(batch)
            advance(len(batch))
    return index
