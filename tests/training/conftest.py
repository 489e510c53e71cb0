"""A real MLflow server, and settings that point at it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.conftest import new_ledger
from tests.evidence import evidence, tails
from tests.free_ports import free_port
from vitrine.settings import Settings


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running `mlflow server`."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        uri = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 900
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=30):
                break
            time.sleep(0.3)
        else:
            pytest.fail(f"MLflow did not start: {(folder / 'log').read_text()[-2000:]}")
        with evidence("mlflow_uri", lambda: tails([folder / "log"])):
            yield uri
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            os.killpg(process.pid, signal.SIGKILL)  # nothing in it is kept
        process.wait(timeout=300)


@pytest.fixture(scope="session")
def quiet_database_url(postgres_uri: str) -> str:
    """SQLAlchemy URL of a migrated ledger in which nothing is ever live: a first champion is chosen only there."""
    return new_ledger(postgres_uri)


@pytest.fixture
def registry_settings(settings: Settings, mlflow_uri: str, quiet_database_url: str) -> Iterator[Settings]:
    """Settings with an empty registry; encoders are published once for all tests, since converting takes seconds."""
    import mlflow
    from mlflow.exceptions import MlflowException

    yield settings.model_copy(
        update={
            "mlflow_tracking_uri": mlflow_uri,
            "bucket": "registered-encoders",
            "database_url": SecretStr(quiet_database_url),
        }
    )
    with contextlib.suppress(MlflowException):
        mlflow.MlflowClient(mlflow_uri, mlflow_uri).delete_registered_model("vitrine-encoder")
