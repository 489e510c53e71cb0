"""The login of MLflow for commands that are run by hand: in the platform's own processes the environment holds it."""

from __future__ import annotations

import os

from vitrine.settings import Settings, read_env_file

_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def adopt_registry_login(settings: Settings) -> None:
    """Has MLflow's client log in as the env file says; called by entry points only, as it sets the environment.

    A login of the environment's own counts, and the file's is sent to no registry but the one that the file names.

    Raises:
        SettingsError: the file is malformed.
    """
    path = settings.env_file or settings.state_dir / "env"
    if any(name in os.environ for name in (*_LOGIN, "MLFLOW_TRACKING_TOKEN")) or not path.is_file():
        return
    known = read_env_file(path)
    if known.get("VITRINE_MLFLOW_TRACKING_URI") == settings.mlflow_tracking_uri:
        os.environ.update({name: known[name] for name in _LOGIN if name in known})
