"""Blocks of vectors that the items brought themselves: normalised and stored, with no encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from spark_jobs.embedding.blocks import UnitVectors, write_block
from spark_jobs.embedding.units import EmbeddingUnit
from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.errors import ContractError, SpaceMixError
from vitrine.ledger.attempts import EmbeddingBlocks
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import open_parquet

ENGINE, PRECISION = "external", "fp32"


def embed_vectors(
    units: Iterable[EmbeddingUnit],
    *,
    object_store: ObjectStore,
    blocks: EmbeddingBlocks,
    catalog_id: str,
    fingerprint: str,
    dimension: int,
) -> Iterator[tuple[EmbeddingUnit, EmbeddingBlock | None]]:
    """Yields each unit with the block committed for it, or None when it had one already or another attempt was first.

    Raises:
        SpaceMixError: a vector has another dimension than the catalog.
        ContractError: a part does not hold the unit, or a vector that was accepted is zero or not finite.
    """
    for unit in units:
        standing = blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint, source_ids=[unit.source_id])
        if (unit.source_id, unit.row_group) in standing:
            yield unit, None
            continue
        found = _read_vectors(object_store, unit, dimension=dimension)
        matrix = np.stack(list(found.values()))  # (n, dimension)
        norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise ContractError(f"{unit.key}: an accepted vector is zero or not finite; profile the delivery again")
        vectors = UnitVectors(
            unit.source_id,
            unit.row_group,
            engine=ENGINE,
            precision=PRECISION,
            embedding_keys=list(found),
            embeddings=(matrix / norms[:, None]).astype(np.float32),
            norms=norms.astype(np.float32),
        )
        yield unit, write_block(object_store, blocks, vectors, catalog_id=catalog_id, fingerprint=fingerprint)


def _read_vectors(object_store: ObjectStore, unit: EmbeddingUnit, *, dimension: int) -> dict[str, np.ndarray]:
    """Returns the distinct vectors of one unit by embedding_key, in the order of the part."""
    columns = ["item_id", "embedding", "source_id", "row_group", "embedding_key"]
    found: dict[str, np.ndarray] = {}
    with open_parquet(object_store, unit.key) as part:
        for batch in part.iter_batches(batch_size=4096, columns=columns):
            rows = zip(*(batch.column(name) for name in columns), strict=True)
            for item_id, embedding, source_id, row_group, embedding_key in rows:
                if (source_id.as_py(), row_group.as_py()) != (unit.source_id, unit.row_group):
                    continue
                vector = np.asarray(embedding.values, dtype=np.float32)
                if len(vector) != dimension:
                    raise SpaceMixError(
                        f"{unit.key}: item {item_id.as_py()!r} has a vector of {len(vector)} dimensions, expected "
                        f"{dimension}; a catalog never mixes spaces: deliver it to a catalog of its own"
                    )
                found.setdefault(embedding_key.as_py(), vector)
    if not found:
        raise ContractError(f"{unit.key}: expected rows of unit {unit.source_id} {unit.row_group}, found none")
    return found
