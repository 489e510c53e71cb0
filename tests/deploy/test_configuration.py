"""The env file, the secrets and the ports of a platform."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from deploy.local import lifecycle, supervisor
from deploy.local.configuration import Configuration, configure, direct_connections, spark_connection, write_env_file
from deploy.local.layout import Layout
from tests.free_ports import free_port
from tests.platform_fixture import private_environment
from vitrine.errors import SettingsError
from vitrine.settings import Settings, read_env_file


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Folders of a platform of which nothing runs."""
    return Layout(tmp_path / "state")


def configure_lastingly(layout: Layout, environment: dict[str, str]) -> Configuration:
    configuration = configure(layout, environment)
    write_env_file(configuration)
    return configuration


def test_stages_run_by_hand_read_the_same_settings_from_the_env_file(layout: Layout) -> None:
    environment = {**private_environment(layout.state_dir), "VITRINE_SPARK_MASTER": "local[3]"}

    configuration = configure_lastingly(layout, environment)

    by_folder = Settings.from_environment({"VITRINE_STATE_DIR": str(layout.state_dir)})
    assert by_folder == configuration.settings
    assert by_folder.spark_master == "local[3]"
    by_file = Settings.from_environment({"VITRINE_ENV_FILE": str(layout.env_file)})
    assert by_file.model_copy(update={"env_file": None}) == configuration.settings


