"""From a move of the alias in a real MLflow to the builds that it asks for, without Airflow's scheduler."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from safetensors.torch import load_file, save_file
from vitrine_airflow.promotion_watch import ChampionMovedTrigger, PromotionWatch
from vitrine_airflow.promotions import (
    PromotedBuild,
    accept_promotion,
    import_encoder,
    settle_promotion,
    tag_gate,
)

from tests.conftest import new_database
from tests.dags.test_encoders import make_live
from tests.training.registry.test_versions import client_of, log_elsewhere
from training.bootstrap import ENCODER_FOLDER
from training.registry.client import MODEL_NAME
from training.registry.versions import register_bootstrap
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.connections import open_ledger, open_object_store
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.errors import RegistryError
from vitrine.ledger import Ledger
from vitrine.settings import Settings


@pytest.fixture
def promoting(registry_settings: Settings, postgres_uri: str) -> Iterator[Settings]:
    """A platform of three catalogs, of which `demo` has a head; its ledger is its own, since promotions are global."""
    settings = Settings.from_environment(
        {**registry_settings.to_environment(), "VITRINE_DATABASE_URL": new_database(postgres_uri)}
    )
    for catalog in (
        Catalog(catalog_id="demo"),
        Catalog(catalog_id="empty"),
        Catalog(catalog_id="vectors", space="vectors", dimension=8),
    ):
        declare_catalog(settings.catalogs_file, catalog)
    open_object_store(settings).ensure_bucket()
    ledger = open_ledger(settings)
    ledger.migrate()
    for catalog_id in ("demo", "vectors"):
        day = {"catalog_id": catalog_id, "dt": "2026-11-01", "delivery_id": "d-1"}
        ledger.partitions.record_delivery(**day, source="s3://shop/day")
        ledger.partitions.publish_manifest(**day, manifest_id="m-1")
    ledger.close()
    register_bootstrap(settings)
    yield settings


@pytest.fixture
def ledger(promoting: Settings) -> Iterator[Ledger]:
    """The ledger of `promoting`."""
    ledger = open_ledger(promoting)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A "fine-tuned" encoder: the bootstrap encoder with one weight changed."""
    folder = Path(shutil.copytree(ENCODER_FOLDER, tmp_path_factory.mktemp("promoted") / "tuned"))
    tensors = load_file(folder / "model.safetensors")
    tensors["visual_projection.weight"] += 0.01
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def move_alias(settings: Settings, version: str) -> None:
    client_of(settings).set_registered_model_alias(MODEL_NAME, "champion", version)


def handle(settings: Settings) -> list[PromotedBuild]:
    """The tasks of `watch_promotions`, one after the other."""
    move = settle_promotion(settings)
    return accept_promotion(settings, move, import_encoder(settings, move))


def states(ledger: Ledger) -> dict[str, str]:
    newest = ledger.promotions.newest()
    assert newest is not None
    return {row.catalog_id: row.state for row in ledger.promotions.catalogs_of(newest.sequence)}


def tags_of(settings: Settings, version: str) -> dict[str, str]:
    return dict(client_of(settings).get_model_version(MODEL_NAME, version).tags)


def test_a_champion_is_promoted_taken_up_and_taken_back_by_its_alias_alone(
    promoting: Settings, ledger: Ledger, tuned: Path
) -> None:
    store = open_object_store(promoting)
    bootstrap = encoder_fingerprint(ENCODER_FOLDER)
    watch = PromotionWatch(promoting)

    first, again = watch.look(), handle(promoting)
    begun = states(ledger)
    make_live(ledger, store, "demo", fingerprint=bootstrap)
    ledger.releases.mark_verified(catalog_id="demo", generation=1)
    handle(promoting)
    settled = states(ledger)
    number = log_elsewhere(promoting, tuned)
    move_alias(promoting, number)
    ledger.promotions.signal("webhook")
    moved = watch.look()
    builds = handle(promoting)
    repeated = handle(promoting)
    move_alias(promoting, "1")
    back = handle(promoting)
    watch.close()

    assert (first.model_version, again) == ("1", [])  # the encoder that the platform begins with causes no build
    assert (begun, settled) == ({"demo": "building"}, {"demo": "released"})
    assert (moved.model_version, moved.observed_by) == (number, "webhook")
    assert (
        builds
        == repeated
        == [{"catalog_id": "demo", "fingerprint": encoder_fingerprint(tuned), "sequence": moved.sequence}]
    )
    assert tags_of(promoting, number)["vitrine.promotion"] == "accepted"
    assert (back, states(ledger)) == ([], {"demo": "released"})  # it is still what is live
    assert [row.state for row in ledger.promotions.catalogs_of(moved.sequence)] == ["superseded"]


