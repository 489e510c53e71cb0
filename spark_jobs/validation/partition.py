"""Validating one partition: candidate rows in, an approved manifest out, or a `GateError` that says why not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from spark_jobs.removals import check_removal
from spark_jobs.validation.data_docs import keep_local_copy, publish_data_docs
from spark_jobs.validation.day_page import write_day_page
from spark_jobs.validation.expectations import run_suites
from spark_jobs.validation.gate import GateCheck, disagreements, gate_checks, refuse_broken, refuse_disagreements
from spark_jobs.validation.manifest_parts import SplitPart, SplitRows, split_candidates
from vitrine.catalogs import Catalog, get_catalog
from vitrine.connections import open_connections
from vitrine.contracts.datasets import Delivery, Manifest, PartFile
from vitrine.contracts.document import Provenance
from vitrine.errors import ContractError
from vitrine.files.scratch import scratch_folder
from vitrine.head.reader import manifest_key, read_manifest
from vitrine.identity import attempt_id, content_id
from vitrine.items.policy import IngestPolicy, profile_key
from vitrine.ledger import Ledger
from vitrine.ledger.attempts import Attempts
from vitrine.provenance import describe_run, put_provenance
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

log = logging.getLogger(__name__)

APPROVED_SCOPE = "manifest_approved"
"""Scope of the ledger's attempts under which approved manifests stand; `approval_key` gives the key."""
_SCOPE = "validation"
_CHECKS = TypeAdapter(tuple[GateCheck, ...])


def approval_key(catalog_id: str, dt: str, manifest_id: str) -> str:
    """Returns the key of a manifest's approval in the ledger's attempts."""
    return f"{catalog_id}/{dt}/{manifest_id}"


def validate_partition(
    settings: Settings, *, catalog_id: str, dt: str, delivery_id: str, provenance: Mapping[str, str] | None = None
) -> str:
    """Validates a profiled delivery and returns the id of its approved manifest.

    The same delivery under the same rules for rows gives the same manifest id, whatever the thresholds of the gate, and
    nothing is written twice.

    A manifest that was approved stays so: redoing its day asks nobody again. Should the head move before the manifest
    is published, `publish_partition` looks again at what it would remove.

    Raises:
        GateError: too many rejects, or too much would leave the head. The manifest is there to be looked at and is not
            approved.
        ContractError: the delivery was not profiled, or validation disagrees with the quarantine.
    """
    catalog = get_catalog(settings.catalogs_file, catalog_id)
    policy = IngestPolicy.of(catalog, settings)
    where = f"catalog {catalog_id} {dt}"
    with open_connections(settings) as (object_store, ledger):
        done = ledger.attempts.committed(scope=_SCOPE, key=_validation_key(catalog_id, delivery_id, policy))
        if done is None:
            manifest, checks = _validate(
                settings,
                object_store,
                ledger,
                catalog=catalog,
                policy=policy,
                dt=dt,
                delivery_id=delivery_id,
                provenance=describe_run(provenance, packages=("great-expectations",)),
            )
            manifest_id = manifest.manifest_id
        else:
            manifest_id, checks = done.result["manifest_id"], _CHECKS.validate_python(done.result["checks"])
            log.info("%s: delivery %s is validated already as %s", where, delivery_id, manifest_id)
        refuse_broken(checks, settings, catalog_id=catalog_id, dt=dt, manifest_id=manifest_id)
        key = approval_key(catalog_id, dt, manifest_id)
        if ledger.attempts.committed(scope=APPROVED_SCOPE, key=key) is None:
            manifest = read_manifest(object_store, catalog_id, dt, manifest_id)
            # Read first: a head that grows meanwhile is another than this one, and is looked at again.
            head = ledger.partitions.head(catalog_id)
            limit = policy.quality.max_removed_share
            removal = check_removal(settings, object_store, ledger, manifest, head=head, limit=limit)
            result = {
                "delivery_id": delivery_id,
                "checks": [check.model_dump() for check in checks],
                "removed": removal.removed,
                "of_items": removal.items,
                "head_sequence": head.head_sequence,
            }
            ledger.attempts.commit(scope=APPROVED_SCOPE, key=key, attempt_id=attempt_id(), result=result)
    return manifest_id


