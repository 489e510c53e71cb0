"""The steps of `train_encoder` one after the other on real parts: each is done once, whoever asks again."""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest

from spark_jobs.mining import plan_training_set, run_mine_job
from tests.settings import settings_of
from tests.spark_jobs.mining.mining_shop import AS_OF, PARAMETERS, open_shop
from tests.spark_jobs.tiny_encoder import publish_tiny_encoder
from training.registry.client import MODEL_NAME, registry_client
from training.registry.experiment import EXPERIMENT
from training.registry.versions import EncoderVersion, register_bootstrap
from training.steps import register as challengers
from training.steps import train as planned_training
from training.steps.evaluate import evaluate_training, fetch_report_files
from training.steps.plan import plan_training, read_training_plan
from training.steps.register import CHALLENGER, EVALUATION_TAG, TRAINING_TAG, VERDICT_TAG, register_training
from training.steps.train import run_planned_training
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.connections import open_object_store
from vitrine.contracts.trainings import Evaluation, Training
from vitrine.encoder.publishing import is_published
from vitrine.errors import ContractError, SettingsError
from vitrine.files.scratch import scratch_parent
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

RUN = {"dag_id": "shop.train_encoder", "dag_run_id": "manual"}
OPTIONS = {"max_steps": 6, "batch_size": 12, "learning_rate": 1e-3}


@dataclass(frozen=True)
class Trained:
    """A shop whose encoder was trained."""

    settings: Settings
    catalog_id: str
    training_set_id: str
    champion: EncoderVersion
    training: Training
    evaluation: Evaluation


@pytest.fixture(scope="module")
def trained(
    s3_server: dict[str, str],
    quiet_database_url: str,
    mlflow_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Trained:
    """Mined in Spark, trained for a few steps from a tiny champion, and evaluated."""
    store = ObjectStore(f"test-{uuid.uuid4().hex[:12]}", **s3_server)
    store.ensure_bucket()
    folder = tmp_path_factory.mktemp("planned")
    publish_tiny_encoder(folder / "tiny", store)
    settings = settings_of(
        folder / "state",
        s3_server,
        store,
        quiet_database_url,
        {
            "VITRINE_CATALOGS_FILE": str(folder / "catalogs.yaml"),
            "VITRINE_MLFLOW_TRACKING_URI": mlflow_uri,
            "VITRINE_ENCODER_CHECKPOINT": str(folder / "tiny"),
        },
    )
    catalog_id = f"c{uuid.uuid4().hex[:10]}"
    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id))
    shop = open_shop(settings, catalog_id, later=False)
    plan = plan_training_set(
        settings,
        catalog_id=catalog_id,
        as_of=AS_OF,
        embedding_set_id=shop.embedding_set_id,
        # Without a validation the last step counts, so that the encoder is another one than its base.
        parameters=PARAMETERS.model_copy(update={"validation_days": 0}),
    )
    run_mine_job(settings, plan)
    champion = register_bootstrap(settings)
    # Also where what follows fails: tests of other modules begin with an empty registry.
    request.addfinalizer(lambda: client_of(settings).delete_registered_model(MODEL_NAME))
    training_id = plan_training(settings, catalog_id=catalog_id, training_set_id=plan.training_set_id, options=OPTIONS)
    training = run_planned_training(settings, catalog_id=catalog_id, training_id=training_id, provenance=RUN)
    evaluation = evaluate_training(
        settings, catalog_id=catalog_id, training_id=training_id, baselines=False, provenance=RUN
    )
    return Trained(settings, catalog_id, plan.training_set_id, champion, training, evaluation)


def client_of(settings: Settings) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(settings.mlflow_tracking_uri, settings.mlflow_tracking_uri)


def versions_of(trained: Trained) -> list[Any]:
    client = client_of(trained.settings)
    found = client.search_model_versions(f"name = '{MODEL_NAME}'")
    return [version for version in found if version.tags.get(TRAINING_TAG) == trained.training.training_id]


def runs_of(trained: Trained) -> list[Any]:
    client = client_of(trained.settings)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], f"tags.`{TRAINING_TAG}` = '{trained.training.training_id}'")


def test_a_training_starts_from_the_champion_and_publishes_its_encoder(trained: Trained) -> None:
    training = trained.training

    assert (training.base, training.base_fingerprint) == ("champion", trained.champion.fingerprint)
    assert training.training_set_id == trained.training_set_id
    assert is_published(training.fingerprint, open_object_store(trained.settings))
    assert training.fingerprint != training.base_fingerprint
    assert 0 < training.steps <= OPTIONS["max_steps"]


def test_the_same_inputs_are_the_same_training_however_the_base_is_named(trained: Trained) -> None:
    asked = {"catalog_id": trained.catalog_id, "training_set_id": trained.training_set_id}

    again = plan_training(trained.settings, **asked, base=trained.champion.fingerprint, options=OPTIONS)
    other = plan_training(trained.settings, **asked, options={**OPTIONS, "seed": 1})

    assert again == trained.training.training_id
    assert other != again
    plan = read_training_plan(open_object_store(trained.settings), catalog_id=trained.catalog_id, training_id=again)
    assert plan.base_fingerprint == trained.champion.fingerprint


