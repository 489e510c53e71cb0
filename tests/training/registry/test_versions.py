"""Encoders in a real MLflow: registered once, promoted by an alias, imported when somebody else registered them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from training.bootstrap import ENCODER_FOLDER
from training.registry.client import MODEL_NAME, registry_client
from training.registry.experiment import ensure_experiment
from training.registry.versions import register_bootstrap, resolve_champion, resolve_version
from vitrine.connections import open_object_store
from vitrine.encoder import fetch_encoder, load_encoder
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.encoder.publishing import is_published
from vitrine.errors import EncoderError
from vitrine.files.scratch import scratch_parent, sweep_scratch
from vitrine.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
_HOLD_AT_UPLOAD = """
import sys, time
from mlflow import MlflowClient
from training.__main__ import main
def hold(*_):
    print("uploading", flush=True)
    time.sleep(3600)
MlflowClient.log_model_artifacts = hold
sys.exit(main(["register-bootstrap"]))
"""


def client_of(settings: Settings) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(settings.mlflow_tracking_uri, settings.mlflow_tracking_uri)


@pytest.fixture(scope="module")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A "fine-tuned" encoder: the bootstrap encoder with one weight changed."""
    folder = Path(shutil.copytree(ENCODER_FOLDER, tmp_path_factory.mktemp("checkpoint") / "tuned"))
    tensors = load_file(folder / "model.safetensors")
    tensors["visual_projection.weight"] += 0.01
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def log_elsewhere(settings: Settings, folder: Path, **tags: str) -> str:
    """Registers a folder the way another team would: plain artifacts, no tags of ours."""
    client = client_of(settings)
    run = client.create_run(ensure_experiment(client, "elsewhere"))
    client.log_artifacts(run.info.run_id, str(folder), "tuned")
    client.set_terminated(run.info.run_id)
    if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME)
    source = f"{run.info.artifact_uri}/tuned"
    return str(client.create_model_version(MODEL_NAME, source, run.info.run_id, tags=tags).version)


def test_the_bootstrap_encoder_becomes_version_1_and_champion_once(registry_settings: Settings, tmp_path: Path) -> None:
    first = register_bootstrap(registry_settings)
    again = register_bootstrap(registry_settings)

    assert first == again == resolve_champion(registry_settings)
    assert first.version == "1"
    assert first.fingerprint == encoder_fingerprint(ENCODER_FOLDER)
    versions = client_of(registry_settings).search_model_versions(f"name = '{MODEL_NAME}'")
    assert [version.tags for version in versions] == [
        {"vitrine.fingerprint": first.fingerprint, "vitrine.dimension": str(first.dimension)}
    ]
    folder = fetch_encoder(first.fingerprint, open_object_store(registry_settings), tmp_path)
    assert load_encoder(folder).dimension == first.dimension


def test_a_version_is_found_by_number_alias_and_fingerprint(registry_settings: Settings) -> None:
    from training.evaluate.encoder_sources import open_sources

    version = register_bootstrap(registry_settings)

    for named in ("1", f"{MODEL_NAME}/1", "champion", MODEL_NAME):
        assert resolve_version(registry_settings, open_object_store(registry_settings), named) == version
    with open_sources(["champion", version.fingerprint], registry_settings) as sources:
        assert [source.name for source in sources] == [f"{MODEL_NAME} v1", version.fingerprint[:8]]
        assert load_encoder(sources[0].folder, engine="torch").fingerprint == version.fingerprint
    with pytest.raises(EncoderError, match="no version or alias '7'"):
        resolve_version(registry_settings, open_object_store(registry_settings), "7")


def test_what_is_logged_holds_no_pickle_and_answers_by_its_signature(registry_settings: Settings) -> None:
    version = register_bootstrap(registry_settings)

    with registry_client(registry_settings):
        local = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL_NAME}/{version.version}"))
    served = mlflow.pyfunc.load_model(str(local))

    assert not [path.name for path in local.rglob("*") if path.suffix in {".pkl", ".bin", ".pt"}]
    assert served.metadata.signature is not None
    embeddings = served.predict([{"text": "a red dress"}])
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-4)


def test_a_registration_leaves_the_process_as_it_was(
    registry_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)

    def state() -> object:
        named = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
        return named, mlflow.get_tracking_uri(), mlflow.get_registry_uri(), tempfile.gettempdir()

    before = state()

    register_bootstrap(registry_settings)

    assert state() == before
    assert mlflow.tracking.fluent._active_experiment_id is None
    client = client_of(registry_settings)
    [run] = client.search_runs([ensure_experiment(client)], max_results=1)
    [model] = client.search_logged_models([run.info.experiment_id], max_results=1)
    assert model.source_run_id == run.info.run_id


