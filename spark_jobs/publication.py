"""Publishing a partition: its manifest becomes the day's current one, once all of it can be searched."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from spark_jobs.removals import check_removal
from spark_jobs.validation.partition import APPROVED_SCOPE, approval_key
from vitrine.catalogs import get_catalog
from vitrine.connections import open_connections
from vitrine.errors import ContractError, GateError, SpaceMixError, StaleHeadError
from vitrine.head.reader import Unit, manifest_units, read_manifest
from vitrine.items.policy import IngestPolicy
from vitrine.ledger.attempts import EmbeddingBlocks
from vitrine.settings import Settings


def publish_partition(
    settings: Settings, *, catalog_id: str, dt: str, manifest_id: str, fingerprints: Sequence[str]
) -> int:
    """Makes a manifest the current one of its day and returns the head sequence, which moves only if that is news.

    Args:
        settings: of the platform.
        catalog_id, dt, manifest_id: which manifest.
        fingerprints: the encoders under which every unit must have a block.

    Raises:
        GateError: the manifest did not pass the partition gate, or would remove too large a share of the head as it is
            by now.
        SpaceMixError: the catalog is of another embedding space by now.
        ContractError: a unit has no block yet, or no encoder is named.
    """
    where = f"catalog {catalog_id} {dt}: manifest {manifest_id}"
    if not fingerprints:
        raise ContractError(f"{where} cannot be published under no encoder; name the fingerprint that embeds it")
    with open_connections(settings) as (object_store, ledger):
        manifest = read_manifest(object_store, catalog_id, dt, manifest_id)
        approval = ledger.attempts.committed(scope=APPROVED_SCOPE, key=approval_key(catalog_id, dt, manifest_id))
        if approval is None:
            raise GateError(
                f"{where} is not approved: it was refused by the partition gate, or validation was killed before its "
                "end; run `python -m spark_jobs validate` for its delivery, and see its quarantine"
            )
        catalog = get_catalog(settings.catalogs_file, catalog_id)
        if (manifest.space, manifest.dimension) != (catalog.space, catalog.dimension):
            raise SpaceMixError(
                f"{where} is of space {manifest.space!r} and dimension {manifest.dimension}, the catalog is of "
                f"{catalog.space!r} and {catalog.dimension}; deliver the day in the catalog's space"
            )
        units = manifest_units(object_store, manifest)
        for fingerprint in fingerprints:
            _check_covered(ledger.blocks, units, catalog_id=catalog_id, fingerprint=fingerprint, where=where)
        limit = IngestPolicy.of(catalog, settings).quality.max_removed_share
        judged_by = approval.result.get("head_sequence", -1)  # older approvals name none
        while True:
            try:
                return ledger.partitions.publish_manifest(
                    catalog_id=catalog_id,
                    dt=dt,
                    manifest_id=manifest_id,
                    delivery_id=manifest.delivery_id,
                    judged_by=judged_by,
                )
            except StaleHeadError:  # what it removes is another matter now
                head = ledger.partitions.head(catalog_id)
                check_removal(settings, object_store, ledger, manifest, head=head, limit=limit)
                judged_by = head.head_sequence


def _check_covered(
    blocks: EmbeddingBlocks, units: Collection[Unit], *, catalog_id: str, fingerprint: str, where: str
) -> None:
    committed = blocks.committed(
        catalog_id=catalog_id, fingerprint=fingerprint, source_ids={source_id for source_id, _ in units}
    )
    missing = sorted(set(units) - committed.keys())
    if missing:
        raise ContractError(
            f"{where} has {len(missing)} of {len(units)} units without a block under {fingerprint}, first "
            f"{missing[0][0]} row group {missing[0][1]}; run `python -m spark_jobs embed` for it"
        )
