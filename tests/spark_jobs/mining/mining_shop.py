"""A small shop for the tests of mining: three days that count and one that came later, vectors, events and grades."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from index_builder.coverage import resolve_head
from spark_jobs.embedding.blocks import UnitVectors, write_block
from tests.spark_jobs.candidate_rows import ProfiledDelivery, jpeg, write_manifest
from vitrine.catalogs import Catalog
from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.events import event_schema
from vitrine.contracts.training_sets import MiningParameters
from vitrine.event_log import put_event_part
from vitrine.head.reader import manifest_units, read_manifest
from vitrine.settings import Settings
from vitrine.storage.object_file import open_parquet

AS_OF, LATER = "2026-11-12", "2026-11-13"
DIMENSION, FINGERPRINT = 8, "f" * 20
# Train before 11-05, validation 11-06 to 11-08, test 11-10 to 11-12; 11-05 and 11-09 are gaps.
PARAMETERS = MiningParameters(
    validation_days=3,
    test_days=3,
    gap_days=1,
    category_negatives=2,
    neighbour_negatives=3,
    views_per_anchor=2,
    min_propensity=0.1,
)
WITHOUT_NEIGHBOURS = MiningParameters(**PARAMETERS.model_dump(exclude={"neighbour_negatives"}))


@dataclass
class MiningShop:
    """What was delivered and what happened.

    Attributes:
        vectors: by embedding_key, float32 of unit norm.
        events: rows of the log, those of the day after included.
    """

    settings: Settings
    catalog_id: str
    manifests: dict[str, str] = field(default_factory=dict)
    embedding_set_id: str = ""
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)


def open_shop(settings: Settings, catalog_id: str, *, later: bool) -> MiningShop:
    """Delivers, embeds and publishes the shop's days and writes its log; `later` adds what came after the as-of day."""
    shop = MiningShop(settings, catalog_id)
    rng = np.random.default_rng(5)
    items = _items(rng)
    days = {
        "2026-11-01": (items[:70], [], False),
        "2026-11-10": (items[5:90], [f"item-{k:03d}" for k in range(5, 9)], True),
        AS_OF: ([*items[90:110], items[20] | {"title": "renamed"}], ["item-030"], False),
        LATER: ([items[k] | {"parent_id": "parent-000"} for k in range(40, 60)] + items[110:], ["item-031"], False),
    }
    for dt, (rows, deleted, full) in days.items():
        if dt == LATER and not later:
            continue
        delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id), dt=dt, full=full)
        for row in rows:
            if row["item_id"] not in deleted:
                delivery.accept(**row)
        for item_id in deleted:
            delivery.delete(item_id)
        shop.manifests[dt] = write_manifest(settings, delivery, pack_rows=16)
        _publish(shop, dt)
    shop.embedding_set_id = resolve_head(settings, catalog_id=catalog_id, fingerprint=FINGERPRINT)
    shop.events = _events(rng)
    store = open_object_store(settings)
    for dt in sorted({_day(row) for row in shop.events}):
        if dt <= AS_OF or later:
            rows = [row for row in shop.events if _day(row) == dt]
            for part in (rows, rows[: len(rows) // 2]):  # half of the day was written twice
                table = pa.Table.from_pylist(part, schema=event_schema())
                put_event_part(store, catalog_id=catalog_id, dt=dt, events=table)
    return shop


def write_grades(folder: Path) -> Path:
    """Writes grades of pairs of items, some by two people, and returns the file."""
    rows = ["query_item_id,item_id,grade"]
    rows += [f"item-{a:03d},item-{b:03d},{grade}" for a, b, grade in GRADES]
    path = folder / "grades.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


GRADES = [(k, k + 7, grade) for k, grade in zip(range(9, 90), [0, 1, 2, 3, 4, 5] * 14, strict=False)] + [(10, 17, 5)]


def _items(rng: np.random.Generator) -> list[dict[str, Any]]:
    first = datetime.datetime(2026, 10, 20, tzinfo=datetime.UTC)
    hashes = rng.integers(0, 2**63, 150, dtype=np.uint64)
    items: list[dict[str, Any]] = []
    for number in range(130):
        looks = int(hashes[number])
        if number % 9 == 4:  # like the item before it, give or take a bit or two; mostly of another parent
            looks = int(hashes[number - 1]) ^ (1 << int(rng.integers(64))) ^ (1 << int(rng.integers(64)))
        created = first + datetime.timedelta(days=24 * number / 110 + float(rng.uniform(-3, 3)))
        items.append(
            {
                "item_id": f"item-{number:03d}",
                "image": jpeg(number),
                "title": f"thing {number}",
                "parent_id": None if number % 11 == 3 else f"parent-{number // 4:03d}",
                "category": ["bags", "hats", None][number % 3],
                "created_at": None if number % 13 == 5 else created,
                "perceptual_hash": f"{looks:016x}",
                "attributes": '{"kind": "user_photo"}' if number % 4 == 1 else '{"kind": "studio"}',
            }
        )
    return items


def _events(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for day in range(24):
        at = datetime.datetime(2026, 10, 21, 8, tzinfo=datetime.UTC) + datetime.timedelta(days=day)
        for number in range(14):
            query = f"q-{day}-{number}"
            start = int(rng.integers(0, 10)) * 6 + min(day, 20) * 3
            common = {
                "query_id": query,
                "session_id": f"s-{day}-{number // 2}",
                "query_kind": "item",
                "query_item_id": f"item-{start:03d}",
            }
            for position, step in enumerate(rng.permutation(8)[:6], start=1):
                shown = common | {"item_id": f"item-{start + int(step):03d}", "position": position}
                kinds = ["impression"]
                if rng.random() < 0.8 / position**0.5:
                    kinds.append("click")
                if rng.random() < 0.1:
                    kinds.append(["thumbs_up", "thumbs_up", "thumbs_down"][int(rng.integers(3))])
                for kind in kinds:
                    told = {"event_id": f"e-{query}-{position}-{kind}", "occurred_at": at, "kind": kind}
                    rows.append(shown | told)
    return rows


def _day(row: dict[str, Any]) -> str:
    return row["occurred_at"].date().isoformat()


def _publish(shop: MiningShop, dt: str) -> None:
    store, ledger = open_object_store(shop.settings), open_ledger(shop.settings)
    manifest = read_manifest(store, shop.catalog_id, dt, shop.manifests[dt])
    committed = ledger.blocks.committed(catalog_id=shop.catalog_id, fingerprint=FINGERPRINT)
    for source_id, row_group in manifest_units(store, manifest):
        if (source_id, row_group) in committed:
            continue
        with open_parquet(store, f"{shop.catalog_id}/images/{source_id}.parquet") as pack:
            names = pack.read_row_group(row_group, columns=["image_sha256"]).column(0).to_pylist()
        vectors = np.stack([np.random.default_rng(int(name[:12], 16)).normal(size=DIMENSION) for name in names])
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        shop.vectors |= dict(zip(names, vectors, strict=True))
        unit = UnitVectors(
            source_id,
            row_group,
            engine="torch",
            precision="fp32",
            embedding_keys=names,
            embeddings=vectors,
            norms=np.ones(len(names), np.float32),
        )
        write_block(store, ledger.blocks, unit, catalog_id=shop.catalog_id, fingerprint=FINGERPRINT)
    ledger.partitions.publish_manifest(
        catalog_id=shop.catalog_id, dt=dt, manifest_id=shop.manifests[dt], delivery_id=manifest.delivery_id
    )
    ledger.close()
