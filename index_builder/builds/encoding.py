"""The encoding of a plan's parts: what is encoded already costs nothing, few rows no JVM, many go through Spark."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from index_builder.builds.memory import AnonymousPeak, record_peak, watched_memory
from index_builder.builds.part_encoder import (
    PART_COLUMNS,
    SUMMARY_SCHEMA,
    EncodeTask,
    encode_each,
    encode_partition,
    part_row,
)
from index_builder.builds.parts.encoded_parts import encoded_part_ids
from index_builder.builds.plans import read_plan
from index_builder.builds.versions import find_index_version
from vitrine.connections import open_connections, open_object_store
from vitrine.contracts.index_builds import IndexPlan, PlannedPart
from vitrine.ledger import Ledger
from vitrine.progress import progress
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

_PARTS_A_TASK = 16  # at most: a task that fails is begun again, and each task loads the quantizer


@dataclass(frozen=True)
class EncodeSummary:
    """What one run of the encoding did.

    Attributes:
        parts: of the plan.
        encoded, rows: by this run.
        workers: Spark's Python processes; 0 when this process encoded by itself.
    """

    parts: int = 0
    encoded: int = 0
    rows: int = 0
    workers: int = 0


def needs_spark(settings: Settings, *, catalog_id: str, plan_id: str) -> bool:
    """Tells whether `encode_parts` would start Spark."""
    object_store = open_object_store(settings)
    return _is_many(settings, _missing(object_store, read_plan(object_store, catalog_id, plan_id)))


def needs_encoding(settings: Settings, *, catalog_id: str, plan_id: str) -> bool:
    """Tells whether `encode_parts` would encode anything: a recipe that is built whole has no parts to encode."""
    object_store = open_object_store(settings)
    return bool(_missing(object_store, read_plan(object_store, catalog_id, plan_id)))


def encode_parts(settings: Settings, *, catalog_id: str, plan_id: str) -> EncodeSummary:
    """Encodes the parts of a plan that its quantizer has not encoded yet, for this index or for any other.

    Killed at any point it goes on when run again: parts in the store count.

    Raises:
        ContractError: the plan does not exist, or a block lacks the vector of a row.
    """
    with open_connections(settings) as (object_store, ledger):
        return encode_missing(settings, object_store, ledger, catalog_id=catalog_id, plan_id=plan_id)


def encode_missing(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, *, catalog_id: str, plan_id: str
) -> EncodeSummary:
    """Takes the step of `encode_parts` over connections that are open already."""
    plan = read_plan(object_store, catalog_id, plan_id)
    missing = _missing(object_store, plan)
    if not missing:
        return EncodeSummary(parts=len(plan.parts))
    task = EncodeTask.of(settings, plan)
    if _is_many(settings, missing):
        summary, peak = _by_spark(settings, task, missing)
    else:
        summary, peak = _in_process(settings, object_store, ledger, task, missing)
    record_peak(ledger.checks, plan, step="encode", peak=peak)
    print(f"{catalog_id}: encoded {len(missing)} of {len(plan.parts)} parts, {summary.rows:,} rows", file=sys.stderr)
    return EncodeSummary(len(plan.parts), summary.encoded, summary.rows, summary.workers)


def _missing(object_store: ObjectStore, plan: IndexPlan) -> list[PlannedPart]:
    if plan.quantizer is None or find_index_version(object_store, plan.catalog_id, plan.index_version) is not None:
        return []
    standing = encoded_part_ids(object_store, plan.catalog_id, plan.quantizer.quantizer_id)
    return [part for part in plan.parts if part.part_id not in standing]


def _is_many(settings: Settings, parts: Sequence[PlannedPart]) -> bool:
    return sum(part.rows for part in parts) > settings.index_encode_in_process_rows


def _in_process(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, task: EncodeTask, parts: Sequence[PlannedPart]
) -> tuple[EncodeSummary, AnonymousPeak]:
    encoded = rows = 0
    with (
        watched_memory() as peak,
        progress(f"{task.plan.catalog_id}: encoding", total=sum(part.rows for part in parts)) as advance,
    ):
        for part in encode_each(task, object_store, ledger, parts, threads=settings.index_threads):
            encoded += 1
            rows += part.rows
            advance(part.rows)
    return EncodeSummary(encoded=encoded, rows=rows), peak


def _by_spark(
    settings: Settings, task: EncodeTask, parts: Sequence[PlannedPart]
) -> tuple[EncodeSummary, AnonymousPeak]:
    from spark_runtime.session import spark_session

    tasks = min(len(parts), max(4 * settings.spark_partitions, -(-len(parts) // _PARTS_A_TASK)))
    with spark_session(settings, name=f"encode {task.plan.catalog_id}") as spark:
        frame = spark.createDataFrame([part_row(part) for part in parts], PART_COLUMNS).repartition(tasks)
        done = frame.mapInArrow(partial(encode_partition, task), SUMMARY_SCHEMA).collect()  # one row for each task
    peak = AnonymousPeak()
    peak.peak_bytes = max((row.peak_bytes for row in done if row.peak_bytes), default=None)
    summary = EncodeSummary(
        encoded=sum(row.parts for row in done),
        rows=sum(row.rows for row in done),
        workers=len({row.worker for row in done}),
    )
    return summary, peak
