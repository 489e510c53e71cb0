"""What our MLflow server relies on inside MLflow: it must be there under these names."""

from __future__ import annotations

from pathlib import Path

from deploy.local.mlflow_server import server_variables


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
