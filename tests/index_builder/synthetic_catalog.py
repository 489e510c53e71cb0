"""Small catalogs written straight into the store: manifests, packs and blocks, without Spark."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.contracts.datasets import Delivery, EmbeddingBlock, Manifest, PartFile
from vitrine.contracts.items import manifest_items_schema
from vitrine.contracts.releases import IndexVersion
from vitrine.head.reader import manifest_key
from vitrine.identity import attempt_id, canonical_json, content_id, sha256_hex
from vitrine.ledger import Ledger
from vitrine.provenance import describe_run
from vitrine.storage import ObjectStore, keys
from vitrine.vector_index import VectorIndex

FINGERPRINT = "f" * 20
DIMENSION = 24
_UNIT_ROWS = 64


@dataclass(frozen=True)
class SyntheticItem:
    """One item; `picture` is anything, unless an encoder is to read it."""

    item_id: str
    picture: bytes = b""
    deleted: bool = False
    columns: dict[str, Any] = field(default_factory=dict)  # title, price, …

    @property
    def image(self) -> bytes:
        """The image's bytes: made up when none were given, so that each item has its own."""
        return self.picture or f"picture of {self.item_id}".encode()


def make_items(count: int, *, start: int = 0) -> list[SyntheticItem]:
    """Returns items with metadata of every kind."""
    colors = ["red", "blue", "green", None]
    return [
        SyntheticItem(
            item_id=f"item-{number:05d}",
            columns={
                "title": f"a thing number {number // 2}",
                "category": ["dress", "lamp", "shoe"][number % 3],
                "color": colors[number % 4],
                "parent_id": f"parent-{number // 5}",
                "price": None if number % 7 == 0 else 5.0 + number,
                "in_stock": number % 2 == 0,
                "attributes": canonical_json({"size": number % 10, "material": ["wool", "silk"][number % 2]}).decode(),
            },
        )
        for number in range(start, start + count)
    ]