def test_every_folder_is_closed_and_every_file_with_secrets_too(layout: Layout) -> None:
    configure_lastingly(layout, private_environment(layout.state_dir))

    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [layout.state_dir, *layout.state_dir.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert layout.secrets_file in modes
    assert layout.airflow_passwords in modes


@pytest.mark.parametrize("chosen", [None, "a secret of my own", ""])
def test_the_secret_of_the_webhook_is_generated_unless_a_person_chose_one_or_none(
    layout: Layout, chosen: str | None
) -> None:
    environment = private_environment(layout.state_dir)
    if chosen is not None:
        environment["VITRINE_WEBHOOK_SECRET"] = chosen

    configure_lastingly(layout, environment)

    again = configure(layout, private_environment(layout.state_dir))
    assert again.webhook_secret == (again.credentials.webhook_secret if chosen is None else chosen)
    assert len(bytes.fromhex(again.credentials.webhook_secret)) == 32
    assert again.credentials.webhook_secret not in layout.env_file.read_text(encoding="utf-8")


def test_secrets_are_generated_once_and_long_enough(layout: Layout) -> None:
    first = configure(layout, private_environment(layout.state_dir)).credentials
    second = configure(layout, private_environment(layout.state_dir)).credentials

    assert first == second
    assert len(bytes.fromhex(first.airflow_jwt_secret)) == 64
    assert json.loads(layout.airflow_passwords.read_text()) == {"admin": first.airflow_password}
    assert first.airflow_password not in repr(first)


def test_a_port_that_was_chosen_once_stays_chosen(layout: Layout) -> None:
    chosen = private_environment(layout.state_dir)
    configure_lastingly(layout, chosen)
    silent = {name: value for name, value in chosen.items() if not name.endswith("_PORT")}

    again = configure(layout, silent)

    assert str(again.settings.search_port) == chosen["VITRINE_SEARCH_PORT"]
    assert again.settings.s3_endpoint_url == f"http://127.0.0.1:{chosen['VITRINE_S3_PORT']}"


def test_a_setting_that_names_another_database_is_refused_and_not_silently_replaced(layout: Layout) -> None:
    environment = {**private_environment(layout.state_dir), "VITRINE_DATABASE_URL": "postgresql://elsewhere/ledger"}

    with pytest.raises(SettingsError, match="VITRINE_DATABASE_URL is set in the environment"):
        configure(layout, environment)


def test_services_see_this_platform_and_not_the_users_other_clouds(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    configuration = configure(layout, private_environment(layout.state_dir))

    environment = configuration.service_environment()

    assert "AWS_PROFILE" not in environment
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environment["MLFLOW_TRACKING_URI"] == configuration.mlflow_url


def test_the_env_file_is_read_line_by_line_as_it_was_written(layout: Layout) -> None:
    configuration = configure_lastingly(layout, private_environment(layout.state_dir))

    assert read_env_file(layout.env_file) == dict(configuration.variables)


@pytest.mark.parametrize(
    "master", ["local[*]", "local[2]", "spark://head:7077", "local-cluster[2,1,1024]", "k8s://https://api:443"]
)
def test_airflow_reads_the_spark_master_back_from_its_connection(master: str) -> None:
    from airflow.sdk import Connection

    connection = Connection.from_uri(spark_connection(master), conn_id="spark_default")

    assert connection.host == master
    assert connection.port is None


def test_a_taken_port_is_named_with_the_setting_that_moves_it_and_nothing_is_started(layout: Layout) -> None:
    environment = private_environment(layout.state_dir)
    said: list[str] = []
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", int(environment["VITRINE_MLFLOW_PORT"])))
        taker.listen()

        with pytest.raises(SettingsError) as caught:
            lifecycle.up(layout, environment, report=said.append)

    message = str(caught.value)
    assert f"port {environment['VITRINE_MLFLOW_PORT']}, which mlflow needs, is taken" in message
    assert "VITRINE_MLFLOW_PORT=" in message
    assert said == []
    assert not layout.env_file.exists()
    assert supervisor.read_records(layout) == {}


def test_two_services_on_one_port_are_refused(layout: Layout) -> None:
    port = str(free_port())
    environment = {**private_environment(layout.state_dir), "VITRINE_MLFLOW_PORT": port, "VITRINE_SEARCH_PORT": port}

    with pytest.raises(SettingsError, match="is the port of another service of the platform too"):
        lifecycle.up(layout, environment, report=lambda _: None)


def test_ending_where_nothing_was_started_says_so_and_makes_nothing(layout: Layout) -> None:
    said: list[str] = []

    lifecycle.down(layout, report=said.append)

    assert said == ["nothing was started here"]
    assert not layout.state_dir.exists()


def test_a_folder_of_other_things_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    photos.chmod(0o755)
    (photos / "holiday.jpg").write_bytes(b"")

    with pytest.raises(SettingsError, match=r"holds other things \(holiday\.jpg\) and was not made by Vitrine"):
        Layout(photos).make()

    assert stat.S_IMODE(photos.stat().st_mode) == 0o755
    assert [path.name for path in photos.iterdir()] == ["holiday.jpg"]


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(SettingsError, match="can be written to by others"):
        Layout(tmp_path).make()


def test_an_empty_folder_and_one_in_which_stages_ran_before_are_taken_as_they_are(tmp_path: Path) -> None:
    used = tmp_path / "used"
    (used / "replicas").mkdir(parents=True)
    used.chmod(0o755)

    Layout(used).make()
    Layout(used).make()

    assert stat.S_IMODE(used.stat().st_mode) == 0o755
    assert stat.S_IMODE((used / "logs").stat().st_mode) == 0o700


def test_no_proxy_stands_between_the_services() -> None:
    found = direct_connections({"NO_PROXY": "intranet", "HTTP_PROXY": "http://proxy:3128"})

    assert found == dict.fromkeys(("NO_PROXY", "no_proxy"), "intranet,127.0.0.1,localhost")
    assert direct_connections(found) == found


@pytest.mark.parametrize("text", ["", "[]", "null"])
def test_secrets_that_cannot_be_read_are_not_replaced_by_others(layout: Layout, text: str) -> None:
    configure_lastingly(layout, private_environment(layout.state_dir))
    layout.secrets_file.write_text(text)

    with pytest.raises(SettingsError, match=r"secrets\.json cannot be read as JSON.*restore it"):
        configure(layout, private_environment(layout.state_dir))

    assert layout.secrets_file.read_text() == text
