"""The plan of a training set: every input resolved once, so that a rerun mines the same whatever came meanwhile."""

from __future__ import annotations

import datetime
from pathlib import Path

from spark_jobs.mining.relations.grades import store_grades
from vitrine.catalogs import get_catalog
from vitrine.connections import open_connections, open_object_store
from vitrine.contracts.training_sets import MiningParameters, MiningPlan, training_window
from vitrine.errors import ContractError, SettingsError
from vitrine.event_log import event_parts
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.ledger import Ledger
from vitrine.partitions import parse_partition_key
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

EVENT_DAYS = 90


def plan_training_set(
    settings: Settings,
    *,
    catalog_id: str,
    as_of: str | None = None,
    events_from: str | None = None,
    events_until: str | None = None,
    embedding_set_id: str | None = None,
    grades: Path | None = None,
    parameters: MiningParameters | None = None,
) -> MiningPlan:
    """Writes the plan and returns it; starts no Spark. Equal inputs give the same plan.

    Args:
        settings: of the platform.
        catalog_id: whose training set.
        as_of: the last day that counts; the newest partition's by default.
        events_from, events_until: the days of the event log; by default the 90 up to `as_of`.
        embedding_set_id: where hard negatives are looked for among neighbours; None: only in categories.
        grades: a CSV or Parquet file with `query_item_id, item_id, grade` (0 to 5).
        parameters: how to mine.

    Raises:
        ContractError: the catalog has no pictures or no partition, or the days contradict each other.
        SettingsError: a parameter was chosen that changes nothing beside the others.
    """
    parameters = parameters or MiningParameters()
    _refuse_idle(parameters, embedding_set_id)
    if get_catalog(settings.catalogs_file, catalog_id).space != "encoder":
        raise ContractError(
            f"catalog {catalog_id} brings its own vectors, so no encoder learns from it; mine a catalog with images"
        )
    with open_connections(settings) as (object_store, ledger):
        manifests = _manifests(object_store, ledger, catalog_id, embedding_set_id)
        as_of = parse_partition_key(as_of) if as_of else max(manifests, default="")
        counted = {dt: manifest_id for dt, manifest_id in manifests.items() if dt <= as_of}
        if not counted:
            raise ContractError(
                f"catalog {catalog_id}: expected a partition up to {as_of or 'today'}, found "
                f"{sorted(manifests) or 'none'}; ingest one, or choose a later --as-of"
            )
        days = _event_days(catalog_id, as_of, events_from=events_from, events_until=events_until)
        grades_key, grades_sha256 = store_grades(object_store, catalog_id, grades) if grades else (None, None)
        plan = MiningPlan(
            catalog_id=catalog_id,
            as_of=as_of,
            window=training_window(**days, as_of=as_of, parameters=parameters),
            parameters=parameters,
            manifests=counted,
            event_parts=tuple(event_parts(object_store, catalog_id=catalog_id, **days)),
            embedding_set_id=embedding_set_id,
            grades_key=grades_key,
            grades_sha256=grades_sha256,
        )
        key = _plan_key(catalog_id, plan.training_set_id)
        if not object_store.exists(key):
            object_store.put_bytes(key, plan.to_bytes())
    return plan


def read_plan(settings: Settings, *, catalog_id: str, training_set_id: str) -> MiningPlan:
    """Reads a plan back.

    Raises:
        ObjectMissingError: it was never made.
    """
    return MiningPlan.from_bytes(open_object_store(settings).get_bytes(_plan_key(catalog_id, training_set_id)))


def _refuse_idle(parameters: MiningParameters, embedding_set_id: str | None) -> None:
    """Refuses what was chosen and would enter the id without changing what is mined; a default is nobody's choice."""
    off: dict[str, str] = {}
    if embedding_set_id is None:
        off |= dict.fromkeys(
            _OF_NEIGHBOURS,
            "without an embedding set to look for neighbours in: name one (--embedding-set; the DAG takes the live "
            "release's, once there is one), or leave it out",
        )
    elif not parameters.neighbour_negatives:
        off |= dict.fromkeys(_OF_NEIGHBOURS[1:], "beside neighbour_negatives 0: leave one of them out")
    if not (parameters.validation_days or parameters.test_days):
        off["gap_days"] = "beside validation_days 0 and test_days 0: leave it out, or give one of them days"
    chosen = parameters.chosen()
    if idle := [f"{name} would change nothing {why}" for name, why in off.items() if name in chosen]:
        raise SettingsError(f"mine: {'; '.join(idle)}")


_OF_NEIGHBOURS = ("neighbour_negatives", "neighbour_max_anchors", "neighbour_max_candidates")


def _manifests(
    object_store: ObjectStore, ledger: Ledger, catalog_id: str, embedding_set_id: str | None
) -> dict[str, str]:
    if embedding_set_id is not None:
        return read_embedding_set(object_store, catalog_id, embedding_set_id).manifests
    return ledger.partitions.head(catalog_id).manifests


def _event_days(catalog_id: str, as_of: str, *, events_from: str | None, events_until: str | None) -> dict[str, str]:
    """Returns the first and the last day of the event log, by the names under which they are handed on."""
    last = parse_partition_key(events_until or as_of)
    default = datetime.date.fromisoformat(last) - datetime.timedelta(days=EVENT_DAYS - 1)
    first = parse_partition_key(events_from or default.isoformat())
    if not first <= last <= as_of:
        raise ContractError(
            f"catalog {catalog_id}: expected events_from <= events_until <= as_of, found {first}, {last} "
            f"and {as_of}; what came after the as-of day must not be learned from"
        )
    return {"events_from": first, "events_until": last}


def _plan_key(catalog_id: str, training_set_id: str) -> str:
    return f"{keys.training_set_prefix(catalog_id, training_set_id)}/plan.json"
