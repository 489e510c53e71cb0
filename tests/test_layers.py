"""The architecture: imports run downwards, and what must stay light imports nothing heavy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("airflow", "pyspark", "mlflow", "great_expectations", "evidently", "torch", "transformers")


def test_the_layers_of_the_architecture_hold() -> None:
    lint = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_tests_of_the_library_import_no_stage() -> None:
    stages = "spark_runtime|spark_jobs|training|index_builder|monitoring|serving"
    stage = re.compile(rf"^\s*(?:from|import) (?:tests\.)?(?:{stages})\b", re.MULTILINE)

    found = [path for path in (ROOT / "tests" / "vitrine").rglob("*.py") if stage.search(path.read_text("utf-8"))]

    assert found == []


@pytest.mark.parametrize(
    "module",
    [
        "vitrine.connections",
        "vitrine.encoder",
        "vitrine.vector_index",
        "vitrine.item_table.table",
        "serving.application",
    ],
)
def test_the_library_and_the_search_tier_load_no_framework(module: str) -> None:
    script = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert loaded.stdout.split() == []


def test_pyspark_and_its_client_are_of_one_version() -> None:
    from importlib.metadata import version

    assert version("pyspark") == version("pyspark-client")
