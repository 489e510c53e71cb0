"""Our MLflow server: what it relies on inside MLflow is there, and it says which setting it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.mlflow_server import main, server_variables


def test_the_variables_are_those_that_mlflow_reads() -> None:
    from mlflow.environment_variables import _MLFLOW_SGI_NAME
    from mlflow.server import constants

    expected = {
        constants.BACKEND_STORE_URI_ENV_VAR: "sqlite:///x",
        constants.REGISTRY_STORE_URI_ENV_VAR: "sqlite:///x",
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: "file:///artifacts",
        _MLFLOW_SGI_NAME.name: "uvicorn",
    }

    assert server_variables("sqlite:///x", Path("/artifacts")) == expected


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("MLFLOW_TRACKING_USERNAME", "without a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ("MLFLOW_TRACKING_PASSWORD", "without a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ("MLFLOW_BACKEND_STORE_URI", "without a database: set MLFLOW_BACKEND_STORE_URI"),
    ],
)
@pytest.mark.parametrize("is_empty", [False, True])
def test_it_says_which_setting_it_lacks(
    missing: str, sentence: str, is_empty: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_BACKEND_STORE_URI"):
        monkeypatch.setenv(name, "given")
    if is_empty:
        monkeypatch.setenv(missing, "")
    else:
        monkeypatch.delenv(missing)

    with pytest.raises(SystemExit, match=sentence):
        main(["--port", "1", "--artifacts", str(tmp_path)])
