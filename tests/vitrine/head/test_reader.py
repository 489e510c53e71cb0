"""Heads: the newest row wins, deletions remove, full deliveries remove what they omit, rejects change nothing."""

from __future__ import annotations

import io
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.head_rows import head_rows
from vitrine.contracts.datasets import Manifest, PartFile
from vitrine.contracts.items import candidate_schema, manifest_items_schema
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.head.reader import HeadReader, head_manifests, manifest_key, manifest_units, read_manifest
from vitrine.identity import content_id, sha256_hex
from vitrine.storage import ObjectStore, keys


def test_the_newest_day_wins_and_a_deletion_removes(object_store: ObjectStore, catalog_id: str) -> None:
    manifests = {
        "2026-11-01": _write(object_store, catalog_id, "2026-11-01", items={"a": "old", "b": "old", "c": "old"}),
        "2026-11-02": _write(object_store, catalog_id, "2026-11-02", items={"a": "new", "b": None}),
    }

    rows = head_rows(object_store, manifests, catalog_id, ["item_id", "title"])

    assert rows.to_pylist() == [{"item_id": "a", "title": "new"}, {"item_id": "c", "title": "old"}]


def test_a_full_delivery_removes_what_it_omits_but_keeps_what_it_brought_broken(
    object_store: ObjectStore, catalog_id: str
) -> None:
    manifests = {
        "2026-11-01": _write(object_store, catalog_id, "2026-11-01", items={"a": "1", "b": "1", "c": "1"}),
        "2026-11-02": _write(object_store, catalog_id, "2026-11-02", items={"a": "2"}, rejected={"b"}, full=True),
    }

    rows = head_rows(object_store, manifests, catalog_id, ["title", "item_id"])

    assert rows.to_pylist() == [{"title": "2", "item_id": "a"}, {"title": "1", "item_id": "b"}]


@pytest.mark.parametrize("seed", range(12))
def test_heads_equal_a_plain_replay_of_all_days(object_store: ObjectStore, catalog_id: str, seed: int) -> None:
    generator = random.Random(seed)
    manifests: dict[str, str] = {}
    replayed: dict[str, str] = {}
    for day in range(1, 7):
        dt, full = f"2026-11-{day:02d}", generator.random() < 0.3
        delivered = generator.sample("abcdefghijklmnop", generator.randint(0, 12))
        rejected = {name for name in delivered if generator.random() < 0.2}
        items = {
            name: None if generator.random() < 0.2 else f"{name} on {dt}" for name in delivered if name not in rejected
        }
        manifests[dt] = _write(object_store, catalog_id, dt, items=items, rejected=rejected, full=full)
        if full:
            replayed = {name: title for name, title in replayed.items() if name in rejected}
        for name, title in items.items():
            replayed.pop(name, None)
            if title is not None:
                replayed[name] = title

    rows = head_rows(object_store, manifests, catalog_id, ["item_id", "title"])

    assert list(zip(*rows.to_pydict().values(), strict=True)) == sorted(replayed.items())


def test_an_empty_head_is_a_table_without_rows(object_store: ObjectStore, catalog_id: str) -> None:
    rows = head_rows(object_store, {}, catalog_id, ["item_id", "price"])

    assert (rows.num_rows, rows.column_names) == (0, ["item_id", "price"])


def test_batches_are_small_and_in_the_same_order_every_time(object_store: ObjectStore, catalog_id: str) -> None:
    items = {f"item-{number:03d}": "t" for number in range(50)}
    reader = HeadReader(
        object_store,
        catalog_id=catalog_id,
        manifests={"2026-11-01": _write(object_store, catalog_id, "2026-11-01", items=items)},
    )

    first, again = (list(reader.batches(["item_id"], batch_rows=16)) for _ in range(2))

    assert first == again
    assert max(batch.num_rows for batch in first) <= 16
    assert sum(batch.num_rows for batch in first) == 50


def test_a_head_is_resolved_newest_day_first_and_reads_no_day_that_nobody_asks_for(
    object_store: ObjectStore, catalog_id: str
) -> None:
    newest = _write(object_store, catalog_id, "2026-11-02", items={"a": "new"})
    manifests = {"2026-11-01": "m-gone", "2026-11-02": newest}

    resolved = head_manifests(object_store, catalog_id, manifests)

    assert next(resolved).manifest_id == newest
    with pytest.raises(ObjectMissingError, match="m-gone"):
        next(resolved)


def test_units_of_a_manifest_leave_deleted_rows_out(object_store: ObjectStore, catalog_id: str) -> None:
    manifest_id = _write(object_store, catalog_id, "2026-11-01", items={"a": "t", "b": None, "c": "t"})

    units = manifest_units(object_store, read_manifest(object_store, catalog_id, "2026-11-01", manifest_id))

    assert set(units) == {("pack-2026-11-01", 0)}


def test_an_unknown_column_and_a_missing_manifest_are_named(object_store: ObjectStore, catalog_id: str) -> None:
    with pytest.raises(ContractError, match="colour"):
        head_rows(object_store, {}, catalog_id, ["colour"])
    with pytest.raises(ObjectMissingError, match="m-gone"):
        read_manifest(object_store, catalog_id, "2026-11-01", "m-gone")


def _write(
    object_store: ObjectStore,
    catalog_id: str,
    dt: str,
    *,
    items: dict[str, str | None],
    rejected: set[str] = frozenset(),  # type: ignore[assignment]
    full: bool = False,
) -> str:
    """Writes a manifest of titles by item_id; None is a deletion."""
    manifest_id = content_id("manifest", [dt, items, sorted(rejected), full])
    prefix = keys.manifest_prefix(catalog_id, dt, manifest_id)
    accepted = [
        {
            "item_id": name,
            "title": title,
            "deleted": title is None,
            "source_id": None if title is None else f"pack-{dt}",
            "row_group": None if title is None else 0,
        }
        for name, title in items.items()
    ]
    half = (len(accepted) + 1) // 2
    parts = [
        _put_part(object_store, f"{prefix}/items/part-{number:05d}.parquet", rows, manifest_items_schema())
        for number, rows in enumerate((accepted[:half], accepted[half:]))
        if rows
    ]
    quarantine = [{"item_id": name, "deleted": False, "reject_reason": "image_missing"} for name in sorted(rejected)]
    quarantine.append({"item_id": None, "deleted": False, "reject_reason": "missing_item_id"})
    quarantine_part = _put_part(object_store, f"{prefix}/quarantine/part-00000.parquet", quarantine, candidate_schema())
    manifest = Manifest(
        manifest_id=manifest_id,
        catalog_id=catalog_id,
        dt=dt,
        delivery_id="d-1",
        full=full,
        policy_digest="p",
        space="encoder",
        dimension=None,
        rows_in=len(accepted) + len(quarantine),
        rows_accepted=len(accepted),
        rows_rejected=len(quarantine),
        rows_deleted=sum(title is None for title in items.values()),
        rejected_by_reason={},
        parts=tuple(parts),
        quarantine_parts=(quarantine_part,),
    )
    object_store.put_bytes(manifest_key(catalog_id, dt, manifest_id), manifest.to_bytes())
    return manifest_id


def _put_part(object_store: ObjectStore, key: str, rows: list[dict[str, Any]], schema: pa.Schema) -> PartFile:
    filled = [{name: row.get(name) for name in schema.names} for row in rows]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(filled, schema=schema), stream)
    object_store.put_bytes(key, stream.getvalue())
    return PartFile(key=key, rows=len(rows), sha256=sha256_hex(stream.getvalue()))
