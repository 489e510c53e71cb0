"""Whose turn it is among the builds of one promotion: few are under way at a time.

The ledger says which catalogs a promotion still builds, the declarations in which order, and Airflow which of them go
on. Nobody is held up by a catalog that has failed, that was never begun, or that waits for an ingest of its own. One
that gets a delivery meanwhile, or that a person asks for a build of, does not wait: its new items would. Of those
that go side by side, slots go to the one that has come furthest.
"""

from __future__ import annotations

import re
from contextlib import closing
from itertools import islice, takewhile

from vitrine.catalogs import in_turn, read_catalogs
from vitrine.settings import Settings
from vitrine_airflow import airflow_runs

_PROMOTED = re.compile(r"promotion-(\d+)-")


def promoted_run_id(sequence: int, fingerprint: str) -> str:
    """Returns the run id of the build that a promotion asks a catalog for; one move of the alias asks once."""
    return f"promotion-{sequence}-{fingerprint[:40]}"


def catalogs_before(settings: Settings, *, catalog_id: str, run_id: str) -> list[str] | None:
    """Returns the catalogs that a build waits for: from the first before it in turn that goes on, in their order.

    The list is empty while fewer than `promotion_catalogs_at_once` go on, and for a build that no promotion asked for.
    None in place of a list: the alias has moved on, and the build is no longer wanted.
    """
    states = _states(settings, run_id)
    if states.get(catalog_id) == "superseded":
        return None
    if states.get(catalog_id) != "building" or airflow_runs.has_queued_build(catalog_id):
        return []
    order = in_turn(read_catalogs(settings.catalogs_file), default=settings.default_catalog)
    ahead = list(takewhile(lambda other: other != catalog_id, order))
    ahead = [other for other in ahead if states.get(other) == "building"]
    going_on = list(islice((other for other in ahead if _goes_on(other, run_id)), settings.promotion_catalogs_at_once))
    if len(going_on) < settings.promotion_catalogs_at_once:
        return []
    return ahead[ahead.index(going_on[0]) :]


def _states(settings: Settings, run_id: str) -> dict[str, str]:
    """How far each catalog has come with the promotion that asked for a build."""
    from vitrine.connections import open_ledger  # the DAG files import this module, and a parse opens no ledger

    promoted = _PROMOTED.match(run_id)
    if promoted is None:
        return {}
    with closing(open_ledger(settings)) as ledger:
        return {row.catalog_id: row.state for row in ledger.promotions.catalogs_of(int(promoted.group(1)))}


def _goes_on(catalog_id: str, run_id: str) -> bool:
    """Tells whether a catalog builds or releases, or is about to."""
    # A release that goes from queued to running while its build ends would be seen by neither question the other way
    # round: the turn would go to the next catalog.
    if airflow_runs.is_building(catalog_id) and (
        airflow_runs.has_begun(catalog_id, run_id) or not airflow_runs.is_ingesting(catalog_id)
    ):
        return True
    return airflow_runs.is_releasing(catalog_id)
