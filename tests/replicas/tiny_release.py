"""Small releases for tests: random vectors, an exact index, an item table, pictures, all in a real object store."""

from __future__ import annotations

import io
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from tests.item_columns import encode_column, write_columns
from vitrine.contracts.document import StoredFile
from vitrine.contracts.releases import IndexVersion, ItemTable, RecallFigures, Release
from vitrine.identity import content_id, sha256_hex
from vitrine.item_table.groups import write_groups
from vitrine.item_table.table import ITEMS_COLUMNS, ITEMS_FILE, ITEMS_INDEX, ITEMS_SCHEMA
from vitrine.ledger import Ledger
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256

COLORS = ("red", "blue", "green")


@dataclass(frozen=True)
class TinyRelease:
    """What was published, and the vectors that are in it."""

    catalog_id: str
    release_id: str
    index_version: str
    vectors: NDArray[np.float32]
    item_ids: tuple[str, ...]
    mark: str


def publish_tiny_release(
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    mark: str = "first",
    items: int = 60,
    dimension: int = 16,
    head_sequence: int = 1,
    seed: int = 7,
    vectors: NDArray[np.float32] | None = None,
    fingerprint: str | None = None,
    pictures: list[bytes] | None = None,
    titles: list[str] | None = None,
    item_ids: list[str] | None = None,
    approved: bool = True,
    grouped: bool = True,
) -> TinyRelease:
    """Publishes a release and offers it; the title of every item begins with `mark`, so that answers can be told apart.

    Items of one picture are one group, and so are the two of a parent; a table that is not `grouped` is one of before.
    A `fingerprint` makes it a release of a catalog that is encoded, otherwise items bring their vectors.
    """
    if vectors is None:
        drawn = np.random.default_rng(seed).standard_normal((items, dimension))
        vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    items, dimension = vectors.shape
    item_ids = item_ids or [f"item/{row}" for row in range(items)]
    space = "vectors" if fingerprint is None else "encoder"
    fingerprint = fingerprint or f"external-{catalog_id}-{dimension}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        index_version = _publish_index(object_store, folder, catalog_id, fingerprint, vectors, item_ids)
        rows = _rows(object_store, catalog_id, mark, item_ids, pictures, titles)
        item_table_id = _publish_items(object_store, folder, catalog_id, index_version, rows, head_sequence, grouped)
    release = Release(
        release_id=content_id("release", [catalog_id, fingerprint, index_version, item_table_id]),
        catalog_id=catalog_id,
        fingerprint=fingerprint,
        encoder_version="1" if space == "encoder" else "none",
        index_version=index_version,
        item_table_id=item_table_id,
        embedding_set_id="set-of-a-test",
        dimension=dimension,
        items=items,
        space=space,
        recall_at_10=RecallFigures(image=1.0, text=None, queries_image=items, queries_text=0),
    )
    object_store.put_bytes(keys.release(catalog_id, release.release_id), release.to_bytes())
    ledger.releases.offer(catalog_id=catalog_id, release_id=release.release_id, head_sequence=head_sequence)
    if approved:
        ledger.releases.judge(catalog_id=catalog_id, release_id=release.release_id, approved=True, detail={})
    return TinyRelease(catalog_id, release.release_id, index_version, vectors, tuple(item_ids), mark)


def picture(color: tuple[int, int, int], *, size: tuple[int, int] = (96, 64), kind: str = "JPEG") -> bytes:
    """Returns the bytes of a plain picture."""
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, kind)
    return stream.getvalue()


def _publish_index(
    object_store: ObjectStore,
    folder: Path,
    catalog_id: str,
    fingerprint: str,
    vectors: NDArray[np.float32],
    item_ids: list[str],
) -> str:
    items, dimension = vectors.shape
    rows = pa.table({"item_id": item_ids, "embedding_key": ["key"] * items})
    pq.write_table(rows, folder / "part-00000.parquet")
    index = faiss.IndexFlatIP(dimension)
    index.add(vectors)
    path = folder / "index.faiss"
    faiss.write_index(index, str(path))
    file = _stored("shard-0000/index.faiss", path)
    part = _stored("rows/part-00000.parquet", folder / "part-00000.parquet")
    index_version = content_id("index", [catalog_id, fingerprint, file.sha256])
    prefix = keys.index_prefix(catalog_id, index_version)
    manifest = IndexVersion(
        index_version=index_version,
        catalog_id=catalog_id,
        fingerprint=fingerprint,
        embedding_set_id="set-of-a-test",
        dimension=dimension,
        items=items,
        index_key="Flat",
        search_parameters={},
        recall_at_10=RecallFigures(image=1.0, text=None, queries_image=items, queries_text=0),
        shards=("shard-0000",),
        files=(file, part),
    )
    object_store.put_file(f"{prefix}/{file.name}", path)
    object_store.put_file(f"{prefix}/{part.name}", folder / "part-00000.parquet")
    object_store.put_bytes(f"{prefix}/manifest.json", manifest.to_bytes())
    return index_version


