"""Parses the DAG files as Airflow's DAG processor does, with a home and a catalogs file of the tests' own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

ROOT = Path(__file__).resolve().parents[2]

# Airflow reads these once, when it is first imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="vitrine-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__PLUGINS_FOLDER", str(ROOT / "plugins"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
# 30 s by default, in which a busy machine does not import Airflow.
os.environ.setdefault("AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT", "600")

CATALOGS = """catalogs:
  demo:
    title: Fashion and home
  shop:
    space: vectors
    dimension: 64
    schedule: "0 0 * * *"
"""


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], DagBag]]:
    """Parses all DAG files under a catalogs file of the given text."""
    from airflow.dag_processing.dagbag import DagBag

    catalogs_file = tmp_path / "catalogs.yaml"
    monkeypatch.setenv("VITRINE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("VITRINE_CATALOGS_FILE", str(catalogs_file))

    def parse_under(catalogs: str) -> DagBag:
        catalogs_file.write_text(catalogs)
        return DagBag(ROOT / "dags", bundle_name="dags-folder")

    yield parse_under


@pytest.fixture
def dag_bag(parse: Callable[[str], DagBag]) -> DagBag:
    """All DAGs of two catalogs, `demo` and `shop`."""
    return parse(CATALOGS)
