"""Profiled deliveries for tests, as the profile job leaves them: packs, candidate parts and the committed attempt."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from spark_jobs.validation.partition import APPROVED_SCOPE, approval_key
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.datasets import Delivery, Manifest, PartFile
from vitrine.contracts.items import Reason, candidate_schema, manifest_items_schema
from vitrine.head.reader import manifest_key
from vitrine.identity import attempt_id, content_id, sha256_hex
from vitrine.items.policy import IngestPolicy, profile_key
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

DT = "2026-11-10"


def jpeg(seed: int, *, side: int = 72) -> bytes:
    """Returns a small picture of its own for each seed."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 255, (6, 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST).save(stream, "JPEG", quality=90)
    return stream.getvalue()


@dataclass
class ProfiledDelivery:
    """Rows to be delivered; `write` leaves them where validation looks for them."""

    catalog: Catalog
    dt: str = DT
    full: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)

    def accept(self, item_id: str, **values: Any) -> None:
        """Adds an accepted item; `image` holds its bytes in a catalog of the encoder's."""
        image = values.pop("image", None) or jpeg(len(self.rows))
        row = _profiled(image) | {"image": image} | values
        if self.catalog.space == "vectors":
            vector = np.asarray(values["embedding"], dtype=np.float32)
            row["embedding_key"] = hashlib.sha256(vector.tobytes()).hexdigest()
        self._add(item_id=item_id, **row)

    def delete(self, item_id: str) -> None:
        """Adds a deletion."""
        self._add(item_id=item_id, deleted=True)

    def reject(self, item_id: str | None, reason: Reason, **values: Any) -> None:
        """Adds a row that the profile job rejected."""
        self._add(item_id=item_id, reject_reason=str(reason), reject_detail="as a test asks", **values)

    def write(self, settings: Settings, *, part_rows: int = 50, pack_rows: int = 8) -> str:
        """Writes packs, parts and the delivery; commits the profile and returns the delivery's id."""
        object_store, catalog_id = open_object_store(settings), self.catalog.catalog_id
        declare_catalog(settings.catalogs_file, self.catalog)
        digest = content_id("rows", [(row["row_number"], str(sorted(row.items()))) for row in self.rows])
        delivery_id = content_id("delivery", [catalog_id, self.dt, self.full, digest])
        prefix = keys.delivery_prefix(catalog_id, self.dt, delivery_id)
        if self.catalog.space == "encoder":
            write_pack(object_store, catalog_id, self.rows, pack_rows=pack_rows)
        attempt = attempt_id()
        parts = []
        for number, start in enumerate(range(0, len(self.rows), part_rows)):
            rows = self.rows[start : start + part_rows]
            if self.catalog.space == "vectors":
                source_id = content_id("vectors", [delivery_id, number])
                for row in rows:
                    if row.get("embedding_key"):
                        row |= {"source_id": source_id, "row_group": 0}
            data = _parquet(rows, candidate_schema())
            key = (
                f"{keys.profile_prefix(catalog_id, self.dt, delivery_id, attempt_id=attempt)}/part-{number:05d}.parquet"
            )
            object_store.put_bytes(key, data)
            parts.append({"key": key, "rows": len(rows), "sha256": sha256_hex(data)})
        delivery = Delivery(
            delivery_id=delivery_id,
            catalog_id=catalog_id,
            dt=self.dt,
            full=self.full,
            source="s3://shop/items",
            files=(),
            images_base="s3://shop",
        )
        object_store.put_bytes(f"{prefix}/delivery.json", delivery.to_bytes())
        ledger = open_ledger(settings)
        ledger.partitions.record_delivery(
            catalog_id=catalog_id, dt=self.dt, delivery_id=delivery_id, source=delivery.source
        )
        ledger.attempts.commit(
            scope="profile",
            key=profile_key(catalog_id, delivery_id, IngestPolicy.of(self.catalog, settings)),
            attempt_id=attempt,
            result={"parts": parts},
        )
        ledger.close()
        return delivery_id

    def _add(self, **values: Any) -> None:
        number = len(self.rows)
        defaults = {"row_number": number, "image_uri": f"s3://shop/{number}.jpg", "deleted": False, "attributes": "{}"}
        self.rows.append(defaults | values)


def write_manifest(settings: Settings, delivery: ProfiledDelivery, *, approved: bool = True, **write: int) -> str:
    """Writes the manifest of a delivery's accepted rows without validating them, and returns its id."""
    object_store, catalog_id = open_object_store(settings), delivery.catalog.catalog_id
    delivery_id = delivery.write(settings, **write)
    accepted = [row for row in delivery.rows if "reject_reason" not in row]
    schema = manifest_items_schema()
    data = _parquet(accepted, schema)
    manifest_id = content_id("manifest", [delivery_id, sha256_hex(data)])
    part = PartFile(
        key=f"{keys.manifest_prefix(catalog_id, delivery.dt, manifest_id)}/items/part-00000.parquet",
        rows=len(accepted),
        sha256=sha256_hex(data),
    )
    object_store.put_bytes(part.key, data)
    manifest = Manifest(
        manifest_id=manifest_id,
        catalog_id=catalog_id,
        dt=delivery.dt,
        delivery_id=delivery_id,
        full=delivery.full,
        policy_digest="p",
        space=delivery.catalog.space,
        dimension=delivery.catalog.dimension,
        rows_in=len(accepted),
        rows_accepted=len(accepted),
        rows_rejected=0,
        rows_deleted=sum(row["deleted"] for row in accepted),
        rejected_by_reason={},
        parts=(part,),
        quarantine_parts=(),
    )
    object_store.put_bytes(manifest_key(catalog_id, delivery.dt, manifest_id), manifest.to_bytes())
    if approved:
        ledger = open_ledger(settings)
        key = approval_key(catalog_id, delivery.dt, manifest_id)
        ledger.attempts.commit(scope=APPROVED_SCOPE, key=key, attempt_id="a", result={})
        ledger.close()
    return manifest_id


def write_pack(
    object_store: ObjectStore, catalog_id: str, rows: Sequence[dict[str, Any]], *, pack_rows: int, damaged: str = ""
) -> str | None:
    """Packs the images of the rows and notes in each row where its image lies.

    Args:
        damaged: SHA-256 of an image whose bytes are changed in the pack.
    """
    images = {row["image_sha256"]: row["image"] for row in rows if row.get("image")}
    if not images:
        return None
    names = sorted(images)
    pack_id = content_id("pack", names)
    contents = [images[name] + (b"changed" if name == damaged else b"") for name in names]
    table = pa.table({"image_sha256": pa.array(names), "image_bytes": pa.array(contents, pa.binary())})
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=pack_rows, compression="none", use_dictionary=False)
    object_store.put_bytes(keys.image_pack(catalog_id, pack_id), stream.getvalue())
    for row in rows:
        if row.get("image"):
            group = names.index(row["image_sha256"]) // pack_rows
            place = {"pack_id": pack_id, "source_id": pack_id, "row_group": group, "image_offset": 0}
            row.update(place, embedding_key=row["image_sha256"])
    return pack_id


def _profiled(image: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(image)) as opened:
        width, height = opened.size
    return {
        "image_sha256": sha256_hex(image),
        "image_size_bytes": len(image),
        "image_width": width,
        "image_height": height,
        "image_mode": "RGB",
        "image_format": "JPEG",
        "image_grayscale": False,
        "perceptual_hash": "0123456789abcdef",
    }


def _parquet(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> bytes:
    table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()
