"""A platform whose MLflow kept artifacts on the S3 server: they move to MLflow's own folder, and stay readable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.configuration import Configuration, configure
from deploy.local.layout import Layout
from deploy.local.mlflow_artifacts import take_over_artifacts
from tests.platform_fixture import private_environment

MODEL = "1/models/m-1/artifacts/model.safetensors"
NOTE = "2/run/artifacts/a/b/note.txt"


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[Configuration]:
    """A platform of which nothing runs, with two artifacts in the bucket `mlflow`."""
    layout = Layout(tmp_path / "platform")
    yield configure(layout, private_environment(layout.state_dir))


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_artifacts_move_with_their_paths_and_the_bucket_goes(configuration: Configuration) -> None:
    layout = configuration.layout
    written(layout.s3 / "mlflow" / "artifacts", {MODEL: "weights", NOTE: "note"})

    moved = [take_over_artifacts(configuration) for _ in range(2)]

    assert moved == [2, 0]
    assert {name: (layout.mlflow_artifacts / name).read_text() for name in (MODEL, NOTE)} == {
        MODEL: "weights",
        NOTE: "note",
    }
    assert not (layout.s3 / "mlflow").exists()


def test_a_move_that_was_cut_short_goes_on_and_replaces_nothing(configuration: Configuration) -> None:
    layout = configuration.layout
    written(layout.s3 / "mlflow" / "artifacts", {MODEL: "old", NOTE: "note"})
    written(layout.mlflow_artifacts, {MODEL: "weights"})

    moved = take_over_artifacts(configuration)

    assert moved == 1
    assert (layout.mlflow_artifacts / MODEL).read_text() == "weights"
    assert (layout.mlflow_artifacts / NOTE).read_text() == "note"


@pytest.mark.parametrize("bucket", ["mlflow", "vitrine"])
def test_what_else_lies_in_the_bucket_stays(configuration: Configuration, bucket: str) -> None:
    changed = configuration.settings.model_copy(update={"bucket": bucket})
    configured = Configuration(
        configuration.layout, configuration.credentials, changed, configuration.variables, configuration.chosen
    )
    folder = written(configuration.layout.s3 / "mlflow", {"demo/blocks/block": "vectors"})

    moved = take_over_artifacts(configured)

    assert moved == 0
    assert (folder / "demo/blocks/block").read_text() == "vectors"


def test_a_bucket_that_a_person_chose_is_not_removed_with_the_artifacts(configuration: Configuration) -> None:
    layout = configuration.layout
    changed = configuration.settings.model_copy(update={"bucket": "mlflow"})
    configured = Configuration(
        layout, configuration.credentials, changed, configuration.variables, configuration.chosen
    )
    written(layout.s3 / "mlflow" / "artifacts", {NOTE: "note"})

    take_over_artifacts(configured)

    assert (layout.s3 / "mlflow").is_dir()
    assert not (layout.s3 / "mlflow" / "artifacts").exists()
