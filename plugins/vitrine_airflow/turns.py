"""Whose turn it is among the builds of one promotion: a catalog that has begun is released before the next begins.

The ledger says which catalogs a promotion still builds, the declarations in which order, and Airflow which of them go
on. Nobody is held up by a catalog that has failed, that was never begun, or that waits for an ingest of its own. One
that gets a delivery meanwhile, or that a person asks for a build of, does not wait: its new items would.
"""

from __future__ import annotations

import re
from contextlib import closing

from vitrine.catalogs import in_turn, read_catalogs
from vitrine.settings import Settings
from vitrine_airflow import airflow_runs

_PROMOTED = re.compile(r"promotion-(\d+)-")


def promoted_run_id(sequence: int, fingerprint: str) -> str:
    """Returns the run id of the build that a promotion asks a catalog for; one move of the alias asks once."""
    return f"promotion-{sequence}-{fingerprint[:40]}"


def catalogs_before(settings: Settings, *, catalog_id: str, run_id: str) -> list[str]:
    """Returns the catalogs that a build waits for: from the first before it in turn that goes on, in their order.

    A build that no promotion asked for, or whose promotion counts no more, waits for none.
    """
    ahead = _ahead(settings, catalog_id=catalog_id, run_id=run_id)
    if not ahead or airflow_runs.has_queued_build(catalog_id):
        return []
    for position, other in enumerate(ahead):
        if _goes_on(other, run_id):
            return ahead[position:]
    return []


def _ahead(settings: Settings, *, catalog_id: str, run_id: str) -> list[str]:
    from vitrine.connections import open_ledger  # the DAG files import this module, and a parse opens no ledger

    promoted = _PROMOTED.match(run_id)
    if promoted is None:
        return []
    with closing(open_ledger(settings)) as ledger:
        rows = ledger.promotions.catalogs_of(int(promoted.group(1)))
    building = {row.catalog_id for row in rows if row.state == "building"}
    order = in_turn(read_catalogs(settings.catalogs_file), default=settings.default_catalog)
    if catalog_id not in building or catalog_id not in order:
        return []
    return [other for other in order[: order.index(catalog_id)] if other in building]


def _goes_on(catalog_id: str, run_id: str) -> bool:
    """Tells whether a catalog builds or releases, or is about to."""
    if airflow_runs.is_releasing(catalog_id):
        return True
    if not airflow_runs.is_building(catalog_id):
        return False
    return airflow_runs.has_begun(catalog_id, run_id) or not airflow_runs.is_ingesting(catalog_id)
