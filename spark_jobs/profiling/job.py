"""The profile job: a delivery's rows in, candidate rows out, each with its image measured, judged and packed.

    splits -> judged rows -> judged images -> last sound row of each id -> packs of what is new -> candidate parts

Nothing that grows with the catalog is collected on the driver, and the same delivery gives the same parts.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from spark_jobs.deliveries.recording import read_delivery
from spark_jobs.profiling.frames import SparkEngine
from spark_jobs.profiling.packs.index import extend_pack_index, read_pack_index
from spark_jobs.profiling.plan import has_at_most, plan_profile
from spark_jobs.profiling.run import ProfileOutput, run_profile
from spark_jobs.profiling.spool import Spool
from spark_jobs.profiling.tables import FrameTooLargeError, TableEngine
from spark_jobs.profiling.task import ProfileTask
from spark_runtime.configuration import in_process_rows, is_local, local_threads
from spark_runtime.session import spark_session
from spark_runtime.stage_progress import shown_stages
from vitrine.catalogs import get_catalog
from vitrine.connections import open_connections
from vitrine.contracts.datasets import Delivery
from vitrine.errors import ContractError, StorageError
from vitrine.files.scratch import scratch_folder
from vitrine.identity import attempt_id
from vitrine.items.policy import IngestPolicy, profile_key
from vitrine.ledger import CommittedAttempt, Ledger
from vitrine.progress import progress
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

log = logging.getLogger(__name__)

SCOPE = "profile"


@dataclass(frozen=True)
class Profile:
    """A committed profile of a delivery.

    Attributes:
        attempt_id: of the attempt that stands.
        rows: all of the delivery's, accepted or not.
        rejected_by_reason: before the partition's gate.
        reused: it was committed before this call.
    """

    attempt_id: str
    rows: int
    rejected_by_reason: dict[str, int]
    reused: bool
    seconds: float


def run_profile_job(settings: Settings, *, catalog_id: str, dt: str, delivery_id: str) -> Profile:
    """Profiles a delivery, unless that is done already; few rows in this process (`in_process_rows`).

    The ledger's attempts (scope `profile`, key `profile_key`) hold the parts: key, rows and SHA-256 of each.

    Raises:
        DeliveryError: the delivery was not recorded.
        StorageError: the object store failed; nothing is committed, and no row is blamed for it.
        ObjectCorruptError: an image was changed between profiling and packing.
    """
    began = time.monotonic()
    catalog = get_catalog(settings.catalogs_file, catalog_id)
    policy = IngestPolicy.of(catalog, settings)
    key = profile_key(catalog_id, delivery_id, policy)
    with open_connections(settings) as (store, ledger):
        committed = ledger.attempts.committed(scope=SCOPE, key=key)
        reused = committed is not None
        if committed is None:
            delivery = read_delivery(store, catalog_id=catalog_id, dt=dt, delivery_id=delivery_id)
            attempt = attempt_id()
            result = _profile(settings, store, ledger, delivery, policy=policy, attempt=attempt)
            committed = ledger.attempts.commit(scope=SCOPE, key=key, attempt_id=attempt, result=result)
    profile = _summary(committed, reused=reused, seconds=time.monotonic() - began)
    log.info("profile %s %s: %s", catalog_id, dt, profile)
    return profile


def _profile(
    settings: Settings, store: ObjectStore, ledger: Ledger, delivery: Delivery, *, policy: IngestPolicy, attempt: str
) -> dict[str, Any]:
    task = plan_profile(settings, store, delivery, policy=policy, attempt=attempt)
    if not task.splits:
        return _result(ProfileOutput([], []))
    few = has_at_most(store, task, rows=in_process_rows(settings))
    output = _here(settings, ledger, store, task) if few else None
    if output is None:
        output = _by_spark(settings, ledger, store, task, name=f"profile {delivery.catalog_id} {delivery.dt}")
    result = _result(output)
    _check(result, policy)
    extend_pack_index(ledger, store, delivery.catalog_id, added=output.listings)
    return result


def _here(settings: Settings, ledger: Ledger, store: ObjectStore, task: ProfileTask) -> ProfileOutput | None:
    """Profiles in this process; None where the few rows are so long that Spark is to spread them."""
    listings = read_pack_index(ledger, store, task.catalog_id)
    with ExitStack() as held:
        spooled = _with_spool(settings, task, processes=1, held=held)
        advance = held.enter_context(progress(f"profile {task.catalog_id}"))
        try:
            return run_profile(TableEngine(advance), spooled, listings=listings)
        except FrameTooLargeError:
            log.info("profile %s: the rows are too long for one process", task.catalog_id)
            return None


def _by_spark(settings: Settings, ledger: Ledger, store: ObjectStore, task: ProfileTask, *, name: str) -> ProfileOutput:
    with spark_session(settings, name=name) as spark, ExitStack() as held:
        held.enter_context(shown_stages(spark, label=name))
        if is_local(settings.spark_master):  # executors of a cluster share no folder that anybody would clear
            task = _with_spool(settings, task, processes=local_threads(settings), held=held)
        return run_profile(SparkEngine(spark, held), task, listings=read_pack_index(ledger, store, task.catalog_id))


def _with_spool(settings: Settings, task: ProfileTask, *, processes: int, held: ExitStack) -> ProfileTask:
    folder = held.enter_context(scratch_folder(settings, "profile")).absolute()
    return replace(task, spool=Spool.within(folder, processes=processes))


def _result(output: ProfileOutput) -> dict[str, Any]:
    reasons: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for part in output.parts:
        counts = json.loads(part["counts"])
        reasons.update(counts.pop("rejected_by_reason"))
        totals.update(counts)
    return {
        "parts": [{name: part[name] for name in ("key", "rows", "sha256")} for part in output.parts],
        "rows": sum(part["rows"] for part in output.parts),
        "listings": [listing.key for listing in output.listings],
        "rejected_by_reason": dict(sorted(reasons.items())),
        **{name: totals[name] for name in ("rows_deleted", "rows_unlocated", "rows_denied")},
    }


def _check(result: dict[str, Any], policy: IngestPolicy) -> None:
    if result["rows_unlocated"]:
        raise ContractError(
            f"{result['rows_unlocated']} accepted images lie in no pack, which is an error of the job; run it again"
        )
    share = result["rows_denied"] / max(1, result["rows"])
    if share > policy.quality.max_missing_image_share:
        # An operator can grant the missing right, and committed verdicts would outlive that.
        raise StorageError(
            f"the object store denied access to the images of {share:.1%} of the rows (limit "
            f"{policy.quality.max_missing_image_share:.1%}); let the platform read them, and run it again"
        )


def _summary(committed: CommittedAttempt, *, reused: bool, seconds: float) -> Profile:
    result = committed.result
    return Profile(
        attempt_id=committed.attempt_id,
        rows=result["rows"],
        rejected_by_reason=result["rejected_by_reason"],
        reused=reused,
        seconds=seconds,
    )
