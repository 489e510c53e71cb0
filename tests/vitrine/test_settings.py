"""Settings come from the environment and the env file, and say which variable is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitrine.errors import SettingsError
from vitrine.settings import Settings
from vitrine.settings_page import settings_page

ROOT = Path(__file__).resolve().parents[2]


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# local\nVITRINE_S3_PORT=9100\nVITRINE_SEARCH_PORT=8100\nAWS_REGION=x\n")

    settings = Settings.from_environment({"VITRINE_STATE_DIR": str(tmp_path), "VITRINE_SEARCH_PORT": "8200"})

    assert (settings.s3_port, settings.search_port) == (9100, 8200)


def test_settings_survive_the_way_through_an_environment(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "VITRINE_STATE_DIR": str(tmp_path),
            "VITRINE_DATABASE_URL": "postgresql://u:p@h/d",
            "VITRINE_S3_SECRET_KEY": "k",
        }
    )

    assert Settings.from_environment(settings.to_environment()) == settings


def test_a_secret_does_not_show_when_settings_are_printed(tmp_path: Path) -> None:
    settings = Settings.from_environment({"VITRINE_STATE_DIR": str(tmp_path), "VITRINE_S3_SECRET_KEY": "hush"})

    assert "hush" not in repr(settings)


def test_a_malformed_value_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="VITRINE_SEARCH_PORT='many'"):
        Settings.from_environment({"VITRINE_STATE_DIR": str(tmp_path), "VITRINE_SEARCH_PORT": "many"})


@pytest.mark.parametrize("replica_id", ["../elsewhere", "a/b", "Replica", "-", "."])
def test_a_replica_is_named_by_what_can_name_a_folder(tmp_path: Path, replica_id: str) -> None:
    environment = {"VITRINE_STATE_DIR": str(tmp_path), "VITRINE_REPLICA_ID": replica_id}

    with pytest.raises(SettingsError, match="VITRINE_REPLICA_ID"):
        Settings.from_environment(environment)


def test_an_unknown_variable_is_refused_rather_than_ignored(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="VITRINE_SERCH_PORT is not a Vitrine setting"):
        Settings.from_environment({"VITRINE_STATE_DIR": str(tmp_path), "VITRINE_SERCH_PORT": "8000"})


def test_a_line_of_the_env_file_that_is_no_assignment_is_named(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("VITRINE_S3_PORT=9100\nnonsense\n")

    with pytest.raises(SettingsError, match="env:2"):
        Settings.from_environment({"VITRINE_STATE_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"VITRINE_SEARCH_HOST": "10.0.0.7", "VITRINE_SEARCH_PORT": "8001"}, "http://10.0.0.7:8001"),
        ({"VITRINE_SEARCH_HOST": "fd00::7"}, "http://[fd00::7]:8000"),
        ({"VITRINE_SEARCH_HOST": "0.0.0.0", "VITRINE_SEARCH_URL": "https://search/here/"}, "https://search/here"),
    ],
)
def test_a_replica_announces_where_it_listens_unless_it_is_told_a_url(variables: dict[str, str], url: str) -> None:
    assert Settings.from_environment(variables).advertised_search_url == url


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0"])
def test_a_replica_that_listens_everywhere_needs_a_url(host: str) -> None:
    with pytest.raises(SettingsError, match="VITRINE_SEARCH_URL"):
        _ = Settings.from_environment({"VITRINE_SEARCH_HOST": host}).advertised_search_url


@pytest.mark.parametrize("url", ["search:8000", "http://user:secret@search", "ftp://search", "http://search/?a=b"])
def test_an_announced_url_is_of_http_and_carries_no_login(url: str) -> None:
    with pytest.raises(SettingsError, match="VITRINE_SEARCH_URL"):
        Settings.from_environment({"VITRINE_SEARCH_URL": url})


def test_the_settings_page_is_the_one_that_the_code_makes() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    assert page == settings_page(), "run `python -m vitrine settings > docs/settings.md`"
