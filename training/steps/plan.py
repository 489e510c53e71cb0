"""The plan of a training: base model and options resolved once, so that every retry trains the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.base_models import CHAMPION, FINGERPRINT, bring_base_model, is_scratch
from training.options import parse_options
from training.registry.versions import ready_champion
from vitrine.connections import open_connections
from vitrine.contracts.trainings import TrainingPlan
from vitrine.encoder.publishing import publish_encoder, read_manifest
from vitrine.errors import ContractError, ObjectMissingError, SettingsError
from vitrine.files.scratch import scratch_folder
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.write_once import put_once


def plan_training(
    settings: Settings, *, catalog_id: str, training_set_id: str, base: str = CHAMPION, options: Mapping[str, Any]
) -> str:
    """Writes the plan and returns the training's id. Equal inputs give the same.

    Args:
        settings: of the platform.
        catalog_id, training_set_id: what is learned from.
        base: `champion`, `bootstrap`, `scratch`, the fingerprint of a published encoder, or a `transformers` CLIP by
            name or folder; what is not published yet is published, so that any worker can start from it.
        options: of `TrainingOptions`, by name; None stands for the default.

    Raises:
        SettingsError: an option is unknown, out of its range, without effect, or not of a plan.
        EncoderError: the base model cannot be used.
    """
    parsed = parse_options(options)
    if of_a_machine := sorted(parsed.model_fields_set - parsed.identity().keys()):
        raise SettingsError(
            f"{', '.join(of_a_machine)}: of the machine that trains, and no part of a plan, which would drop it; leave "
            "it out, or train by hand with `python -m training train`"
        )
    parsed = parsed.settled_for(scratch=is_scratch(base))
    with open_connections(settings) as (object_store, ledger):
        plan = TrainingPlan(
            catalog_id=catalog_id,
            training_set_id=training_set_id,
            base=base,
            base_fingerprint=_settled_base(settings, object_store, ledger, base, seed=parsed.seed),
            options=parsed.identity(),
        )
        # How the base model was named stands in it and in no id.
        put_once(object_store, ledger, _key(catalog_id, plan.training_id), plan.to_bytes())
    return plan.training_id


def read_training_plan(object_store: ObjectStore, *, catalog_id: str, training_id: str) -> TrainingPlan:
    """Reads a plan back.

    Raises:
        ContractError: it was never made.
    """
    key = _key(catalog_id, training_id)
    try:
        return TrainingPlan.from_bytes(object_store.get_bytes(key))
    except ObjectMissingError as error:
        raise ContractError(
            f"{key}: catalog {catalog_id} has no plan of training {training_id}; "
            "plan one: python -m training plan-training"
        ) from error


def _settled_base(settings: Settings, object_store: ObjectStore, ledger: Ledger, base: str, *, seed: int) -> str:
    """Returns the fingerprint of a base model that any worker can start from; publishes it where it is not yet."""
    if base == CHAMPION:
        return ready_champion(settings, object_store, ledger).fingerprint
    if FINGERPRINT.fullmatch(base):
        return read_manifest(base, object_store).fingerprint
    with scratch_folder(settings, "base-model") as scratch:
        folder = bring_base_model(base, scratch / "base", settings=settings, seed=seed)
        return publish_encoder(folder, object_store, ledger=ledger, state_dir=settings.state_dir)


def _key(catalog_id: str, training_id: str) -> str:
    return f"{keys.training_prefix(catalog_id, training_id)}/plan.json"
