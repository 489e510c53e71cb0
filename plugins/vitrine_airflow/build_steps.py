"""The steps of `build_index` that look ahead: where the next one has nothing to do, it is skipped and takes no slot."""

from __future__ import annotations

from typing import TypedDict

from vitrine.connections import open_object_store
from vitrine.errors import UncoveredHeadError
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.settings import Settings
from vitrine_airflow import run
from vitrine_airflow.encoders import ResolvedEncoder, resolve_or_skip


class BuildBegun(ResolvedEncoder):
    """The encoder of a build, and the embedding set of its head where nothing is left to embed."""

    embedding_set_id: str | None


class BuildPlan(TypedDict):
    """The plan of a build, and of which embedding set it is."""

    plan_id: str
    embedding_set_id: str


def resolve_encoder(settings: Settings, *, catalog_id: str, encoder: str) -> BuildBegun:
    """Returns the encoder of a build; skips `embed_head` where every unit of the head has its vectors.

    Raises:
        AirflowSkipException: the encoder was promoted, and the alias moved on before the build began.
        ContractError: the head is empty, or an item stands in it twice.
    """
    from index_builder.coverage import resolve_head

    resolved = resolve_or_skip(settings, catalog_id=catalog_id, encoder=encoder)
    try:
        embedding_set_id = resolve_head(settings, catalog_id=catalog_id, fingerprint=resolved["fingerprint"])
    except UncoveredHeadError:
        return {**resolved, "embedding_set_id": None}
    raise run.ending_without("embed_head", {**resolved, "embedding_set_id": embedding_set_id})


def plan_index(
    settings: Settings, *, catalog_id: str, covered: str | None, embedded: str | None, retrain: bool
) -> BuildPlan:
    """Plans the index of a head; skips `encode_parts` where no part is left to encode.

    Args:
        settings: of the platform.
        catalog_id: whose head.
        covered: its embedding set as `resolve_encoder` found it.
        embedded: as `embed_head` left it.
        retrain: train a quantizer even where the newest still fits.

    Raises:
        UncoveredHeadError: there is neither of the two.
        ContractError: the head's rows or their vectors are not what the embedding set says.
        SettingsError: no recipe keeps to the settings.
    """
    from index_builder.builds import needs_encoding, plan_build

    embedding_set_id = _later(settings, catalog_id, covered, embedded)
    plan_id = plan_build(settings, catalog_id=catalog_id, embedding_set_id=embedding_set_id, retrain=retrain)
    plan: BuildPlan = {"plan_id": plan_id, "embedding_set_id": embedding_set_id}
    if needs_encoding(settings, catalog_id=catalog_id, plan_id=plan_id):
        return plan
    raise run.ending_without("encode_parts", plan)


def _later(settings: Settings, catalog_id: str, *embedding_set_ids: str | None) -> str:
    """Returns the embedding set of the later head: a task that was skipped may have returned one in a run before."""
    known = list(dict.fromkeys(filter(None, embedding_set_ids)))
    if not known:
        raise UncoveredHeadError(
            f"catalog {catalog_id}: expected an embedding set of the head, found none, though embed_head was skipped; "
            "clear resolve_encoder and what follows it"
        )
    if len(known) == 1:
        return known[0]
    object_store = open_object_store(settings)
    return max(known, key=lambda known_id: read_embedding_set(object_store, catalog_id, known_id).head_sequence)
