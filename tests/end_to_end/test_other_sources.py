"""Catalogs that come from an s3:// prefix, one of pictures and one of ready-made vectors, each in its own space."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from deploy.local import catalog_runs
from deploy.local.catalog_runs import CatalogState
from tests.end_to_end.conftest import HTTP_TIMEOUT_S, LATER_DAY, SHARES, Released, live_release
from tests.platform_fixture import Platform
from vitrine.catalogs import Catalog
from vitrine.connections import open_object_store
from vitrine.storage import ObjectStore

pytestmark = pytest.mark.timeout(3000)

BUCKET = "partner-deliveries"  # not the platform's own
DAY = "2026-11-10"
DIMENSION = 24
PICTURES = Catalog.model_validate({"catalog_id": "pictures", "quality": dict.fromkeys(SHARES, 0.5)})
VECTORS = Catalog.model_validate({"catalog_id": "vectors", "space": "vectors", "dimension": DIMENSION})


@dataclass(frozen=True)
class Ingested:
    """Both catalogs after their first day.

    Attributes:
        demo_before: live release of the other catalog, before any of this.
        embeddings: what was delivered to the catalog of vectors; (n, DIMENSION), unit norm.
    """

    demo_before: dict[str, object]
    pictures: CatalogState
    embeddings: np.ndarray


@pytest.fixture(scope="module")
def ingested(
    platform: Platform, released: Released, deliveries: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Ingested:
    """Both catalogs, delivered at the same time."""
    before = live_release(platform)
    store = open_object_store(platform.settings).with_bucket(BUCKET)
    store.ensure_bucket()
    _upload(store, Path(deliveries[LATER_DAY]), "shop/today")
    embeddings = _embeddings(60)
    _upload(store, _vectors_delivery(tmp_path_factory.mktemp("vectors"), embeddings), "partner/today")

    def ingest(catalog: Catalog, prefix: str) -> CatalogState:
        sources = {DAY: f"s3://{BUCKET}/{prefix}"}
        return catalog_runs.ingest(platform.configuration, catalog, sources=sources, report=lambda _: None)

    with ThreadPoolExecutor(2) as both:
        pictures = both.submit(ingest, PICTURES, "shop/today")
        vectors = both.submit(ingest, VECTORS, "partner/today")
        vectors.result()
        return Ingested(before, pictures.result(), embeddings)


def test_pictures_under_an_s3_prefix_become_searchable_by_text(platform: Platform, ingested: Ingested) -> None:
    [manifest] = ingested.pictures.manifests.values()

    answer = _search(platform, {"catalog": "pictures", "text": "a shirt", "top_k": 200})

    assert manifest.rows_in == manifest.rows_accepted + manifest.rows_rejected
    assert len(answer["results"]) == live_release(platform, "pictures")["items"] > 0


def test_an_item_that_brought_its_vector_is_found_by_it_and_by_its_neighbours(
    platform: Platform, ingested: Ingested
) -> None:
    exact = np.argsort(-(ingested.embeddings @ ingested.embeddings[7]))[:5]

    answer = _search(platform, {"catalog": "vectors", "embedding": ingested.embeddings[7].tolist(), "top_k": 5})

    assert [result["item_id"] for result in answer["results"]] == [f"vector-{row:03d}" for row in exact]


def test_a_catalog_of_vectors_has_no_encoder_to_ask_by_text(platform: Platform, ingested: Ingested) -> None:
    live = live_release(platform, "vectors")

    answer = httpx.post(
        f"{platform.search_url}/v1/search", json={"catalog": "vectors", "text": "a shirt"}, timeout=HTTP_TIMEOUT_S
    )

    assert live["encoder_fingerprint"] == f"external-vectors-{DIMENSION}"
    assert 400 <= answer.status_code < 500
    assert "embedding" in answer.json()["detail"]


def test_the_other_catalog_stays_as_it_was(platform: Platform, ingested: Ingested) -> None:
    assert live_release(platform) == ingested.demo_before


def _embeddings(count: int) -> np.ndarray:
    raw = np.random.default_rng(5).normal(size=(count, DIMENSION)).astype(np.float32)
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def _vectors_delivery(folder: Path, embeddings: np.ndarray) -> Path:
    rows = [
        {"item_id": f"vector-{row:03d}", "image_uri": f"pictures/{row:03d}.jpg", "embedding": embedding.tolist()}
        for row, embedding in enumerate(embeddings)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "items.parquet")
    (folder / "pictures").mkdir()
    for row in range(len(rows)):  # no encoder reads them, people do
        Image.new("RGB", (48, 48), (4 * row, 90, 120)).save(folder / "pictures" / f"{row:03d}.jpg")
    return folder


def _upload(store: ObjectStore, folder: Path, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put_file(f"{prefix}/{path.relative_to(folder)}", path)


def _search(platform: Platform, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(f"{platform.search_url}/v1/search", json=body, timeout=HTTP_TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
