"""A training from beginning to end: base model, data, processes, and the record that says what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spark_runtime.configuration import spark_secret
from training.base_models import bring_base_model, is_scratch
from training.data.samples import TrainingData
from training.loop.distributed import train_distributed
from training.loop.history import HISTORY_FILE, best_validated, read_history
from training.loop.worker import FolderSource, TrainingSetSource, TrainingWork, single_place, train_in_process
from training.options import TrainingOptions
from vitrine.contracts.document import Document
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.errors import ContractError
from vitrine.files.whole import replace_file
from vitrine.identity import content_id
from vitrine.settings import Settings

RECORD_FILE = "training.json"


class TrainingRecord(Document):
    """What a training was and what came of it; `training.json`, written last.

    Attributes:
        training_id: hashes data, base model and options.
        data_id: a training set's id, or that of a folder's samples.
        base: what was asked for; `base_fingerprint` is what it was.
        fingerprint: of the encoder in `encoder/`; the base's where no step was better.
        steps: that were done; `best_step` is the one whose weights were kept.
        base_recall_at_10, best_recall_at_10: of the validation; None without one.
    """

    training_id: str
    data_id: str
    base: str
    base_fingerprint: str
    fingerprint: str
    options: TrainingOptions
    samples_by_split: dict[str, int]
    steps: int
    best_step: int | None
    base_recall_at_10: float | None
    best_recall_at_10: float | None


@dataclass(frozen=True)
class TrainedEncoder:
    """The folder of an encoder, and the record and the history beside it."""

    folder: Path
    history: Path
    record: TrainingRecord


def run_training(
    source: FolderSource | TrainingSetSource,
    *,
    into: Path,
    options: TrainingOptions,
    base: str = "champion",
    settings: Settings | None = None,
    cache: Path | None = None,
) -> TrainedEncoder:
    """Trains an encoder into `into`; a training that was killed goes on, one that is done returns at once.

    Args:
        source: of the data.
        into: the training's own folder: `encoder/`, `history.json`, and `training.json` last.
        options: of the training.
        base: what it starts from, see `training.base_models`.
        settings: of the platform; None works with folders alone.
        cache: of prepared pictures; by default inside `into`.

    Raises:
        ContractError: the data cannot be trained on, or `into` holds another training.
        EncoderError: the base model cannot be used, or the training failed.
        VitrineError: what a process raised, in its own words.
    """
    options = options.settled_for(scratch=is_scratch(base))
    into = into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    base_folder = bring_base_model(base, into / "base", settings=settings, seed=options.seed)
    base_fingerprint = encoder_fingerprint(base_folder)
    data = source.read()
    training_id = content_id("training-run", [data.data_id, base_fingerprint, options.identity()])
    done = _recorded(into, training_id=training_id)
    if done is not None:
        return done
    work = TrainingWork(
        source=source, options=options, training_id=training_id, folder=into, cache=cache or into / "cache"
    )
    if options.processes == 1:
        train_in_process(work, single_place(options))
    else:
        train_distributed(
            work,
            spark_master=settings.spark_master if settings is not None else "local[1]",
            spark_secret=spark_secret(settings) if settings is not None else None,
        )
    record = _record(work, data, base=base, base_fingerprint=base_fingerprint)
    replace_file(into / RECORD_FILE, record.to_bytes() + b"\n", durably=False)
    return TrainedEncoder(folder=into / "encoder", history=into / HISTORY_FILE, record=record)


def _record(work: TrainingWork, data: TrainingData, *, base: str, base_fingerprint: str) -> TrainingRecord:
    """Says what came of a training, from its history and its encoder."""
    history = read_history(work.folder / HISTORY_FILE)
    judged = [row for row in history if row.validation_recall_at_10 is not None]
    best = best_validated(judged)
    return TrainingRecord(
        training_id=work.training_id,
        data_id=data.data_id,
        base=base,
        base_fingerprint=base_fingerprint,
        fingerprint=encoder_fingerprint(work.folder / "encoder"),
        options=work.options,
        samples_by_split={split: len(data.of_split(split)) for split in ("train", "validation", "test")},
        steps=history[-1].step,
        best_step=best.step if best else history[-1].step,
        base_recall_at_10=judged[0].validation_recall_at_10 if judged else None,
        best_recall_at_10=best.validation_recall_at_10 if best else None,
    )


def _recorded(into: Path, *, training_id: str) -> TrainedEncoder | None:
    path = into / RECORD_FILE
    if not path.is_file():
        return None
    record = TrainingRecord.from_bytes(path.read_bytes())
    if record.training_id != training_id:
        raise ContractError(
            f"{into}: expected training {training_id}, found {record.training_id}: other data, options or base model; "
            "train into another folder, or remove this one"
        )
    return TrainedEncoder(folder=into / "encoder", history=into / HISTORY_FILE, record=record)
