"""Deliveries for tests: small pictures, items files in the three formats, and a profile read back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.items_files import picture, write_images, write_jsonl
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.items.policy import IngestPolicy, profile_key
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

DT = "2026-11-01"


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
