"""What the platform's commands tell a person."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from deploy.local.configuration import configure
from deploy.local.layout import Layout
from deploy.local.summary import print_places
from tests.platform_fixture import private_environment


def test_each_service_that_asks_for_a_login_is_shown_with_its_own(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "platform")
    configuration = configure(layout, private_environment(layout.state_dir))
    shown = io.StringIO()

    print_places(configuration, Console(file=shown, width=500))

    credentials = configuration.credentials
    assert f"{configuration.mlflow_url}  login admin / {credentials.mlflow_password}\n" in shown.getvalue()
    assert f"{configuration.airflow_url}  login admin / {credentials.airflow_password}\n" in shown.getvalue()
    assert credentials.mlflow_password != credentials.airflow_password
