"""What a training was made from, for its run in MLflow: tags to search by, and a document with everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitrine.contracts.training_sets import MiningPlan
from vitrine.contracts.trainings import Training
from vitrine.identity import canonical_json, sha256_hex
from vitrine.storage import ObjectStore, keys


@dataclass(frozen=True)
class Lineage:
    """Tags are short; `document` lists every partition, part of the event log and parameter of the mining."""

    tags: dict[str, str]
    document: dict[str, Any]


def training_lineage(object_store: ObjectStore, training: Training, *, dag_run: Mapping[str, str]) -> Lineage:
    """Follows a training back to partitions and events.

    Args:
        object_store: of the platform.
        training: that is done.
        dag_run: `dag_id` and `dag_run_id`, when a DAG asks.

    Raises:
        ObjectMissingError: the plan of its training set is gone.
    """
    key = f"{keys.training_set_prefix(training.catalog_id, training.training_set_id)}/plan.json"
    plan = MiningPlan.from_bytes(object_store.get_bytes(key))
    events = [part.model_dump(mode="json") for part in plan.event_parts]
    tags = {
        "vitrine.catalog": training.catalog_id,
        "vitrine.training_set_id": training.training_set_id,
        "vitrine.as_of": plan.as_of,
        "vitrine.manifests_digest": _digest(plan.manifests),
        "vitrine.events_digest": _digest(events),
        "vitrine.embedding_set_id": plan.embedding_set_id or "none",
        "vitrine.base_fingerprint": training.base_fingerprint,
        **{f"vitrine.{name}": value for name, value in dag_run.items()},
    }
    document = {
        "training": training.model_dump(mode="json"),
        "training_set": plan.model_dump(mode="json"),
    }
    return Lineage(tags=tags, document=document)


def _digest(value: Any) -> str:
    return sha256_hex(canonical_json(value))
