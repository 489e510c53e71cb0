"""Units of embedding: which ones a set of manifests names, and which of them have no committed block yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vitrine.catalogs import Catalog
from vitrine.head.reader import Unit, manifest_units, read_manifest
from vitrine.ledger.attempts import EmbeddingBlocks
from vitrine.storage import ObjectStore, keys


@dataclass(frozen=True)
class EmbeddingUnit:
    """A row group of a pack or, in a catalog that brings vectors, the part of a manifest that holds them.

    Attributes:
        source_id, row_group: as the rows of the manifest name it.
        key: the Parquet object to read.
        rows: of a part that holds vectors, about as many as those; 0 of a row group of a pack.
    """

    source_id: str
    row_group: int
    key: str
    rows: int = 0


def missing_units(
    object_store: ObjectStore,
    blocks: EmbeddingBlocks,
    *,
    catalog: Catalog,
    fingerprint: str,
    manifests: Mapping[str, str],
) -> list[EmbeddingUnit]:
    """Returns the units that the manifests name and that have no committed block, in order.

    Args:
        manifests: day to manifest_id.
    """
    named: dict[Unit, EmbeddingUnit] = {}
    for dt in sorted(manifests):
        manifest = read_manifest(object_store, catalog.catalog_id, dt, manifests[dt])
        for unit, part in manifest_units(object_store, manifest).items():
            if unit in named:
                continue
            if catalog.space == "vectors":
                named[unit] = EmbeddingUnit(*unit, key=part.key, rows=part.rows)
            else:
                named[unit] = EmbeddingUnit(*unit, key=keys.image_pack(catalog.catalog_id, unit[0]))
    if not named:
        return []
    committed = blocks.committed(
        catalog_id=catalog.catalog_id, fingerprint=fingerprint, source_ids={source_id for source_id, _ in named}
    )
    return [named[unit] for unit in sorted(named) if unit not in committed]
