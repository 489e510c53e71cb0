"""The mining job: a plan becomes a training set, once, whoever runs it and however often it is killed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from spark_jobs.mining.attempt import mine
from vitrine.connections import open_connections
from vitrine.contracts.training_sets import MiningPlan, TrainingSet
from vitrine.identity import attempt_id
from vitrine.ledger.attempts import Attempts
from vitrine.provenance import describe_run, put_provenance
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

SCOPE = "mine"
log = logging.getLogger(__name__)


def run_mine_job(settings: Settings, plan: MiningPlan, *, provenance: Mapping[str, str] | None = None) -> TrainingSet:
    """Returns the training set of a plan; starts no Spark when it is there.

    Args:
        settings: of the platform.
        plan: from `plan_training_set` or `read_plan`.
        provenance: `dag_id` and `dag_run_id`, when a DAG asks.

    Raises:
        ContractError: an object of the plan holds something else than it should, or no item is left to learn from.
        ObjectMissingError: an object of the plan is gone.
    """
    began = time.monotonic()
    training_set_id = plan.training_set_id
    prefix = keys.training_set_prefix(plan.catalog_id, training_set_id)
    key = f"{prefix}/training_set.json"
    with open_connections(settings) as (object_store, ledger):
        if object_store.exists(key):
            log.info("mine %s: training set %s is there", plan.catalog_id, training_set_id)
            return TrainingSet.from_bytes(object_store.get_bytes(key))
        training_set = _committed(settings, object_store, ledger.attempts, plan, prefix=prefix)
        made = describe_run(provenance, packages=("pyspark", "pyarrow", "numpy"))
        put_provenance(object_store, ledger, prefix, made)
        object_store.put_bytes(key, training_set.to_bytes())
    log.info(
        "mine %s: training set %s, samples %s, pairs %s, negatives %s, %.1f s",
        plan.catalog_id,
        training_set_id,
        training_set.samples_by_split,
        training_set.pairs_by_split,
        training_set.negatives_by_split,
        time.monotonic() - began,
    )
    return training_set


def _committed(
    settings: Settings, object_store: ObjectStore, attempts: Attempts, plan: MiningPlan, *, prefix: str
) -> TrainingSet:
    """Returns the training set that an attempt has committed, this one or another; mines it where there is none."""
    work = f"{plan.catalog_id}/{plan.training_set_id}"
    standing = attempts.committed(scope=SCOPE, key=work)
    if standing is None:
        attempt = attempt_id()
        scratch = f"{prefix}/scratch/{attempt}"
        try:
            mined = mine(settings, object_store, plan, attempt_id=attempt, scratch=scratch)
        finally:
            _sweep(object_store, scratch)
        standing = attempts.commit(scope=SCOPE, key=work, attempt_id=attempt, result=mined.model_dump(mode="json"))
        if standing.attempt_id != attempt:
            for part in (*mined.samples, *mined.pairs, *mined.negatives):
                object_store.delete(part.key)
    return TrainingSet.model_validate(standing.result)


def _sweep(object_store: ObjectStore, prefix: str) -> None:
    for key in list(object_store.list_keys(f"{prefix}/")):
        object_store.delete(key)
