"""A whole private platform for end-to-end tests: every service, on free ports and in a folder of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.evidence import evidence, tails
from tests.free_ports import free_ports

if TYPE_CHECKING:
    from deploy.local.airflow_api import AirflowApi
    from deploy.local.configuration import Configuration
    from deploy.local.credentials import Credentials
    from deploy.local.layout import Layout
    from vitrine.settings import Settings

_PORT_SETTINGS = ("VITRINE_SEARCH_PORT", "VITRINE_AIRFLOW_PORT", "VITRINE_MLFLOW_PORT", "VITRINE_S3_PORT")


@dataclass(frozen=True)
class Platform:
    """One running platform.

    Attributes:
        configuration: what the platform's own commands work with, e.g. `deploy.local.catalog_runs.ingest`.
        settings: that every stage reads.
        credentials: its generated secrets.
        env: the environment in which a stage, `airflow` or `spark-submit` finds this platform.
        search_url, airflow_url, mlflow_url, s3_url: without a trailing slash.
        airflow: a logged-in client of Airflow's REST API.
    """

    configuration: Configuration
    settings: Settings
    credentials: Credentials
    env: dict[str, str]
    search_url: str
    airflow_url: str
    mlflow_url: str
    s3_url: str
    airflow: AirflowApi


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A running platform with nothing in it; it ends with its last test, and a running demo is untouched."""
    from deploy.local import catalog_runs, lifecycle, processes
    from deploy.local.credentials import load_or_generate
    from deploy.local.layout import Layout

    # Not under pytest's own folder, whose length is the user's: a Unix socket's path is short.
    state_dir = Path(tempfile.mkdtemp(prefix="vitrine-test-"))
    layout = Layout(state_dir)
    try:
        try:
            configuration = lifecycle.up(layout, private_environment(state_dir), report=lambda _: None)
        except Exception as error:
            error.add_note(_logs(layout))  # the folder is gone when the failure is reported
            raise
        airflow = catalog_runs.open_airflow(configuration)
        with evidence("platform", lambda: _logs(layout)):
            yield Platform(
                configuration=configuration,
                settings=configuration.settings,
                credentials=configuration.credentials,
                env=configuration.service_environment(),
                search_url=configuration.search_url,
                airflow_url=configuration.airflow_url,
                mlflow_url=configuration.mlflow_url,
                s3_url=configuration.s3_url,
                airflow=airflow,
            )
        airflow.close()
    finally:
        lifecycle.down(layout, report=lambda _: None)
        left = processes.find_ours([], mark=load_or_generate(layout).mark, state_dir=state_dir)
        shutil.rmtree(state_dir, ignore_errors=True)
    assert left == set(), f"make down left processes running: {left}"


def private_environment(state_dir: Path) -> dict[str, str]:
    """Returns an environment whose platform shares neither folder nor port with any other."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
    ports = dict(zip(_PORT_SETTINGS, map(str, free_ports(len(_PORT_SETTINGS))), strict=True))
    # So seldom that it is the webhook by which a move of the alias is noticed.
    return {**inherited, **ports, "VITRINE_STATE_DIR": str(state_dir), "VITRINE_PROMOTION_POLL_S": "3600"}


def _logs(layout: Layout) -> str:
    """Returns how the log of each service ends, and those of the tasks that wrote last."""
    tasks = sorted(layout.airflow_home.glob("logs/dag_id=*/**/*.log"), key=lambda path: path.stat().st_mtime)
    return tails(sorted(layout.logs.glob("*.log"))) + "\n" + tails(tasks[-4:])
