"""Deliveries for tests: small pictures, items files in the three formats, and a profile read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vitrine.catalogs import Catalog, declare_catalog
from vitrine.items.policy import IngestPolicy, profile_key
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

DT = "2026-11-01"


def picture(seed: int, *, size: tuple[int, int] = (64, 64), file_format: str = "PNG", mode: str = "RGB") -> bytes:
    """A picture of its own for each seed."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).convert(mode).save(stream, file_format)
    return stream.getvalue()


def write_images(folder: Path, images: Mapping[str, bytes]) -> None:
    """Writes images by their relative paths."""
    for name, data in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any] | str | bytes]) -> None:
    """Writes rows as JSON lines; text and bytes stand as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as CSV with the columns of them all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], *, row_group_size: int = 1000) -> None:
    """Writes rows as Parquet."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path, row_group_size=row_group_size)


def small_delivery(folder: Path, *, items: int = 6, first_seed: int = 0) -> Path:
    """A folder with sound items and a picture for each."""
    rows = [{"item_id": f"i{n}", "image_uri": f"images/{n}.png", "title": f"item {n}"} for n in range(items)]
    write_images(folder, {f"images/{n}.png": picture(first_seed + n) for n in range(items)})
    write_jsonl(folder / "items.jsonl", rows)
    return folder


def declare(settings: Settings, catalog_id: str, **declaration: Any) -> Catalog:
    """Declares a catalog in the test's file."""
    catalog = Catalog(catalog_id=catalog_id, **declaration)
    declare_catalog(settings.catalogs_file, catalog)
    return catalog


def candidate_rows(settings: Settings, ledger: Ledger, store: ObjectStore, catalog: Catalog, delivery_id: str) -> Any:
    """The committed candidate rows of a delivery, as a list of dicts."""
    tables = [
        pq.read_table(io.BytesIO(store.get_bytes(part["key"])))
        for part in committed_parts(settings, ledger, catalog, delivery_id)
    ]
    return pa.concat_tables(tables).to_pylist()


def committed_parts(settings: Settings, ledger: Ledger, catalog: Catalog, delivery_id: str) -> list[dict[str, Any]]:
    """The parts that the ledger's committed profile names."""
    key = profile_key(catalog.catalog_id, delivery_id, IngestPolicy.of(catalog, settings))
    committed = ledger.attempts.committed(scope="profile", key=key)
    if committed is None:
        raise LookupError(f"no profile is committed under {key}")
    return committed.result["parts"]
