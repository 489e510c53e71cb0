"""MLflow's client, and how the versions of the one registered model are found in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vitrine.errors import RegistryError
from vitrine.processes.state import environment, environment_defaults
from vitrine.settings import Settings

MODEL_NAME = "vitrine-encoder"
CHAMPION = "champion"
FINGERPRINT_TAG = "vitrine.fingerprint"
DIMENSION_TAG = "vitrine.dimension"


@contextmanager
def registry_client(settings: Settings) -> Iterator[Any]:
    """Opens MLflow's client; its errors and the network's become RegistryError.

    In the block MLflow's fluent functions, such as `mlflow.start_run`, ask the same server.
    """
    uri = settings.mlflow_tracking_uri
    with (
        # The first is read while mlflow is imported; without the second it tries again for minutes.
        environment_defaults(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_HTTP_REQUEST_MAX_RETRIES="3"),
        environment(MLFLOW_TRACKING_URI=uri, MLFLOW_REGISTRY_URI=uri),
    ):
        import mlflow
        import requests
        from mlflow.exceptions import MlflowException

        try:
            yield mlflow.MlflowClient(uri, uri)
        except (MlflowException, requests.RequestException) as error:
            raise RegistryError(f"MLflow at {uri} failed: {error}; is it running (make status)?") from error


def champion_version(client: Any) -> Any | None:
    """Returns the version that the alias names."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(MODEL_NAME, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def registered_version(client: Any, fingerprint: str) -> str | None:
    """Returns the oldest whole version with that fingerprint."""
    versions = client.search_model_versions(f"name = '{MODEL_NAME}'")
    same = [
        int(version.version)
        for version in versions
        if version.tags.get(FINGERPRINT_TAG) == fingerprint and version.status == "READY"
    ]
    return str(min(same)) if same else None
