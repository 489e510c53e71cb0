"""Which encoder a run works under."""

from __future__ import annotations

import pytest

from vitrine.catalogs import Catalog, declare_catalog
from vitrine.contracts.releases import RecallFigures, Release
from vitrine.errors import CatalogError, EncoderError
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys


def make_live(ledger: Ledger, object_store: ObjectStore, catalog_id: str, *, fingerprint: str) -> None:
    """Writes a release and makes it the live one."""
    release = Release(
        release_id="release-1",
        catalog_id=catalog_id,
        fingerprint=fingerprint,
        encoder_version="7",
        index_version="index-1",
        item_table_id="table-1",
        embedding_set_id="set-1",
        dimension=8,
        items=1,
        space="encoder",
        recall_at_10=RecallFigures(image=1.0, text=None, queries_image=1, queries_text=0),
    )
    object_store.put_bytes(keys.release(catalog_id, "release-1"), release.to_bytes())
    ledger.releases.activate(
        catalog_id=catalog_id,
        release_id="release-1",
        head_sequence=3,
        expected_generation=0,
        action="release",
        actor="test",
    )


def test_a_catalog_with_a_live_release_goes_on_under_its_encoder(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    from vitrine_airflow.encoders import encoders_to_feed, resolve_encoder

    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id))
    make_live(ledger, object_store, catalog_id, fingerprint="enc-live")

    encoder = resolve_encoder(settings, catalog_id=catalog_id)

    assert encoder == {"fingerprint": "enc-live", "encoder_version": "7"}
    assert encoders_to_feed(settings, catalog_id=catalog_id) == ["enc-live"]


def test_an_ingest_feeds_the_promoted_encoder_too_until_it_is_released(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    from vitrine_airflow.encoders import encoders_to_feed, resolve_encoder

    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id))
    make_live(ledger, object_store, catalog_id, fingerprint="enc-live")
    promotion = ledger.promotions.observe(model_version=f"of-{catalog_id}", observed_by="poll")
    ledger.promotions.accept(promotion.sequence, fingerprint="enc-new", catalog_ids=[catalog_id])

    feeding = encoders_to_feed(settings, catalog_id=catalog_id)
    promoted = resolve_encoder(settings, catalog_id=catalog_id, encoder="enc-new")
    ledger.promotions.close(catalog_id=catalog_id, fingerprint="enc-new", outcome="released")

    assert feeding == ["enc-live", "enc-new"]
    assert promoted == {"fingerprint": "enc-new", "encoder_version": f"of-{catalog_id}"}
    assert encoders_to_feed(settings, catalog_id=catalog_id) == ["enc-live"]


def test_a_catalog_that_brings_vectors_has_a_space_of_its_own(settings: Settings, catalog_id: str) -> None:
    from vitrine_airflow.encoders import resolve_encoder

    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id, space="vectors", dimension=64))

    encoder = resolve_encoder(settings, catalog_id=catalog_id)

    assert encoder == {"fingerprint": f"external-{catalog_id}-64", "encoder_version": "external"}


def test_no_encoder_is_put_over_a_catalog_that_brings_vectors(settings: Settings, catalog_id: str) -> None:
    from vitrine_airflow.encoders import resolve_encoder

    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id, space="vectors", dimension=64))

    with pytest.raises(CatalogError, match="brings its own vectors"):
        resolve_encoder(settings, catalog_id=catalog_id, encoder="champion")


def test_a_build_may_go_back_to_an_encoder_that_was_live_before(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    from vitrine_airflow.encoders import resolve_encoder

    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id))
    make_live(ledger, object_store, catalog_id, fingerprint="enc-before")
    release = Release.from_bytes(object_store.get_bytes(keys.release(catalog_id, "release-1")))
    after = release.model_copy(update={"release_id": "release-2", "fingerprint": "enc-after", "encoder_version": "8"})
    object_store.put_bytes(keys.release(catalog_id, "release-2"), after.to_bytes())
    ledger.releases.activate(
        catalog_id=catalog_id,
        release_id="release-2",
        head_sequence=3,
        expected_generation=1,
        action="release",
        actor="test",
    )
    object_store.put_bytes("encoders/enc-before/encoder.json", b"{}")

    encoder = resolve_encoder(settings, catalog_id=catalog_id, encoder="enc-before")

    assert encoder == {"fingerprint": "enc-before", "encoder_version": "7"}


def test_a_build_whose_promotion_was_given_up_before_it_began_is_skipped(
    settings: Settings,
    ledger: Ledger,
    object_store: ObjectStore,
    catalog_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException
    from vitrine_airflow.encoders import resolve_or_skip

    import training.registry.versions

    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id))
    make_live(ledger, object_store, catalog_id, fingerprint="enc-live")
    given_up = ledger.promotions.observe(model_version=f"new-{catalog_id}", observed_by="poll")
    ledger.promotions.accept(given_up.sequence, fingerprint=f"enc-{catalog_id}", catalog_ids=[catalog_id])
    ledger.promotions.observe(model_version=f"old-{catalog_id}", observed_by="poll")
    champion = training.registry.versions.EncoderVersion("vitrine-encoder", "7", "enc-live", 8)
    monkeypatch.setattr(training.registry.versions, "resolve_champion", lambda _: champion)

    with pytest.raises(AirflowSkipException, match="the alias has moved on"):
        resolve_or_skip(settings, catalog_id=catalog_id, encoder=f"enc-{catalog_id}")
    with pytest.raises(EncoderError, match="no encoder 'enc-never'"):
        resolve_or_skip(settings, catalog_id=catalog_id, encoder="enc-never")