def test_options_that_make_no_training_are_refused_before_anything_runs(trained: Trained) -> None:
    with pytest.raises(SettingsError, match=r"epochs.*train --help"):
        plan_training(
            trained.settings,
            catalog_id=trained.catalog_id,
            training_set_id=trained.training_set_id,
            options={"epochs": 0},
        )


def test_a_training_that_is_done_is_not_done_again(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned_training, "run_training", pytest.fail)

    again = run_planned_training(
        trained.settings, catalog_id=trained.catalog_id, training_id=trained.training.training_id
    )

    assert again == trained.training


def test_a_training_killed_before_its_last_object_ends_the_same(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{keys.training_prefix(trained.catalog_id, trained.training.training_id)}/training.json"
    store = open_object_store(trained.settings)
    before = store.get_bytes(key)
    store.delete(key)
    monkeypatch.setattr(planned_training, "run_training", pytest.fail)

    run_planned_training(trained.settings, catalog_id=trained.catalog_id, training_id=trained.training.training_id)

    assert store.get_bytes(key) == before


def test_a_training_without_a_plan_says_what_to_run(trained: Trained) -> None:
    with pytest.raises(ContractError, match="no plan of training training-run-none"):
        run_planned_training(trained.settings, catalog_id=trained.catalog_id, training_id="training-run-none")


def test_the_evaluation_asks_what_was_held_out_and_is_made_once(trained: Trained, tmp_path: Path) -> None:
    again = evaluate_training(
        trained.settings, catalog_id=trained.catalog_id, training_id=trained.training.training_id, baselines=False
    )

    folder = fetch_report_files(open_object_store(trained.settings), trained.evaluation, tmp_path)
    assert again == trained.evaluation
    assert {"report.json", "report.md", "training.png"} <= {path.name for path in folder.iterdir()}
    assert trained.evaluation.champion_fingerprint == trained.champion.fingerprint
    assert trained.evaluation.metrics.keys() == trained.evaluation.champion_metrics.keys()
    assert trained.evaluation.reasons


def test_a_registration_killed_anywhere_registers_nothing_twice(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"catalog_id": trained.catalog_id, "evaluation_id": trained.evaluation.evaluation_id, "provenance": RUN}
    temporary = []

    def killed_here(*_: object, **__: object) -> None:
        temporary.append(Path(tempfile.gettempdir()))
        raise KeyboardInterrupt

    for step in ("log_encoder", "_register", "_judge"):
        with monkeypatch.context() as killed:
            killed.setattr(challengers, step, killed_here)
            with pytest.raises(KeyboardInterrupt):
                register_training(trained.settings, **asked)

    version = register_training(trained.settings, **asked)

    assert register_training(trained.settings, **asked) == version
    assert temporary[0].parent == scratch_parent(trained.settings.state_dir).resolve()  # MLflow copies encoders
    [registered], [run] = versions_of(trained), runs_of(trained)
    assert registered.version == version
    assert registered.tags["vitrine.fingerprint"] == trained.training.fingerprint
    assert registered.tags[EVALUATION_TAG] == trained.evaluation.evaluation_id
    assert registered.tags[VERDICT_TAG] == registered.description
    assert run.info.status == "FINISHED"
    assert run.data.params["max_steps"] == "6"
    assert run.data.tags["vitrine.training_set_id"] == trained.training_set_id
    assert run.data.tags["vitrine.dag_run_id"] == "manual"
    assert trained.evaluation.metrics.items() <= run.data.metrics.items()
    client = client_of(trained.settings)
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "training.loss")]
    assert steps == sorted(set(steps)) and len(steps) == trained.training.steps
    logged = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"lineage.json", "report", "training"} <= logged


@pytest.mark.parametrize(
    ("earned", "compared_with", "expected"),
    [(True, "champion", "yes: "), (False, "champion", "no: "), (True, "another", "no: It was compared with")],
)
def test_only_an_encoder_that_beats_the_champion_of_now_becomes_challenger(
    trained: Trained, earned: bool, compared_with: str, expected: str
) -> None:
    client = client_of(trained.settings)
    fingerprint = trained.champion.fingerprint if compared_with == "champion" else "0" * 20
    evaluation = trained.evaluation.model_copy(
        update={"is_challenger": earned, "reasons": ("Because.",), "champion_fingerprint": fingerprint}
    )
    first = client.get_model_version(MODEL_NAME, trained.champion.version)
    with registry_client(trained.settings):
        version = str(mlflow.register_model(first.source, MODEL_NAME).version)

    challengers._judge(client, version, evaluation)

    judged = client.get_model_version(MODEL_NAME, version)
    assert judged.tags[VERDICT_TAG].startswith(expected)
    assert judged.description == judged.tags[VERDICT_TAG]
    assert (CHALLENGER in judged.aliases) == expected.startswith("yes")
    client.delete_model_version(MODEL_NAME, version)


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