def test_a_registration_killed_as_it_uploads_leaves_nothing_outside_of_the_state_folder(
    registry_settings: Settings, tmp_path: Path
) -> None:
    outside = tmp_path / "tmp"
    outside.mkdir()
    register_bootstrap(registry_settings)  # is published then: the conversion is another matter
    client_of(registry_settings).delete_registered_model(MODEL_NAME)
    environment = {**os.environ, **registry_settings.to_environment(), "TMPDIR": str(outside)}
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD_AT_UPLOAD], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"uploading\n"

    process.kill()
    process.wait(timeout=300)
    scratch = scratch_parent(registry_settings.state_dir)
    left = {path.name for path in scratch.rglob("*.safetensors")}
    sweep_scratch(registry_settings)

    assert process.returncode == -signal.SIGKILL
    assert "model.safetensors" in left
    assert [*outside.iterdir(), *scratch.iterdir()] == []


def test_of_racing_makers_of_an_experiment_all_get_the_same(registry_settings: Settings) -> None:
    client, name = client_of(registry_settings), f"race-{uuid.uuid4().hex}"

    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda _: ensure_experiment(client, name), range(6)))

    assert found == {client.get_experiment_by_name(name).experiment_id}


def test_a_deleted_experiment_is_named_with_the_way_to_restore_it(registry_settings: Settings) -> None:
    client, name = client_of(registry_settings), f"deleted-{uuid.uuid4().hex}"
    number = ensure_experiment(client, name)
    client.delete_experiment(number)

    with pytest.raises(EncoderError, match=rf"experiment {name} was deleted.*restore --experiment-id {number}\)"):
        ensure_experiment(client, name)

    client.restore_experiment(number)
    assert ensure_experiment(client, name) == number


def test_a_registration_killed_before_its_alias_is_finished_by_the_next(registry_settings: Settings) -> None:
    register_bootstrap(registry_settings)
    client_of(registry_settings).delete_registered_model_alias(MODEL_NAME, "champion")

    again = register_bootstrap(registry_settings)

    assert resolve_champion(registry_settings) == again
    assert again.version == "1"


def test_a_registration_killed_before_its_tags_is_not_taken_for_whole(registry_settings: Settings) -> None:
    untagged = log_elsewhere(registry_settings, ENCODER_FOLDER)

    version = register_bootstrap(registry_settings)

    assert (untagged, version.version) == ("1", "2")
    assert resolve_champion(registry_settings).version == "2"


def test_a_configured_checkpoint_is_registered_and_moves_no_alias_that_is_set(
    registry_settings: Settings, other_checkpoint: Path
) -> None:
    bootstrap = register_bootstrap(registry_settings)

    tuned = register_bootstrap(registry_settings.model_copy(update={"encoder_checkpoint": str(other_checkpoint)}))

    assert tuned.version == "2"
    assert tuned.fingerprint != bootstrap.fingerprint
    assert resolve_champion(registry_settings) == bootstrap


def test_a_champion_that_another_team_logged_is_imported(registry_settings: Settings, other_checkpoint: Path) -> None:
    open_object_store(registry_settings).ensure_bucket()
    number = log_elsewhere(registry_settings, other_checkpoint)
    client_of(registry_settings).set_registered_model_alias(MODEL_NAME, "champion", number)

    champion = resolve_champion(registry_settings)

    assert champion.fingerprint == encoder_fingerprint(other_checkpoint)
    assert is_published(champion.fingerprint, open_object_store(registry_settings))
    tags = client_of(registry_settings).get_model_version(MODEL_NAME, number).tags
    assert tags == {"vitrine.fingerprint": champion.fingerprint, "vitrine.dimension": str(champion.dimension)}


def test_a_champion_whose_tags_lie_is_refused(registry_settings: Settings, other_checkpoint: Path) -> None:
    number = log_elsewhere(registry_settings, other_checkpoint, **{"vitrine.dimension": "512"})
    client_of(registry_settings).set_registered_model_alias(MODEL_NAME, "champion", number)

    with pytest.raises(EncoderError, match=r"vitrine\.dimension says 512, its artifacts are 128"):
        resolve_champion(registry_settings)


def test_a_champion_with_a_pickle_is_refused(registry_settings: Settings, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ENCODER_FOLDER, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    number = log_elsewhere(registry_settings, folder)
    client_of(registry_settings).set_registered_model_alias(MODEL_NAME, "champion", number)

    with pytest.raises(EncoderError, match=r"pickle pytorch_model\.bin"):
        resolve_champion(registry_settings)


def test_an_empty_registry_says_what_to_run(registry_settings: Settings) -> None:
    with pytest.raises(EncoderError, match="python -m training register-bootstrap"):
        resolve_champion(registry_settings)


def test_a_registry_that_is_away_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(EncoderError, match=r"MLflow at http://127\.0\.0\.1:9 failed"):
        resolve_champion(settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"}))


def test_the_committed_encoder_is_small_and_says_how_good_it_is() -> None:
    files = [path for path in ENCODER_FOLDER.rglob("*") if path.is_file()]
    tokenizer = json.loads((ENCODER_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))

    assert sum(path.stat().st_size for path in files) < 12_000_000
    assert len(tokenizer["model"]["vocab"]) <= 4096
