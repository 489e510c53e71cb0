"""A trained encoder in MLflow: one run, one version, and the alias `challenger` if it earns it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.loop.history import HistoryRow, read_history
from training.registry.client import (
    DIMENSION_TAG,
    FINGERPRINT_TAG,
    MODEL_NAME,
    champion_version,
    registered_version,
    registry_client,
)
from training.registry.experiment import ensure_experiment
from training.registry.logged_encoder import log_encoder
from training.registry.versions import registration_lock
from training.steps.evaluate import fetch_report_files, read_evaluation
from training.steps.lineage import training_lineage
from training.steps.stored_files import fetch_files
from training.steps.train import read_training
from vitrine.code_version import code_version
from vitrine.connections import open_object_store
from vitrine.contracts.trainings import Evaluation, Training
from vitrine.encoder import fetch_encoder
from vitrine.encoder.architecture import Architecture
from vitrine.encoder.checkpoint import materialise_checkpoint
from vitrine.encoder.publishing import read_manifest
from vitrine.files.scratch import scratch_folder
from vitrine.processes.state import temporary_files_in
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHALLENGER = "challenger"
TRAINING_TAG, EVALUATION_TAG = "vitrine.training_id", "vitrine.evaluation_id"
VERDICT_TAG = "vitrine.challenger"
_MODEL_URI_TAG = "vitrine.model_uri"
_MOST_METRICS = 1000  # that MLflow takes in one request
_MOST_TAG = 4900  # letters of a tag or a description; MLflow takes 5,000
log = logging.getLogger(__name__)


def register_training(
    settings: Settings, *, catalog_id: str, evaluation_id: str, provenance: Mapping[str, str] | None = None
) -> str:
    """Logs and registers what was trained and evaluated; returns the number of its version.

    Running again, also after being killed anywhere, logs and registers nothing twice. The alias is moved once, with the
    verdict: when it was moved on since, by a person or by a later training, it stays where it is.

    Raises:
        ContractError: the training or the evaluation is not done.
        EncoderError: MLflow cannot be reached.
    """
    object_store = open_object_store(settings)
    evaluation = read_evaluation(object_store, catalog_id=catalog_id, evaluation_id=evaluation_id)
    training = read_training(object_store, catalog_id=catalog_id, training_id=evaluation.training_id)
    with registration_lock(settings), registry_client(settings) as client:
        version = _version_of(client, training.training_id)
        if version is None:
            model_uri = _logged(client, settings, object_store, training, evaluation, dag_run=provenance or {})
            same = registered_version(client, training.fingerprint)
            if same is not None:
                log.info("%s version %s is this very encoder; no other version is made", MODEL_NAME, same)
                return same
            version = _register(object_store, model_uri, training, evaluation)
        _judge(client, version, evaluation)
    return version


def _version_of(client: MlflowClient, training_id: str) -> str | None:
    found = client.search_model_versions(f"name = '{MODEL_NAME}' and tags.`{TRAINING_TAG}` = '{training_id}'")
    return str(min(int(version.version) for version in found)) if found else None


def _logged(
    client: MlflowClient,
    settings: Settings,
    object_store: ObjectStore,
    training: Training,
    evaluation: Evaluation,
    *,
    dag_run: Mapping[str, str],
) -> str:
    """The model's URI of the training's whole run; a run that was killed half-way is deleted and logged anew."""
    import mlflow

    experiment_id = ensure_experiment(client)
    runs = client.search_runs([experiment_id], f"tags.`{TRAINING_TAG}` = '{training.training_id}'")
    for run in runs:
        if run.info.status == "FINISHED" and _MODEL_URI_TAG in run.data.tags:
            return str(run.data.tags[_MODEL_URI_TAG])
        client.delete_run(run.info.run_id)
    with (
        scratch_folder(settings, "challenger") as scratch,
        temporary_files_in(scratch),  # MLflow copies an encoder before it uploads it
        mlflow.start_run(
            experiment_id=experiment_id, run_name=f"train {training.catalog_id} {training.fingerprint}"
        ) as active,
    ):
        run_id = active.info.run_id
        lineage = training_lineage(object_store, training, dag_run=dag_run)
        mlflow.set_tags(
            {
                TRAINING_TAG: training.training_id,
                EVALUATION_TAG: evaluation.evaluation_id,
                FINGERPRINT_TAG: training.fingerprint,
                "vitrine.code_version": code_version(),
                **lineage.tags,
            }
        )
        mlflow.log_params({**training.options, "base": training.base})
        mlflow.log_metrics(
            {**evaluation.metrics, **{f"champion.{name}": value for name, value in evaluation.champion_metrics.items()}}
        )
        history = fetch_files(
            object_store,
            (training.history,),
            prefix=keys.training_prefix(training.catalog_id, training.training_id),
            into=scratch / "training",
        )
        _log_curves(client, run_id, read_history(history / training.history.name))
        mlflow.log_artifacts(str(history), "training")
        mlflow.log_dict(lineage.document, "lineage.json")
        mlflow.log_artifacts(str(fetch_report_files(object_store, evaluation, scratch / "report")), "report")
        encoder = _canonical(settings, object_store, training.fingerprint, scratch / "encoder")
        mlflow.set_tag(_MODEL_URI_TAG, log_encoder(encoder, dimension=Architecture.from_folder(encoder).dimension))
    return str(client.get_run(run_id).data.tags[_MODEL_URI_TAG])


def _register(object_store: ObjectStore, model_uri: str, training: Training, evaluation: Evaluation) -> str:
    import mlflow

    tags = {
        FINGERPRINT_TAG: training.fingerprint,
        DIMENSION_TAG: str(read_manifest(training.fingerprint, object_store).dimension),
        TRAINING_TAG: training.training_id,
        EVALUATION_TAG: evaluation.evaluation_id,
        "vitrine.catalog": training.catalog_id,
        "vitrine.base_fingerprint": training.base_fingerprint,
    }
    return str(mlflow.register_model(model_uri, MODEL_NAME, tags=tags).version)


def _judge(client: MlflowClient, version: str, evaluation: Evaluation) -> None:
    """Gives the alias, or says why not; the tag that is written last keeps a second run from doing it again."""
    found = client.get_model_version(MODEL_NAME, version)
    if VERDICT_TAG in found.tags:
        log.info("%s version %s was judged before: %s", MODEL_NAME, version, found.tags[VERDICT_TAG])
        return
    champion = champion_version(client)
    reasons, earned = evaluation.reasons, evaluation.is_challenger
    if champion is not None and champion.tags.get(FINGERPRINT_TAG) != evaluation.champion_fingerprint:
        earned = False
        reasons = (
            f"It was compared with {evaluation.champion_fingerprint}, and version {champion.version} became the "
            "champion since: clear evaluate_encoder to compare it with that.",
        )
    verdict = (("yes: " if earned else "no: ") + " ".join(reasons))[:_MOST_TAG]
    client.update_model_version(MODEL_NAME, version, description=verdict)
    if earned:
        client.set_registered_model_alias(MODEL_NAME, CHALLENGER, version)
    client.set_model_version_tag(MODEL_NAME, version, VERDICT_TAG, verdict)
    log.info("%s version %s, challenger %s", MODEL_NAME, version, verdict)


def _log_curves(client: MlflowClient, run_id: str, history: list[HistoryRow]) -> None:
    from mlflow.entities import Metric

    rows = [(row.step, name, value) for row in history for name, value in _figures(row).items()]
    now = int(time.time() * 1000)
    metrics = [Metric(key=f"training.{name}", value=value, timestamp=now, step=step) for step, name, value in rows]
    for first in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[first : first + _MOST_METRICS])


def _figures(row: HistoryRow) -> dict[str, float]:
    figures: dict[str, Any] = {name: getattr(row, name) for name in row.__dataclass_fields__}
    return {name: float(value) for name, value in figures.items() if name != "step" and value is not None}


def _canonical(settings: Settings, object_store: ObjectStore, fingerprint: str, into: Path) -> Path:
    """The encoder as it was trained, without what was converted for this platform's engines."""
    cached = fetch_encoder(fingerprint, object_store, settings.state_dir / "encoders")
    return materialise_checkpoint(cached, into)