def test_an_encoder_that_cannot_be_used_is_refused_once_and_mlflow_says_why(
    promoting: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(ENCODER_FOLDER, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    number = log_elsewhere(promoting, folder)
    move_alias(promoting, number)
    watch = PromotionWatch(promoting)

    handed_over = watch.look()
    with pytest.raises(AirflowFailException, match=r"pickle pytorch_model\.bin"):
        handle(promoting)
    with pytest.raises(AirflowSkipException, match="was refused"):
        handle(promoting)
    ledger.promotions.signal("webhook")

    assert handed_over is not None
    assert watch.look() is None
    watch.close()
    assert ledger.promotions.newest().state == "refused"
    assert tags_of(promoting, number)["vitrine.promotion"].startswith("refused: MLflow: vitrine-encoder version 2")


def test_weights_cut_short_are_refused_and_no_retry_is_wasted_on_them(
    promoting: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(ENCODER_FOLDER, tmp_path / "cut"))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    move_alias(promoting, log_elsewhere(promoting, folder))

    with pytest.raises(AirflowFailException, match=r"model\.safetensors cannot be read"):
        handle(promoting)

    assert ledger.promotions.newest().state == "refused"


def test_a_registry_that_is_away_refuses_nothing_and_is_asked_again(
    promoting: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = promoting.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    move = settle_promotion(promoting)
    watch = PromotionWatch(away)

    seen = watch.look()
    with pytest.raises(RegistryError, match="does not answer"):
        settle_promotion(away)
    with pytest.raises(RegistryError):
        import_encoder(away, move)

    watch.close()
    assert seen is None
    assert ledger.promotions.newest().state == "observed"


def test_a_move_is_handed_over_once_and_again_after_a_restart_until_it_is_handled(promoting: Settings) -> None:
    now = [0.0]
    watch = PromotionWatch(promoting, clock=lambda: now[0])

    looks = []
    for now[0] in (0.0, 1.0, 11.0, 30.0, 700.0):
        looks.append(watch.look())
    restarted = PromotionWatch(promoting)
    after_restart = restarted.look()
    handle(promoting)
    last = PromotionWatch(promoting)
    asked_again = last.look()  # accepted, and `demo` still builds: its builds may not have been asked for

    for opened in (watch, restarted, last):
        opened.close()
    assert [look is not None for look in looks] == [True, False, False, False, True]
    assert after_restart is not None and asked_again is not None
    assert after_restart.sequence == asked_again.sequence


def test_the_gate_speaks_on_the_promoted_version(promoting: Settings, ledger: Ledger) -> None:
    store = open_object_store(promoting)
    handle(promoting)
    make_live(ledger, store, "demo", fingerprint=encoder_fingerprint(ENCODER_FOLDER))
    ledger.releases.offer(catalog_id="demo", release_id="release-1", head_sequence=1)

    tag_gate(promoting, catalog_id="demo", release_id="release-1", verdict="refused: golden_image_drop")

    assert tags_of(promoting, "1")["vitrine.gate.demo"] == "refused: golden_image_drop"


def test_the_trigger_fires_in_the_triggerers_loop(promoting: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in promoting.to_environment().items():
        monkeypatch.setenv(name, value)
    path, arguments = ChampionMovedTrigger().serialize()

    async def first_event() -> object:
        events = ChampionMovedTrigger().run()
        try:
            return (await asyncio.wait_for(anext(events), timeout=600)).payload
        finally:
            await events.aclose()

    payload = asyncio.run(first_event())

    assert payload["model_version"] == "1"
    assert (path, arguments) == ("vitrine_airflow.promotion_watch.ChampionMovedTrigger", {})


def test_no_champion_promotes_nothing(promoting: Settings) -> None:
    client = mlflow.MlflowClient(promoting.mlflow_tracking_uri, promoting.mlflow_tracking_uri)
    client.delete_registered_model_alias(MODEL_NAME, "champion")

    with pytest.raises(AirflowSkipException, match="names no version"):
        settle_promotion(promoting)
