"""A drawn catalog of 60 items, and encoders of the smallest kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_clip import write_tiny_clip
from training.evaluate.catalogs.catalog import EvaluationCatalog, read_evaluation_catalog
from vitrine.settings import Settings


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo catalog with studio pictures, user photos, a scene and faults."""
    from examples.demo_catalog import generate_catalog

    folder = tmp_path_factory.mktemp("evaluate") / "demo"
    generate_catalog(str(folder), items=60, seed=5, days=2)
    return folder


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> EvaluationCatalog:
    """The same, read."""
    return read_evaluation_catalog(demo_folder, Settings())


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two encoder folders with random weights."""
    return (
        write_tiny_clip(tmp_path_factory.mktemp("a") / "tiny", seed=0),
        write_tiny_clip(tmp_path_factory.mktemp("b") / "tiny", seed=1),
    )
