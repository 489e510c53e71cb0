"""A planned training on the platform: trains, publishes the encoder, and commits the record that others read."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping

from training.loop.run import TrainingRecord, run_training
from training.loop.worker import TrainingSetSource
from training.options import TrainingOptions
from training.steps.plan import read_training_plan
from training.steps.stored_files import store_file
from vitrine.connections import open_connections
from vitrine.contracts.document import StoredFile
from vitrine.contracts.trainings import Training, TrainingPlan
from vitrine.encoder.publishing import publish_encoder
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.identity import attempt_id
from vitrine.provenance import describe_run, put_provenance
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

SCOPE = "train"
log = logging.getLogger(__name__)


def run_planned_training(
    settings: Settings, *, catalog_id: str, training_id: str, provenance: Mapping[str, str] | None = None
) -> Training:
    """Returns the training of a plan; one that is done is returned at once, one that was killed goes on.

    Checkpoints lie in `<state_dir>/trainings/<training_id>` of the worker, which several processes on one training
    share; a retry on another machine begins anew and ends the same.

    Args:
        settings: of the platform.
        catalog_id, training_id: of the plan.
        provenance: `dag_id` and `dag_run_id`, when a DAG asks.

    Raises:
        ContractError: there is no such plan, or its training set cannot be trained on.
        EncoderError: the base model cannot be used, or the training failed.
    """
    prefix = keys.training_prefix(catalog_id, training_id)
    key = f"{prefix}/training.json"
    with open_connections(settings) as (object_store, ledger):
        if object_store.exists(key):
            log.info("train %s: training %s is there", catalog_id, training_id)
            return Training.from_bytes(object_store.get_bytes(key))
        plan = read_training_plan(object_store, catalog_id=catalog_id, training_id=training_id)
        folder = settings.state_dir / "trainings" / training_id
        work = f"{catalog_id}/{training_id}"
        standing = ledger.attempts.committed(scope=SCOPE, key=work)
        if standing is None:
            trained = run_training(
                TrainingSetSource(object_store, catalog_id, plan.training_set_id),
                into=folder,
                options=TrainingOptions.model_validate(plan.options),
                base=plan.base_fingerprint,
                settings=settings,
            )
            if trained.record.training_id != training_id:
                raise ContractError(
                    f"training {training_id}: its plan and its data make {trained.record.training_id}; plan it again: "
                    "the options or the training set were changed by hand"
                )
            fingerprint = publish_encoder(trained.folder, object_store, ledger=ledger, state_dir=settings.state_dir)
            history = store_file(object_store, trained.history, prefix=prefix)
            training = _document(plan, trained.record, fingerprint=fingerprint, history=history)
            standing = ledger.attempts.commit(
                scope=SCOPE, key=work, attempt_id=attempt_id(), result=training.model_dump(mode="json")
            )
        made = describe_run(provenance, packages=("torch", "transformers", "pytorch-metric-learning"))
        put_provenance(object_store, ledger, prefix, made)
        training = Training.model_validate(standing.result)
        object_store.put_bytes(key, training.to_bytes())
    shutil.rmtree(folder, ignore_errors=True)  # checkpoints and prepared pictures are large
    return training


def read_training(object_store: ObjectStore, *, catalog_id: str, training_id: str) -> Training:
    """Reads a training that is done.

    Raises:
        ContractError: it is not.
    """
    key = f"{keys.training_prefix(catalog_id, training_id)}/training.json"
    try:
        return Training.from_bytes(object_store.get_bytes(key))
    except ObjectMissingError as error:
        raise ContractError(
            f"{key}: catalog {catalog_id} has no finished training {training_id}; run it: "
            "python -m training run-training"
        ) from error


def _document(plan: TrainingPlan, record: TrainingRecord, *, fingerprint: str, history: StoredFile) -> Training:
    return Training(
        training_id=record.training_id,
        catalog_id=plan.catalog_id,
        training_set_id=plan.training_set_id,
        base=plan.base,
        base_fingerprint=record.base_fingerprint,
        fingerprint=fingerprint,
        options=plan.options,
        samples_by_split=record.samples_by_split,
        steps=record.steps,
        best_step=record.best_step,
        base_recall_at_10=record.base_recall_at_10,
        best_recall_at_10=record.best_recall_at_10,
        history=history,
    )
