"""A day that nobody delivered for is skipped, not failed."""

from __future__ import annotations

import logging

from airflow.sdk.exceptions import AirflowSkipException

from vitrine.catalogs import get_catalog
from vitrine.connections import open_ledger
from vitrine.settings import Settings

log = logging.getLogger(__name__)


def record_or_skip(
    settings: Settings,
    *,
    catalog_id: str,
    dt: str,
    source: str | None,
    full: bool,
    provenance: dict[str, str],
    removal_is_meant: bool = False,
) -> str:
    """Records the day's delivery and returns its id.

    Without a source in the form, the recorded delivery of the day is redone; without one, the declared source is taken.

    Raises:
        AirflowSkipException: there is none of the three.
        DeliveryError: the delivery cannot be read.
    """
    declared = get_catalog(settings.catalogs_file, catalog_id).source
    if source is None and declared is None and not _is_recorded(settings, catalog_id, dt):
        message = (
            f"catalog {catalog_id} has no delivery for {dt}: none was recorded, the catalog declares no source, and "
            "the run names none; trigger the day again with a source"
        )
        log.warning(message)  # Airflow shows no reason beside a skipped task
        raise AirflowSkipException(message)
    from spark_jobs.deliveries.recording import record_delivery

    # None leaves a recorded delivery as full as it was recorded.
    return record_delivery(
        settings,
        catalog_id=catalog_id,
        dt=dt,
        source=source,
        full=full or None,
        removal_is_meant=removal_is_meant,
        provenance=provenance,
    )


def _is_recorded(settings: Settings, catalog_id: str, dt: str) -> bool:
    ledger = open_ledger(settings)
    try:
        return ledger.partitions.current_delivery(catalog_id=catalog_id, dt=dt) is not None
    finally:
        ledger.close()