def _validate(
    settings: Settings,
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog: Catalog,
    policy: IngestPolicy,
    dt: str,
    delivery_id: str,
    provenance: Provenance,
) -> tuple[Manifest, tuple[GateCheck, ...]]:
    from spark_jobs.validation.suites import images_suite, items_suite

    catalog_id, where = catalog.catalog_id, f"catalog {catalog.catalog_id} {dt}"
    candidates = _candidates(ledger.attempts, catalog_id=catalog_id, delivery_id=delivery_id, policy=policy)
    with scratch_folder(settings, "validate") as scratch:
        folder, docs_dir = scratch / "parts", scratch / "docs"
        folder.mkdir()
        split = split_candidates(object_store, candidates, folder=folder)
        manifest = _manifest(
            split,
            delivery=_delivery(object_store, catalog_id, dt, delivery_id),
            catalog=catalog,
            policy_digest=policy.rows_digest(),
        )
        counts = dict(split.rejected_by_reason)
        suites = [items_suite(policy, rejected_by_reason=counts, rows=split.rows_in), images_suite(policy)]
        run = run_suites(settings, object_store, parts=candidates, suites=suites, docs_dir=docs_dir)
        checks = gate_checks(run.outcomes)
        found = disagreements(run.outcomes, rejected_by_reason=counts, rows=split.rows_in)
        write_day_page(
            docs_dir,
            manifest=manifest,
            checks=checks,
            outcomes=run.outcomes,
            disagreements=found,
            examples=split.examples,
            bucket=object_store.bucket,
        )
        page = keep_local_copy(docs_dir, settings.state_dir / "data_docs" / catalog_id / dt)
        log.info("%s: Data Docs at %s", where, page.resolve().as_uri())
        refuse_disagreements(found, where=where)
        _write(object_store, ledger, manifest, split, provenance)
        # Other thresholds are another report on the same manifest.
        prefix = keys.report_prefix(catalog_id, dt, f"validation/{manifest.manifest_id}/{policy.digest()}")
        report = {
            "manifest_id": manifest.manifest_id,
            "engine": run.engine,
            "checks": [check.model_dump() for check in checks],
            "great_expectations": run.report,
        }
        publish_data_docs(object_store, docs_dir, prefix=prefix, report=report)
        log.info("%s: Data Docs published at s3://%s/%s/index.html", where, object_store.bucket, prefix)
    _record(ledger, manifest, checks, policy)
    log.info(
        "%s: %s, %d rows in = %d accepted + %d rejected %s",
        where,
        manifest.manifest_id,
        manifest.rows_in,
        manifest.rows_accepted,
        manifest.rows_rejected,
        manifest.rejected_by_reason,
    )
    return manifest, checks


def _candidates(attempts: Attempts, *, catalog_id: str, delivery_id: str, policy: IngestPolicy) -> list[PartFile]:
    key = profile_key(catalog_id, delivery_id, policy)
    profile = attempts.committed(scope="profile", key=key)
    if profile is None:
        raise ContractError(
            f"delivery {delivery_id} of catalog {catalog_id} has no profile under the present limits ({key}); run "
            f"`python -m spark_jobs profile --catalog {catalog_id} --delivery-id {delivery_id} --dt <day>` first"
        )
    return [PartFile(key=part["key"], rows=part["rows"], sha256=part["sha256"]) for part in profile.result["parts"]]


def _delivery(object_store: ObjectStore, catalog_id: str, dt: str, delivery_id: str) -> Delivery:
    key = f"{keys.delivery_prefix(catalog_id, dt, delivery_id)}/delivery.json"
    return Delivery.from_bytes(object_store.get_bytes(key))


def _manifest(split: SplitRows, *, delivery: Delivery, catalog: Catalog, policy_digest: str) -> Manifest:
    parts = [part.sha256 for part in split.parts]
    quarantine = [part.sha256 for part in split.quarantine_parts]
    manifest_id = content_id("manifest", [delivery.delivery_id, policy_digest, parts, quarantine])
    prefix = keys.manifest_prefix(delivery.catalog_id, delivery.dt, manifest_id)
    return Manifest(
        manifest_id=manifest_id,
        catalog_id=delivery.catalog_id,
        dt=delivery.dt,
        delivery_id=delivery.delivery_id,
        full=delivery.full,
        policy_digest=policy_digest,
        space=catalog.space,
        dimension=catalog.dimension,
        rows_in=split.rows_in,
        rows_accepted=split.rows_accepted,
        rows_rejected=split.rows_rejected,
        rows_deleted=split.rows_deleted,
        rejected_by_reason=dict(sorted(split.rejected_by_reason.items())),
        parts=tuple(part.stored_under(prefix) for part in split.parts),
        quarantine_parts=tuple(part.stored_under(prefix) for part in split.quarantine_parts),
    )


def _write(
    object_store: ObjectStore, ledger: Ledger, manifest: Manifest, split: SplitRows, provenance: Provenance
) -> None:
    """Writes parts, provenance and, last, the manifest; what a killed run left is kept, for it is the same bytes."""
    key = manifest_key(manifest.catalog_id, manifest.dt, manifest.manifest_id)
    if object_store.exists(key):
        return
    prefix = keys.manifest_prefix(manifest.catalog_id, manifest.dt, manifest.manifest_id)
    parts: Sequence[SplitPart] = (*split.parts, *split.quarantine_parts)
    for part in parts:
        if not object_store.exists(f"{prefix}/{part.name}"):
            object_store.put_file(f"{prefix}/{part.name}", part.path)
    put_provenance(object_store, ledger, prefix, provenance)
    object_store.put_bytes(key, manifest.to_bytes())


def _record(ledger: Ledger, manifest: Manifest, checks: tuple[GateCheck, ...], policy: IngestPolicy) -> None:
    attempt, described = attempt_id(), [check.model_dump() for check in checks]
    for check in checks:
        ledger.checks.record(
            catalog_id=manifest.catalog_id,
            check_name=check.check,
            subject_id=manifest.manifest_id,
            value=check.value,
            passed=check.passed,
            detail={"dt": manifest.dt, "limit": check.limit, "rows": check.rows},
        )
    # Last: while it is not there, a rerun does all of this again.
    ledger.attempts.commit(
        scope=_SCOPE,
        key=_validation_key(manifest.catalog_id, manifest.delivery_id, policy),
        attempt_id=attempt,
        result={"manifest_id": manifest.manifest_id, "checks": described},
    )


def _validation_key(catalog_id: str, delivery_id: str, policy: IngestPolicy) -> str:
    return f"{catalog_id}/{delivery_id}/{policy.digest()}"
