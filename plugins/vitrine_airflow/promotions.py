"""The steps of `watch_promotions`: which move of the alias counts, its encoder, and the builds that follow from it.

The truth is where the alias stands in MLflow when a step asks, whatever woke it. Each step may be killed and run again.
"""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TypedDict

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from vitrine.catalogs import in_turn, read_catalogs
from vitrine.connections import open_ledger, open_object_store
from vitrine.errors import EncoderError, RegistryError
from vitrine.ledger import CatalogPromotion, Ledger, Promotion
from vitrine.ledger.promotions import ObservedBy
from vitrine.releases.activation import read_release
from vitrine.settings import Settings
from vitrine_airflow.champion_alias import champion_version

log = logging.getLogger(__name__)

PROMOTION_TAG = "vitrine.promotion"
GATE_TAG = "vitrine.gate"


class Move(TypedDict):
    """A move of the alias that is being handled."""

    sequence: int
    model_version: str


class PromotedBuild(TypedDict):
    """A build that a promotion asks for."""

    catalog_id: str
    fingerprint: str
    sequence: int


def observe(settings: Settings, ledger: Ledger, *, observed_by: ObservedBy) -> Promotion | None:
    """Records where the alias stands now; returns the promotion that counts, or None when there is no champion.

    Raises:
        RegistryError: MLflow cannot be asked.
        LedgerError: the ledger cannot be written.
    """
    version = champion_version(settings)
    return None if version is None else ledger.promotions.observe(model_version=version, observed_by=observed_by)


def settle_promotion(settings: Settings) -> Move:
    """Returns the move that counts.

    Raises:
        AirflowSkipException: there is no champion, or it was refused before.
    """
    with closing(open_ledger(settings)) as ledger:
        promotion = observe(settings, ledger, observed_by="poll")
    if promotion is None:
        raise _skip("the alias `champion` names no version: nothing is promoted, and what is live stays")
    if promotion.state == "refused":
        raise _skip(f"version {promotion.model_version} was refused: {promotion.reason}")
    return {"sequence": promotion.sequence, "model_version": promotion.model_version}


def import_encoder(settings: Settings, move: Move) -> str:
    """Brings the encoder to the object store and checks it; returns its fingerprint.

    Raises:
        AirflowFailException: it cannot be used; the ledger and MLflow's tag `vitrine.promotion` say why.
        AirflowSkipException: the alias has moved on.
        RegistryError, StorageError: it could not be fetched; nothing was learned about it.
    """
    from training.registry.versions import resolve_champion, tag_version

    try:
        champion = resolve_champion(settings)
    except RegistryError:
        raise
    except EncoderError as error:
        _skip_when_moved_on(settings, move)
        # The tag first: a step that dies between the two finds the same fault again.
        tag_version(settings, version=move["model_version"], key=PROMOTION_TAG, value=f"refused: {error}")
        with closing(open_ledger(settings)) as ledger:
            ledger.promotions.refuse(move["sequence"], reason=str(error))
        raise AirflowFailException(
            f"version {move['model_version']} is refused, and every catalog stays as it is: {error}"
        ) from error
    if champion.version != move["model_version"]:
        raise _moved_on(move)
    return champion.fingerprint


def accept_promotion(settings: Settings, move: Move, fingerprint: str) -> list[PromotedBuild]:
    """Accepts the encoder for every catalog that has a head; returns the builds that it takes to get there, in turn.

    Raises:
        AirflowSkipException: the alias has moved on.
        RegistryError: the version could not be tagged.
    """
    from training.registry.versions import tag_version

    declared = read_catalogs(settings.catalogs_file)
    order = in_turn(declared, default=settings.default_catalog)
    with closing(open_ledger(settings)) as ledger:
        catalog_ids = [
            catalog_id
            for catalog_id in order
            if declared[catalog_id].space == "encoder" and ledger.partitions.head(catalog_id).manifests
        ]
        if not ledger.promotions.accept(move["sequence"], fingerprint=fingerprint, catalog_ids=catalog_ids):
            raise _moved_on(move)
        tag_version(settings, version=move["model_version"], key=PROMOTION_TAG, value="accepted")
        rows = {row.catalog_id: row for row in ledger.promotions.catalogs_of(move["sequence"])}
        return [
            {"catalog_id": row.catalog_id, "fingerprint": fingerprint, "sequence": row.sequence}
            for row in (rows[catalog_id] for catalog_id in order if catalog_id in rows)
            if row.state == "building" and _needs_build(settings, ledger, row)
        ]


def tag_gate(settings: Settings, *, catalog_id: str, release_id: str, verdict: str) -> None:
    """Says on the promoted version how its release fared in a catalog; does nothing for any other encoder.

    A registry that is away does not change what was decided: it is logged.
    """
    from training.registry.versions import tag_version

    with closing(open_ledger(settings)) as ledger:
        latest = ledger.promotions.latest_of(catalog_id)
        offered = ledger.releases.candidate(catalog_id=catalog_id, release_id=release_id)
    if latest is None or offered is None:
        return
    if read_release(open_object_store(settings), catalog_id, release_id).fingerprint != latest.fingerprint:
        return
    try:
        tag_version(settings, version=latest.model_version, key=f"{GATE_TAG}.{catalog_id}", value=verdict)
    except RegistryError as error:
        log.warning("version %s is not tagged %r: %s", latest.model_version, verdict, error)


def _needs_build(settings: Settings, ledger: Ledger, row: CatalogPromotion) -> bool:
    """Tells whether a catalog must be built to come to a promoted encoder; one that has it live is closed."""
    live = ledger.releases.live(row.catalog_id)
    if live is None:
        # Its first build takes the champion anyway, unless that has moved since the build began.
        newest = ledger.promotions.newest()
        return newest is None or not ledger.promotions.is_first_encoder(newest)
    release = read_release(open_object_store(settings), row.catalog_id, live.release_id)
    if release.fingerprint != row.fingerprint:
        return True
    if live.verified:  # otherwise its verification is under way, and closes it
        return not ledger.promotions.close(
            catalog_id=row.catalog_id,
            fingerprint=row.fingerprint,
            outcome="released",
            generation=live.generation,
        )
    return False


def _skip_when_moved_on(settings: Settings, move: Move) -> None:
    if champion_version(settings) != move["model_version"]:
        raise _moved_on(move)


def _moved_on(move: Move) -> AirflowSkipException:
    return _skip(f"the alias has moved on from version {move['model_version']}: only where it stands now counts")


def _skip(message: str) -> AirflowSkipException:
    log.warning(message)  # Airflow shows no reason beside a skipped task
    return AirflowSkipException(message)