def vector_of(embedding_key: str, *, dimension: int = DIMENSION) -> np.ndarray:
    """Returns a made-up unit vector, the same each time; vectors lie in clusters, as real ones do."""
    seed = int(hashlib.sha256(embedding_key.encode()).hexdigest()[:8], 16)
    generator = np.random.default_rng(seed)
    center = np.random.default_rng(seed % 12).standard_normal(dimension)
    vector = center + 0.7 * generator.standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class SyntheticCatalog:
    """Delivers, embeds and publishes days of one catalog.

    Args:
        pack_rows: pictures in a pack; by default a delivery makes one pack.
    """

    def __init__(
        self, object_store: ObjectStore, ledger: Ledger, catalog_id: str, *, pack_rows: int | None = None
    ) -> None:
        self.object_store = object_store
        self.ledger = ledger
        self.catalog_id = catalog_id
        self._pack_rows = pack_rows

    def deliver(self, dt: str, items: Sequence[SyntheticItem], *, full: bool = False) -> str:
        """Writes delivery, pack and manifest of a day and makes it current; returns the manifest id."""
        delivery_id = content_id("delivery", [self.catalog_id, dt, [repr(item) for item in items]])
        self._write_delivery(dt, delivery_id, full=full)
        rows = self._rows(items)
        stream = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=manifest_items_schema()), stream)
        manifest_id = content_id("manifest", [delivery_id, full])
        prefix = keys.manifest_prefix(self.catalog_id, dt, manifest_id)
        part = PartFile(key=f"{prefix}/items/part-00000.parquet", rows=len(rows), sha256=sha256_hex(stream.getvalue()))
        self.object_store.put_bytes(part.key, stream.getvalue())
        manifest = Manifest(
            manifest_id=manifest_id,
            catalog_id=self.catalog_id,
            dt=dt,
            delivery_id=delivery_id,
            full=full,
            policy_digest="p",
            space="encoder",
            dimension=None,
            rows_in=len(rows),
            rows_accepted=len(rows),
            rows_rejected=0,
            rows_deleted=sum(item.deleted for item in items),
            rejected_by_reason={},
            parts=(part,),
            quarantine_parts=(),
        )
        self._write_provenance(prefix, run=f"ingest-{dt}")
        self.object_store.put_bytes(manifest_key(self.catalog_id, dt, manifest_id), manifest.to_bytes())
        day = {"catalog_id": self.catalog_id, "dt": dt, "delivery_id": delivery_id}
        self.ledger.partitions.record_delivery(**day, source="made up")
        self.ledger.partitions.publish_manifest(**day, manifest_id=manifest_id)
        return manifest_id

    def embed(
        self,
        items: Sequence[SyntheticItem],
        *,
        fingerprint: str = FINGERPRINT,
        encode: Callable[[list[bytes]], np.ndarray] | None = None,
        leave_out_last: bool = False,
    ) -> None:
        """Commits the blocks of the packs that these items made."""
        units = self._units([item for item in items if not item.deleted])
        for (source_id, row_group), members in list(units.items())[: -1 if leave_out_last else None]:
            images = [item.image for item in members]
            names = [sha256_hex(image) for image in images]
            vectors = encode(images) if encode else np.stack([vector_of(name) for name in names])
            self._write_block(source_id, row_group, names, vectors, fingerprint=fingerprint)

    def _rows(self, items: Sequence[SyntheticItem]) -> list[dict[str, Any]]:
        kept = [item for item in items if not item.deleted]
        places = {
            item.item_id: (source_id, row_group)
            for (source_id, row_group), members in self._units(kept).items()
            for item in members
        }
        offsets = self._write_packs(kept)
        rows = []
        for number, item in enumerate(items):
            row = {name: None for name in manifest_items_schema().names}
            row |= {"row_number": number, "item_id": item.item_id, "deleted": item.deleted, "attributes": "{}"}
            if not item.deleted:
                source_id, row_group = places[item.item_id]
                digest = sha256_hex(item.image)
                row |= {
                    "image_uri": f"s3://elsewhere/{item.item_id}.jpg",
                    "image_sha256": digest,
                    "image_size_bytes": len(item.image),
                    "image_width": 64,
                    "image_height": 48,
                    "image_format": "PNG",
                    "pack_id": source_id,
                    "image_offset": offsets[item.item_id],
                    "source_id": source_id,
                    "row_group": row_group,
                    "embedding_key": digest,
                    **item.columns,
                }
            rows.append(row)
        return rows

    def _write_packs(self, items: Sequence[SyntheticItem]) -> dict[str, int]:
        """Writes image bytes end to end under the packs' keys: readers take them by range only."""
        offsets = {}
        for pack in self._packs(items):
            position, data = 0, []
            for item in pack:
                offsets[item.item_id] = position
                data.append(item.image)
                position += len(item.image)
            self.object_store.put_bytes(keys.image_pack(self.catalog_id, self._pack_id(pack)), b"".join(data))
        return offsets

    def _units(self, items: Sequence[SyntheticItem]) -> dict[tuple[str, int], list[SyntheticItem]]:
        units: dict[tuple[str, int], list[SyntheticItem]] = {}
        for pack in self._packs(items):
            pack_id = self._pack_id(pack)
            for place, item in enumerate(pack):
                units.setdefault((pack_id, place // _UNIT_ROWS), []).append(item)
        return units

    def _packs(self, items: Sequence[SyntheticItem]) -> list[Sequence[SyntheticItem]]:
        rows = self._pack_rows or max(1, len(items))
        return [items[start : start + rows] for start in range(0, len(items), rows)]

    def _pack_id(self, items: Sequence[SyntheticItem]) -> str:
        return content_id("pack", [sha256_hex(item.image) for item in items])

    def _write_block(
        self, source_id: str, row_group: int, names: list[str], vectors: np.ndarray, *, fingerprint: str
    ) -> None:
        block_id = content_id("block", [source_id, row_group, fingerprint, attempt_id()])
        block = EmbeddingBlock(
            block_id=block_id,
            key=keys.embedding_block(self.catalog_id, fingerprint, block_id),
            source_id=source_id,
            row_group=row_group,
            rows=len(names),
            engine="test",
            precision="fp32",
        )
        halves = np.ascontiguousarray(vectors, dtype=np.float16)
        table = pa.table(
            {
                "embedding_key": pa.array(names, pa.string()),
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(halves.reshape(-1)), halves.shape[1]),
                "norm": pa.array(np.ones(len(names), dtype=np.float32)),
            }
        )
        stream = io.BytesIO()
        pq.write_table(table, stream)
        self.object_store.put_bytes(block.key, stream.getvalue())
        self.ledger.blocks.commit(catalog_id=self.catalog_id, fingerprint=fingerprint, block=block)

    def _write_delivery(self, dt: str, delivery_id: str, *, full: bool) -> None:
        prefix = keys.delivery_prefix(self.catalog_id, dt, delivery_id)
        delivery = Delivery(
            delivery_id=delivery_id,
            catalog_id=self.catalog_id,
            dt=dt,
            full=full,
            source="s3://elsewhere/",
            files=(),
            images_base="s3://elsewhere",
        )
        self._write_provenance(prefix, run=f"ingest-{dt}")
        self.object_store.put_bytes(f"{prefix}/delivery.json", delivery.to_bytes())
        self.ledger.partitions.record_delivery(
            catalog_id=self.catalog_id, dt=dt, delivery_id=delivery_id, source=delivery.source
        )

    def _write_provenance(self, prefix: str, *, run: str) -> None:
        made = describe_run({"dag_id": f"{self.catalog_id}.ingest_catalog", "dag_run_id": run})
        self.object_store.put_bytes(f"{prefix}/provenance.json", made.to_bytes())


def open_version(catalog: SyntheticCatalog, manifest: IndexVersion, folder: Path) -> tuple[VectorIndex, list[str]]:
    """Downloads an index version and opens it; returns its item ids in row order too."""
    prefix = keys.index_prefix(catalog.catalog_id, manifest.index_version)
    for file in manifest.files:
        catalog.object_store.get_file(f"{prefix}/{file.name}", folder / file.name, sha256=file.sha256)
    item_ids = [name for part in sorted(folder.glob("rows/*")) for name in pq.read_table(part)["item_id"].to_pylist()]
    return VectorIndex.open(folder, manifest), item_ids
