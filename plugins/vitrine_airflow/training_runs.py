"""What the form of `train_encoder` means for mining and training; which embeddings hard negatives are looked for in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.releases import Release
from vitrine.contracts.training_sets import MiningParameters
from vitrine.errors import SettingsError
from vitrine.settings import Settings
from vitrine.storage import keys

Form = Mapping[str, Any]


def plan_training_set(settings: Settings, *, catalog_id: str, form: Form) -> str:
    """Plans what is mined and returns the training set's id.

    Neighbours are looked for in the embeddings of the live release; before the first there are none to look in.

    Raises:
        ContractError: the catalog has no partition by then, or the days contradict each other.
        SettingsError: the form names no such parameter of mining.
    """
    from spark_jobs.mining import plan_training_set as plan

    return plan(
        settings,
        catalog_id=catalog_id,
        as_of=form["as_of"],
        events_from=form["events_from"],
        events_until=form["events_until"],
        embedding_set_id=_live_embedding_set(settings, catalog_id),
        parameters=_mining_parameters(form),
    ).training_set_id


def plan_training(settings: Settings, *, catalog_id: str, training_set_id: str, form: Form) -> str:
    """Plans the training and returns its id.

    Raises:
        SettingsError: the form names no such option of training, or a value out of its range.
        EncoderError: the base model cannot be used.
    """
    from training.steps.plan import plan_training as plan

    return plan(
        settings,
        catalog_id=catalog_id,
        training_set_id=training_set_id,
        base=form["base"],
        options=training_options(form),
    )


def training_options(form: Form) -> dict[str, Any]:
    """Returns the options that the form gives.

    Raises:
        SettingsError: `options` says something else than the form's own field.
    """
    fields = {name: form[name] for name in ("objective", "epochs", "max_steps", "seed", "processes")}
    named = {name: value for name, value in fields.items() if value is not None}
    others: dict[str, Any] = form["options"] or {}
    if twice := [name for name, value in named.items() if others.get(name, value) != value]:
        raise SettingsError(
            f"the form has a field of its own for {', '.join(twice)}, and `options` says something else; leave it out "
            "of `options`"
        )
    return {**others, **named}


def _mining_parameters(form: Form) -> MiningParameters:
    given = {"seed": form["seed"], **(form["mining"] or {})}
    return MiningParameters.from_values({name: value for name, value in given.items() if value is not None})


def _live_embedding_set(settings: Settings, catalog_id: str) -> str | None:
    ledger = open_ledger(settings)
    try:
        live = ledger.releases.live(catalog_id)
    finally:
        ledger.close()
    if live is None:
        return None
    release = Release.from_bytes(open_object_store(settings).get_bytes(keys.release(catalog_id, live.release_id)))
    return release.embedding_set_id
