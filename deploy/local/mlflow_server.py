"""MLflow's server in one process, behind a door of ours: `python -m deploy.local.mlflow_server --port … --artifacts …`.

`mlflow server` can put nothing before its routes, and starts a second process that outlives it. Secrets come by the
environment: MLFLOW_BACKEND_STORE_URI, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from deploy.local.mlflow_door import Door

HOST = "127.0.0.1"
_ASSISTANT = "/assistant/"


def main(arguments: list[str] | None = None) -> int:
    """Serves until the process is told to end."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.mlflow_server", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help=f"on {HOST}")
    parser.add_argument("--artifacts", type=Path, required=True, help="the one folder that artifacts lie in")
    options = parser.parse_args(arguments)
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    if not user or not password:
        sys.exit("MLflow is not started without a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    backend_store_uri = os.environ.get("MLFLOW_BACKEND_STORE_URI")
    if not backend_store_uri:
        sys.exit("MLflow is not started without a database: set MLFLOW_BACKEND_STORE_URI, such as postgresql://…")
    hosts = [f"{name}:{options.port}" for name in (HOST, "localhost")]
    origins = [f"http://{host}" for host in hosts]
    # Read while MLflow is imported.
    os.environ.update(server_variables(backend_store_uri, options.artifacts))
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(hosts)
    os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)

    import uvicorn

    app = confined_app(options.artifacts)
    door = Door(app, user=user, password=password, hosts=frozenset(hosts), origins=frozenset(origins))
    uvicorn.run(
        door,
        host=HOST,
        port=options.port,
        log_config=_log_config(),
        # A header of the request would name the address it comes from.
        proxy_headers=False,
        server_header=False,
    )
    return 0


def server_variables(backend_store_uri: str, artifacts: Path) -> dict[str, str]:
    """Returns the variables by which `mlflow server` tells its workers what they serve."""
    return {
        "_MLFLOW_SERVER_FILE_STORE": backend_store_uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": backend_store_uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts.resolve().as_uri(),
        "_MLFLOW_SGI_NAME": "uvicorn",
    }


def confined_app(artifacts: Path) -> Any:
    """Returns MLflow's ASGI application, its database brought up to date, that opens artifacts in one folder only."""
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    confine_artifacts(artifacts)
    # It runs commands on this machine for whoever asks from it.
    app.router.routes[:] = [route for route in app.router.routes if _ASSISTANT not in getattr(route, "path", "")]
    uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
    initialize_backend_stores(uri, uri, "mlflow-artifacts:/")
    return app


def confine_artifacts(folder: Path) -> None:
    """Has MLflow, in this process, open artifacts below `folder`, and none anywhere else.

    Who may log in may name any location as a model's source or an experiment's folder. MLflow would open it with the
    rights of this process: files of this machine, object stores, other hosts.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_registered_artifact_repositories
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    root = folder.resolve()

    class ConfinedRepository(LocalArtifactRepository):
        """Artifacts below the one folder."""

        def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
            super().__init__(artifact_uri, tracking_uri, registry_uri)
            if not Path(self.artifact_dir).resolve().is_relative_to(root):
                refuse(artifact_uri)

    def refuse(artifact_uri: str, *_: object, **__: object) -> None:
        raise MlflowException.invalid_parameter_value(
            f"{artifact_uri[:200]!r} is not among this server's artifacts, and it opens no others; log artifacts "
            "through it (mlflow-artifacts:/)"
        )

    repositories: dict[str, Any] = get_registered_artifact_repositories()
    for scheme in repositories:
        # The last two lead to one of the others, by what the database says of a run or a model.
        if scheme not in ("mlflow-artifacts", "runs", "models"):
            repositories[scheme] = refuse
    repositories["file"] = repositories[""] = ConfinedRepository


def _log_config() -> str:
    import mlflow.server

    return str(Path(mlflow.server.__file__).with_name("uvicorn_log_config.yaml"))


if __name__ == "__main__":
    sys.exit(main())