def _rows(
    object_store: ObjectStore,
    catalog_id: str,
    mark: str,
    item_ids: list[str],
    pictures: list[bytes] | None,
    titles: list[str] | None,
) -> list[dict[str, object]]:
    offsets, pack_id = [0] * len(item_ids), None
    if pictures:
        pack_id = content_id("pack", [sha256_hex(data) for data in pictures])
        offsets = np.cumsum([0, *map(len, pictures)]).tolist()
        object_store.put_bytes(keys.image_pack(catalog_id, pack_id), b"".join(pictures))
    rows = []
    for row, item_id in enumerate(item_ids):
        data = pictures[row % len(pictures)] if pictures else None
        values: dict[str, object] = {
            "row": row,
            "item_id": item_id,
            "title": f"{mark}: {titles[row % len(titles)] if titles else f'thing {row}'}",
            "description": None,
            "category": ("chair", "lamp")[row % 2],
            "parent_id": f"parent-{row // 2}",
            "brand": None,
            "color": COLORS[row % 3],
            "price": float(row),
            "in_stock": row % 5 != 0,
            "created_at": "2026-11-01T00:00:00+00:00",
            "attributes": '{"material": "wood"}',
            "image_sha256": sha256_hex(data) if data else None,
            "image_format": Image.open(io.BytesIO(data)).format if data else None,
            "pack_id": pack_id,
            "image_offset": offsets[row % len(pictures)] if pictures else None,
            "image_size_bytes": len(data) if data else None,
            "width": Image.open(io.BytesIO(data)).width if data else None,
            "height": Image.open(io.BytesIO(data)).height if data else None,
        }
        rows.append(values)
    return rows


def _publish_items(
    object_store: ObjectStore,
    folder: Path,
    catalog_id: str,
    index_version: str,
    rows: list[dict[str, object]],
    head_sequence: int,
    grouped: bool,
) -> str:
    connection = sqlite3.connect(folder / ITEMS_FILE)
    connection.execute(ITEMS_SCHEMA)
    marks = ",".join("?" * len(ITEMS_COLUMNS))
    values = [tuple(row[name] for name in ITEMS_COLUMNS) for row in rows]
    connection.executemany(f"INSERT INTO items VALUES ({marks})", values)
    connection.execute(ITEMS_INDEX)
    connection.commit()
    connection.close()
    kinds = {"category": "category", "color": "category", "price": "number", "in_stock": "boolean"}
    columns = [encode_column(name, kind, [row[name] for row in rows]) for name, kind in kinds.items()]
    names = [ITEMS_FILE, *write_columns(folder, columns)]
    groups = {"image": _groups(rows, "image_sha256"), "product": _groups(rows, "parent_id")} if grouped else {}
    for kind, group_of in groups.items():
        names += write_groups(folder, kind, group_of)
    files = tuple(_stored(name, folder / name) for name in names)
    identity = [catalog_id, index_version, [list(map(str, row)) for row in values], grouped]
    item_table_id = content_id("items", identity)
    prefix = keys.item_table_prefix(catalog_id, item_table_id)
    manifest = ItemTable(
        item_table_id=item_table_id,
        catalog_id=catalog_id,
        index_version=index_version,
        head_sequence=head_sequence,
        manifests={},
        items=len(rows),
        columns=kinds,
        groups={kind: len(np.unique(group_of)) for kind, group_of in groups.items()},
        files=files,
    )
    for name in names:
        object_store.put_file(f"{prefix}/{name}", folder / name)
    object_store.put_bytes(f"{prefix}/manifest.json", manifest.to_bytes())
    return item_table_id


def _groups(rows: list[dict[str, object]], name: str) -> NDArray[np.uint32]:
    first: dict[object, int] = {}
    return np.array(
        [first.setdefault(row[name] or ("alone", place), place) for place, row in enumerate(rows)], np.uint32
    )


def _stored(name: str, path: Path) -> StoredFile:
    return StoredFile(name=name, size_bytes=path.stat().st_size, sha256=file_sha256(path))
