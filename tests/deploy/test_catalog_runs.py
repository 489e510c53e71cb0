"""A new catalog is declared as its first source asks; a declared one stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.local.catalog_runs import catalog_of
from tests.items_files import write_jsonl, write_parquet
from vitrine.catalogs import Catalog, declare_catalog, read_catalogs
from vitrine.errors import DeliveryError
from vitrine.ledger import Ledger
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


@pytest.mark.parametrize("published", [False, True])
def test_a_space_that_was_read_off_a_refused_delivery_follows_the_next_one(
    published: bool, ledger: Ledger, catalog_id: str, database_url: str, settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"database_url": SecretStr(database_url)})
    refused = Catalog(catalog_id=catalog_id, space="vectors", dimension=3, space_inferred=True)
    declare_catalog(settings.catalogs_file, refused)
    if published:
        ledger.partitions.record_delivery(catalog_id=catalog_id, dt="2026-11-01", delivery_id="delivery-1", source="x")
        ledger.partitions.publish_manifest(
            catalog_id=catalog_id, dt="2026-11-01", manifest_id="manifest-1", delivery_id="delivery-1"
        )
    write_jsonl(tmp_path / "items.jsonl", [{"item_id": "a", "image_uri": "a.png"}])

    catalog = catalog_of(settings, catalog_id, source=str(tmp_path))

    assert catalog.space == ("vectors" if published else "encoder")
    assert declare_catalog(settings.catalogs_file, catalog) is not published
    assert read_catalogs(settings.catalogs_file)[catalog_id] == catalog
