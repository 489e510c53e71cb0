"""`make up` with a checkpoint registers it in a real MLflow; only a person moves an alias once something is live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

import deploy.local.__main__ as local
from deploy.local import lifecycle
from deploy.local.configuration import configure
from deploy.local.demo import DemoError, register_encoder
from deploy.local.layout import Layout
from tests.conftest import new_database
from tests.replicas.tiny_release import publish_tiny_release
from tests.training.tiny_training import write_base_model
from training.registry.client import MODEL_NAME
from training.registry.versions import register_bootstrap, resolve_champion
from vitrine.connections import open_ledger, open_object_store
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.errors import EncoderError
from vitrine.settings import Settings
from vitrine.storage import keys


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "encoder"
    write_base_model(folder)
    return folder


@pytest.fixture
def platform_settings(registry_settings: Settings, postgres_uri: str) -> Iterator[Settings]:
    """Settings of a platform with an empty registry and a ledger in which nothing is live."""
    from pydantic import SecretStr

    settings = registry_settings.model_copy(update={"database_url": SecretStr(new_database(postgres_uri))})
    open_object_store(settings).ensure_bucket()
    ledger = open_ledger(settings)
    ledger.migrate()
    ledger.close()
    yield settings


@pytest.fixture
def make_up(platform_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs `make up` where every service is up already: those of the tests."""

    def up(layout: Layout, environment: dict[str, str], report: object) -> object:
        asked = configure(layout, environment).settings.encoder_checkpoint
        return _configuration(platform_settings.model_copy(update={"encoder_checkpoint": asked}), tmp_path)

    monkeypatch.setattr(lifecycle, "up", up)
    monkeypatch.setenv("VITRINE_STATE_DIR", str(tmp_path / "platform"))

    def make_up(checkpoint: str | None) -> None:
        if checkpoint is not None:
            monkeypatch.setenv("VITRINE_ENCODER_CHECKPOINT", checkpoint)
        assert local.main(["up"]) == 0

    return make_up


def _configuration(settings: Settings, folder: Path) -> object:
    port = int(settings.mlflow_tracking_uri.split(":")[-1])
    settings = settings.model_copy(update={"mlflow_port": port})
    made = configure(Layout(folder / "platform"), {"VITRINE_MLFLOW_PORT": str(port)})
    variables = {**made.variables, **settings.to_environment()}
    made.layout.work.mkdir(parents=True, exist_ok=True)
    return replace(made, settings=settings, variables=variables)


def _versions(settings: Settings) -> dict[str, tuple[str, list[str]]]:
    """Returns fingerprint and aliases of each version."""
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri, settings.mlflow_tracking_uri)
    found = [client.get_model_version(MODEL_NAME, one.version) for one in client.search_model_versions("")]
    return {str(one.version): (one.tags["vitrine.fingerprint"], list(one.aliases)) for one in found}


def _go_live(settings: Settings, *, fingerprint: str | None) -> str:
    ledger = open_ledger(settings)
    store = open_object_store(settings)
    tiny = publish_tiny_release(store, ledger, catalog_id="shop", fingerprint=fingerprint)
    live = {"catalog_id": "shop", "head_sequence": 1, "expected_generation": 0, "action": "promote", "actor": "test"}
    ledger.releases.activate(release_id=tiny.release_id, **live)
    ledger.close()
    return tiny.release_id


def test_the_checkpoint_of_a_new_platform_is_registered_and_becomes_champion(
    make_up: Callable[..., None],
    platform_settings: Settings,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(checkpoint.parent)

    make_up(checkpoint.name)  # a relative folder, as a person types it
    make_up(None)  # it stays chosen, and is registered once

    assert _versions(platform_settings) == {"1": (encoder_fingerprint(checkpoint), ["champion"])}
    assert "version 1 is `champion`: searches are built under it" in capsys.readouterr().out


def test_the_checkpoint_of_a_platform_that_has_a_champion_waits_for_a_person(
    make_up: Callable[..., None],
    platform_settings: Settings,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bootstrap = register_bootstrap(platform_settings)

    make_up(str(checkpoint))

    assert _versions(platform_settings) == {
        "1": (bootstrap.fingerprint, ["champion"]),
        "2": (encoder_fingerprint(checkpoint), []),
    }
    said = capsys.readouterr().out
    assert "`champion` is version 1, and nothing changes by itself: to promote version 2, move the alias" in said


@pytest.mark.parametrize("deleted", ["alias", "version", "model"])
def test_a_champion_that_was_deleted_is_not_replaced_once_a_catalog_is_live(
    platform_settings: Settings, tmp_path: Path, deleted: str
) -> None:
    champion = register_bootstrap(platform_settings)
    _go_live(platform_settings, fingerprint=champion.fingerprint)
    _delete_champion(platform_settings, deleted)
    before = _versions(platform_settings)

    with pytest.raises(
        DemoError, match=rf"no alias champion, though shop is live under {champion.fingerprint}.*Set the"
    ):
        register_encoder(_configuration(platform_settings, tmp_path), lambda _: None)
    with pytest.raises(EncoderError, match="Set the alias yourself"):
        resolve_champion(platform_settings)

    assert _versions(platform_settings) == before


def test_a_checkpoint_is_registered_beside_a_deleted_champion_and_is_not_promoted(
    platform_settings: Settings, checkpoint: Path
) -> None:
    champion = register_bootstrap(platform_settings)
    _go_live(platform_settings, fingerprint=champion.fingerprint)
    _delete_champion(platform_settings, "alias")

    with pytest.raises(EncoderError, match="Set the alias yourself"):
        register_bootstrap(platform_settings.model_copy(update={"encoder_checkpoint": str(checkpoint)}))

    assert _versions(platform_settings) == {
        "1": (champion.fingerprint, []),
        "2": (encoder_fingerprint(checkpoint), []),
    }


@pytest.mark.parametrize("left", [None, b"{"])
def test_a_live_release_that_cannot_be_read_is_no_first_start(platform_settings: Settings, left: bytes | None) -> None:
    store, champion = open_object_store(platform_settings), register_bootstrap(platform_settings)
    key = keys.release("shop", _go_live(platform_settings, fingerprint=champion.fingerprint))
    store.delete(key)
    if left is not None:
        store.put_bytes(key, left)
    _delete_champion(platform_settings, "alias")

    with pytest.raises(EncoderError, match="though shop is live under a release that cannot be read"):
        register_bootstrap(platform_settings)

    assert _versions(platform_settings) == {"1": (champion.fingerprint, [])}


def test_a_live_catalog_that_brings_its_vectors_is_no_promotion(platform_settings: Settings) -> None:
    _go_live(platform_settings, fingerprint=None)

    assert register_bootstrap(platform_settings) == resolve_champion(platform_settings)


def _delete_champion(settings: Settings, deleted: str) -> None:
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri, settings.mlflow_tracking_uri)
    if deleted == "alias":
        client.delete_registered_model_alias(MODEL_NAME, "champion")
    elif deleted == "version":
        client.delete_model_version(MODEL_NAME, "1")
    else:
        client.delete_registered_model(MODEL_NAME)
