"""One platform for all end-to-end tests, and on it a small demo catalog, ingested day by day to a live release."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.private_platform import draw_days
from deploy.local import catalog_runs, demo
from deploy.local.airflow_api import DagRun
from deploy.local.catalog_runs import CatalogState
from deploy.local.watching.run_watch import dag_ids, wait_for_dags, wait_for_runs
from tests.platform_fixture import Platform
from tests.recorded.main_job import main_job
from vitrine.catalogs import Catalog

ROOT = Path(__file__).resolve().parents[2]
CATALOG_ID = "demo"
DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")
LATER_DAY = "2026-11-04"
HTTP_TIMEOUT_S = 120.0  # of one request to a service that may share its cores with others
SHARES = ("max_reject_share", "max_undecodable_share", "max_missing_image_share", "max_duplicate_id_share")


@dataclass(frozen=True)
class Released:
    """The catalog after its first three days.

    Attributes:
        state: of the ledger.
        runs: that led there.
        live: what `GET /v1/release` answered.
        left: the shapes of the keys, the rows and the tasks that they left behind.
    """

    state: CatalogState
    runs: tuple[DagRun, ...]
    live: dict[str, object]
    left: dict[str, Any]


@pytest.fixture(scope="session")
def deliveries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of four days of the demo catalog, few enough to be quick, with planted faults."""
    folder = tmp_path_factory.mktemp("demo") / "catalog"
    return draw_days(folder, first=DAYS[0], days=len(DAYS) + 1, rows=120)


@pytest.fixture(scope="session")
def released(platform: Platform, deliveries: dict[str, str]) -> Released:
    """Three partitions, triggered through the REST API all at once, up to a live release."""
    demo.register_encoder(platform.configuration, lambda _: None)
    # Shares of a few faults among few rows are large.
    catalog = Catalog.model_validate({"catalog_id": CATALOG_ID, "quality": dict.fromkeys(SHARES, 0.5)})
    since = datetime.datetime.now(datetime.UTC)

    catalog_runs.ingest(
        platform.configuration,
        catalog,
        sources={dt: deliveries[dt] for dt in DAYS},
        report=lambda _: None,
    )

    runs = platform.airflow.runs_since(since, dag_ids=dag_ids(CATALOG_ID))
    state = catalog_runs.read_catalog_state(platform.configuration, CATALOG_ID)
    left = main_job(platform.configuration, catalog_id=CATALOG_ID, shapes=True)
    return Released(state=state, runs=tuple(runs), live=live_release(platform), left=left)


@pytest.fixture(scope="session")
def run_to_the_end(platform: Platform) -> Callable[[Callable[[], object]], list[DagRun]]:
    """Does something that makes runs and waits until none of the catalog's is left; fails when one fails."""

    def until_done(start: Callable[[], object]) -> list[DagRun]:
        wait_for_dags(platform.airflow, dag_ids(CATALOG_ID))
        since = datetime.datetime.now(datetime.UTC)
        start()
        return wait_for_runs(platform.airflow, dag_ids(CATALOG_ID), since=since)

    return until_done


def live_release(platform: Platform, catalog_id: str = CATALOG_ID) -> dict[str, object]:
    """Returns what the search tier says is live."""
    answer = httpx.get(f"{platform.search_url}/v1/release", params={"catalog": catalog_id}, timeout=HTTP_TIMEOUT_S)
    answer.raise_for_status()
    return dict(answer.json())
