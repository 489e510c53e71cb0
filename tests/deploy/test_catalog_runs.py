"""A new catalog is declared as its first source asks; a declared one stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.catalog_runs import catalog_of
from tests.spark_jobs.delivered_folder import write_jsonl, write_parquet
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.errors import DeliveryError
from vitrine.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(catalogs_file=tmp_path / "catalogs.yaml")


def test_a_source_that_brings_embeddings_makes_a_catalog_of_vectors(settings: Settings, tmp_path: Path) -> None:
    write_parquet(tmp_path / "items.parquet", [{"item_id": "a", "image_uri": "a.png", "embedding": [0.5] * 4}])

    catalog = catalog_of(settings, "shop", source=str(tmp_path))

    assert (catalog.space, catalog.dimension) == ("vectors", 4)
    assert declare_catalog(settings.catalogs_file, catalog)


def test_a_source_without_embeddings_makes_a_catalog_that_is_encoded(settings: Settings, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": "a", "image_uri": "a.png"}])

    assert catalog_of(settings, "shop", source=str(tmp_path)) == Catalog(catalog_id="shop")


def test_a_declared_catalog_is_taken_as_declared(settings: Settings, tmp_path: Path) -> None:
    declared = Catalog(catalog_id="shop", title="The shop")
    declare_catalog(settings.catalogs_file, declared)
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": "a", "image_uri": "a.png", "embedding": [0.5] * 4}])

    assert catalog_of(settings, "shop", source=str(tmp_path)) == declared


def test_a_source_without_items_declares_nothing(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="found none"):
        catalog_of(settings, "shop", source=str(tmp_path))

    assert not settings.catalogs_file.exists()
