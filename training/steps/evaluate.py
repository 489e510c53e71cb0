"""The evaluation of a training: its encoder against the champion, its base and the baselines, on what was held out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from training.evaluate.catalogs.training_set_catalog import fetch_training_set_catalog
from training.evaluate.command import measure_catalog
from training.evaluate.comparison import Decision, Thresholds, beats
from training.evaluate.encoder_sources import EncoderSource
from training.evaluate.measurement import Measurement
from training.evaluate.pages.report_files import write_report
from training.evaluate.report import EvaluationReport
from training.registry.versions import ready_champion
from training.steps.stored_files import fetch_files, store_file
from training.steps.train import read_training
from vitrine.connections import open_connections
from vitrine.contracts.trainings import Evaluation, Training
from vitrine.encoder import fetch_encoder
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.files.scratch import scratch_folder
from vitrine.identity import attempt_id, content_id
from vitrine.provenance import describe_run, put_provenance
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

SCOPE = "evaluate"
TRAINED, CHAMPION, BASE = "trained", "champion", "base"


def evaluate_training(
    settings: Settings,
    *,
    catalog_id: str,
    training_id: str,
    baselines: bool = True,
    provenance: Mapping[str, str] | None = None,
) -> Evaluation:
    """Writes the report of a training's encoder and judges it against the champion of this moment.

    The same encoder against the same champion, with the same thresholds, is evaluated once.

    Args:
        settings: of the platform.
        catalog_id, training_id: of a training that is done.
        baselines: whether colour and SIFT, TF-IDF and the configured ResNet answer too.
        provenance: `dag_id` and `dag_run_id`, when a DAG asks.

    Raises:
        ContractError: the training is not done, or its training set holds nothing out.
        EncoderError: there is no champion.
    """
    with open_connections(settings) as (object_store, ledger):
        training = read_training(object_store, catalog_id=catalog_id, training_id=training_id)
        champion = ready_champion(settings, object_store, ledger).fingerprint
        thresholds = Thresholds.of(settings)
        asked = [vars(thresholds), settings.evaluation_max_gallery, baselines, settings.resnet_checkpoint]
        evaluation_id = content_id("evaluation", [training_id, training.fingerprint, champion, asked])
        prefix = keys.evaluation_prefix(catalog_id, evaluation_id)
        key = f"{prefix}/evaluation.json"
        if object_store.exists(key):
            return Evaluation.from_bytes(object_store.get_bytes(key))
        work = f"{catalog_id}/{evaluation_id}"
        standing = ledger.attempts.committed(scope=SCOPE, key=work)
        if standing is None:
            evaluation = _evaluated(
                settings, object_store, training, evaluation_id=evaluation_id, champion=champion, baselines=baselines
            )
            result = evaluation.model_dump(mode="json")
            standing = ledger.attempts.commit(scope=SCOPE, key=work, attempt_id=attempt_id(), result=result)
        made = describe_run(provenance, packages=("torch", "transformers", "scikit-learn", "matplotlib"))
        put_provenance(object_store, ledger, prefix, made)
        evaluation = Evaluation.model_validate(standing.result)
        object_store.put_bytes(key, evaluation.to_bytes())
    return evaluation


def read_evaluation(object_store: ObjectStore, *, catalog_id: str, evaluation_id: str) -> Evaluation:
    """Reads an evaluation that is done.

    Raises:
        ContractError: there is none.
    """
    key = f"{keys.evaluation_prefix(catalog_id, evaluation_id)}/evaluation.json"
    try:
        return Evaluation.from_bytes(object_store.get_bytes(key))
    except ObjectMissingError as error:
        raise ContractError(
            f"{key}: catalog {catalog_id} has no evaluation {evaluation_id}; make it: "
            "python -m training evaluate-training"
        ) from error


def fetch_report_files(object_store: ObjectStore, evaluation: Evaluation, into: Path) -> Path:
    """Brings the files of a report into a folder, which `training.evaluate.pages.report_files.read_report` reads."""
    prefix = keys.evaluation_prefix(evaluation.catalog_id, evaluation.evaluation_id)
    return fetch_files(object_store, evaluation.files, prefix=prefix, into=into)


def _evaluated(
    settings: Settings,
    object_store: ObjectStore,
    training: Training,
    *,
    evaluation_id: str,
    champion: str,
    baselines: bool,
) -> Evaluation:
    """Measures, judges, and stores the files of the report."""
    with scratch_folder(settings, "evaluation") as scratch:
        measured = _measure(settings, object_store, training, champion=champion, baselines=baselines, scratch=scratch)
        history = fetch_files(
            object_store,
            (training.history,),
            prefix=keys.training_prefix(training.catalog_id, training.training_id),
            into=scratch / "history",
        )
        write_report(measured, scratch / "report", before=[CHAMPION, BASE], history=history / training.history.name)
        evaluation = _document(
            training,
            measured.report,
            beats(measured.report, CHAMPION, thresholds=Thresholds.of(settings)),
            evaluation_id=evaluation_id,
            champion=champion,
        )
        prefix = keys.evaluation_prefix(training.catalog_id, evaluation_id)
        files = [store_file(object_store, path, prefix=prefix) for path in sorted((scratch / "report").iterdir())]
    return evaluation.model_copy(update={"files": tuple(files)})


def _measure(
    settings: Settings,
    object_store: ObjectStore,
    training: Training,
    *,
    champion: str,
    baselines: bool,
    scratch: Path,
) -> Measurement:
    cache = settings.state_dir / "encoders"
    catalog = fetch_training_set_catalog(
        object_store,
        catalog_id=training.catalog_id,
        training_set_id=training.training_set_id,
        into=scratch / "pictures",
        max_gallery=settings.evaluation_max_gallery,
    )
    named = {TRAINED: training.fingerprint, CHAMPION: champion}
    if training.base_fingerprint not in named.values():
        named[BASE] = training.base_fingerprint
    sources = [
        EncoderSource(name, fetch_encoder(fingerprint, object_store, cache)) for name, fingerprint in named.items()
    ]
    return measure_catalog(catalog, sources, settings, split="test", baselines=baselines)


def _document(
    training: Training, report: EvaluationReport, decision: Decision, *, evaluation_id: str, champion: str
) -> Evaluation:
    return Evaluation(
        evaluation_id=evaluation_id,
        catalog_id=training.catalog_id,
        training_id=training.training_id,
        fingerprint=training.fingerprint,
        champion_fingerprint=champion,
        base_fingerprint=training.base_fingerprint,
        report_id=report.report_id,
        metrics=report.flat_metrics(),
        champion_metrics={
            f"{task.name}.{metric}": interval.mean
            for task in report.tasks
            if (result := task.result(CHAMPION)) is not None
            for metric, interval in result.metrics.items()
        },
        is_challenger=decision.beats,
        reasons=decision.reasons,
        files=(),
    )
