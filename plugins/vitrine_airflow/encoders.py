"""Which encoder a run works under: the live one, the champion, or one that is named."""

from __future__ import annotations

from contextlib import closing
from typing import TypedDict

from airflow.sdk.exceptions import AirflowSkipException

from vitrine.catalogs import Catalog, get_catalog
from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.releases import Release
from vitrine.encoder.publishing import is_published
from vitrine.errors import CatalogError, EncoderError, RegistryError
from vitrine.head.reader import external_fingerprint
from vitrine.releases.encoder_history import live_before
from vitrine.settings import Settings
from vitrine.storage import keys


class ResolvedEncoder(TypedDict):
    """An encoder by its fingerprint, with its version in the registry."""

    fingerprint: str
    encoder_version: str


def resolve_encoder(settings: Settings, *, catalog_id: str, encoder: str = "live") -> ResolvedEncoder:
    """Returns the encoder of a run.

    Args:
        settings: of the platform.
        catalog_id: whose embedding space.
        encoder: `live`, which is the champion before the first release; `champion`; or the fingerprint of the live
            encoder, of one that was live before, of the champion or of one whose promotion is under way.

    Raises:
        EncoderError: no such encoder is registered.
        CatalogError: the catalog is not declared, or brings its own vectors and another space is asked for.
    """
    catalog = get_catalog(settings.catalogs_file, catalog_id)
    if catalog.space == "vectors":
        return _external(catalog, encoder)
    live = _live_encoder(settings, catalog_id)
    if live and encoder in ("live", live["fingerprint"]):
        return live
    promoted = _promoted_encoder(settings, catalog_id)
    if promoted and encoder == promoted["fingerprint"]:
        return promoted
    earlier = None if encoder in ("live", "champion") else _earlier_version(settings, catalog_id, encoder)
    if earlier is not None:
        return {"fingerprint": encoder, "encoder_version": earlier}
    from training.registry.versions import resolve_champion

    champion = resolve_champion(settings)
    if encoder in ("live", "champion", champion.fingerprint):
        return {"fingerprint": champion.fingerprint, "encoder_version": str(champion.version)}
    raise EncoderError(
        f"catalog {catalog_id}: no encoder {encoder!r}; expected `live`, `champion`, the live fingerprint "
        f"{live['fingerprint'] if live else '(none yet)'} or the champion's {champion.fingerprint}; move the alias "
        "`champion` in MLflow to the encoder that is meant"
    )


def resolve_or_skip(settings: Settings, *, catalog_id: str, encoder: str) -> ResolvedEncoder:
    """Returns the encoder of a build, as `resolve_encoder` does.

    Raises:
        AirflowSkipException: it was promoted, and the alias moved on before the build began.
    """
    try:
        return resolve_encoder(settings, catalog_id=catalog_id, encoder=encoder)
    except RegistryError:
        raise
    except EncoderError as error:
        with closing(open_ledger(settings)) as ledger:
            if not ledger.promotions.was_accepted(encoder):
                raise
        raise AirflowSkipException(f"encoder {encoder} was promoted, and the alias has moved on since") from error


def encoders_to_feed(settings: Settings, *, catalog_id: str) -> list[str]:
    """Returns the fingerprints that an ingest embeds under.

    The first is the live encoder's, or the champion's before any release; builds go on under it. While a promotion is
    under way its encoder follows, so that neither index goes stale.
    """
    feeding = [resolve_encoder(settings, catalog_id=catalog_id)["fingerprint"]]
    if get_catalog(settings.catalogs_file, catalog_id).space == "encoder":
        promoted = _promoted_encoder(settings, catalog_id)
        if promoted and promoted["fingerprint"] not in feeding:
            feeding.append(promoted["fingerprint"])
    return feeding


def _external(catalog: Catalog, encoder: str) -> ResolvedEncoder:
    fingerprint = external_fingerprint(catalog.catalog_id, catalog.dimension or 0)
    if encoder not in ("live", fingerprint):
        raise CatalogError(
            f"catalog {catalog.catalog_id} brings its own vectors, so its only encoder is `live` ({fingerprint}); "
            f"found {encoder!r}"
        )
    return {"fingerprint": fingerprint, "encoder_version": "external"}


def _live_encoder(settings: Settings, catalog_id: str) -> ResolvedEncoder | None:
    ledger = open_ledger(settings)
    try:
        live = ledger.releases.live(catalog_id)
    finally:
        ledger.close()
    if live is None:
        return None
    release = Release.from_bytes(open_object_store(settings).get_bytes(keys.release(catalog_id, live.release_id)))
    return {"fingerprint": release.fingerprint, "encoder_version": release.encoder_version}


def _earlier_version(settings: Settings, catalog_id: str, fingerprint: str) -> str | None:
    """The version in the registry of an encoder that was live before and is still there to encode with."""
    object_store = open_object_store(settings)
    with closing(open_ledger(settings)) as ledger:
        version = live_before(object_store, ledger, catalog_id=catalog_id, fingerprint=fingerprint)
    return version if version and is_published(fingerprint, object_store) else None


def _promoted_encoder(settings: Settings, catalog_id: str) -> ResolvedEncoder | None:
    """The encoder whose promotion was accepted and that the catalog does not serve yet."""
    with closing(open_ledger(settings)) as ledger:
        promotion = ledger.promotions.under_way(catalog_id)
    if promotion is None or promotion.fingerprint is None:
        return None
    return {"fingerprint": promotion.fingerprint, "encoder_version": promotion.model_version}
