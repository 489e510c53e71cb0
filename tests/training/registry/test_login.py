"""The login of MLflow for commands that are run by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from training.registry.login import adopt_registry_login
from vitrine.settings import Settings

URI = "http://127.0.0.1:5017"
LOGIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "from the file"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a platform whose env file names its MLflow with a login; the environment names none."""
    for name in (*LOGIN, "MLFLOW_TRACKING_TOKEN"):
        # Set and unset, so that what the code sets is undone with the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    lines = [f"VITRINE_MLFLOW_TRACKING_URI={URI}", *(f"{name}={value}" for name, value in LOGIN.items())]
    (tmp_path / "env").write_text("\n".join(lines))
    return Settings.from_environment({"VITRINE_STATE_DIR": str(tmp_path)})


def adopted() -> dict[str, str]:
    return {name: os.environ[name] for name in LOGIN if name in os.environ}


def test_a_command_by_hand_logs_in_as_the_env_file_says(settings: Settings) -> None:
    adopt_registry_login(settings)

    assert adopted() == LOGIN


def test_the_files_login_is_sent_to_no_other_registry(settings: Settings) -> None:
    adopt_registry_login(settings.model_copy(update={"mlflow_tracking_uri": "https://mlflow.example"}))

    assert adopted() == {}


@pytest.mark.parametrize("name", [*LOGIN, "MLFLOW_TRACKING_TOKEN"])
def test_a_login_of_the_environment_counts(settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "own")

    adopt_registry_login(settings)

    assert adopted() == ({} if name == "MLFLOW_TRACKING_TOKEN" else {name: "own"})
