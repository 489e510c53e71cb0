"""What one process of a training does, from the data to the encoder folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from training.data.batches import BatchSampler
from training.data.folder_samples import read_folder_samples
from training.data.image_bytes import FileReader, ImageReader, PackReader
from training.data.loading import BatchLoader
from training.data.prepared import larger, prepare_pictures
from training.data.samples import TrainingData
from training.data.stored_samples import read_training_set
from training.loop.checkpoints import Checkpoints, Progress
from training.loop.display import training_display
from training.loop.dual_tower import DualTower
from training.loop.encoder_folder import write_encoder_folder
from training.loop.history import HISTORY_FILE, HistoryRow, write_history
from training.loop.trainer import Place, Trainer
from training.loop.validation import Validator
from training.options import TrainingOptions
from vitrine.encoder.architecture import Architecture
from vitrine.encoder.checkpoint import load_checkpoint
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.errors import ContractError
from vitrine.images.preprocessing import Preprocessing
from vitrine.processes.state import torch_threads
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@dataclass(frozen=True)
class FolderSource:
    """A folder in the items format, read by the limits of the platform."""

    folder: Path
    settings: Settings

    def read(self) -> TrainingData:
        """Reads its samples."""
        return read_folder_samples(self.folder, self.settings).training_data()

    def image_reader(self) -> ImageReader:
        """Reads image files."""
        return FileReader()


@dataclass(frozen=True)
class TrainingSetSource:
    """A training set in the object store."""

    object_store: ObjectStore
    catalog_id: str
    training_set_id: str

    def read(self) -> TrainingData:
        """Reads its samples, pairs and hard negatives."""
        return read_training_set(self.object_store, catalog_id=self.catalog_id, training_set_id=self.training_set_id)

    def image_reader(self) -> ImageReader:
        """Reads packs."""
        return PackReader(self.object_store)


@dataclass(frozen=True)
class TrainingWork:
    """All that a process must know; it can be pickled.

    Attributes:
        source: of the data.
        options: of the training.
        training_id: names data, options and base model.
        folder: of the training, shared by its processes: `base/`, `checkpoints/`, `encoder/`, `history.json`.
        cache: of prepared pictures, on the machine's own disk.
    """

    source: FolderSource | TrainingSetSource
    options: TrainingOptions
    training_id: str
    folder: Path
    cache: Path


def train_in_process(
    work: TrainingWork, place: Place, *, on_step: Callable[[HistoryRow], None] | None = None
) -> Progress:
    """Trains, or goes on training, as one of the processes; the first one writes the encoder folder.

    Raises:
        ContractError: the data cannot be trained on.
        EncoderError: the base model cannot be loaded, or the training diverged.
    """
    on_cpu = place.device.type == "cpu"
    # What is drawn and how many threads torch uses is the training's matter, and its process has others.
    with (
        torch_threads(work.options.threads if on_cpu else None),
        torch.random.fork_rng(devices=[] if on_cpu else [place.device]),
    ):
        return _train(work, place, on_step=on_step)


def _train(work: TrainingWork, place: Place, *, on_step: Callable[[HistoryRow], None] | None) -> Progress:
    options, base = work.options, work.folder / "base"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)  # of the head's first weights: the same in each process
        tower = DualTower(load_checkpoint(base), options=options)
    checkpoints = Checkpoints(work.folder / "checkpoints", training_id=work.training_id)
    trainer = _trainer(work, tower, checkpoints, place)
    display = training_display(steps=trainer.steps) if place.rank == 0 else nullcontext(None)
    with display as show:

        def told(row: HistoryRow) -> None:
            if show is not None:
                show(row)
            if on_step is not None:
                on_step(row)

        progress = trainer.run(on_step=told)
    if place.rank == 0:
        write_history(progress.history, work.folder / HISTORY_FILE)
        write_encoder_folder(tower.model, base=base, into=work.folder / "encoder")
    return progress


def _trainer(work: TrainingWork, tower: DualTower, checkpoints: Checkpoints, place: Place) -> Trainer:
    options, base = work.options, work.folder / "base"
    preprocessing = Preprocessing.from_folder(base)
    tokenizer = TextTokenizer(base, context_length=Architecture.from_folder(base).context_length)
    data, reader = work.source.read(), work.source.image_reader()
    train, held = data.of_split("train"), data.of_split("validation")
    if not train:
        raise ContractError(f"{data.data_id}: {len(data.samples)} samples, and none of them is for training; see split")
    pictures = prepare_pictures(
        train, preprocessing=larger(preprocessing), cache=work.cache, reader=reader, threads=options.loader_threads
    )
    sampler = BatchSampler(
        pictures.usable(train), pairs=data.pairs, hard_negatives=data.hard_negatives, options=options
    )
    validator = None
    if held and place.rank == 0:
        exact = prepare_pictures(
            held, preprocessing=preprocessing, cache=work.cache, reader=reader, threads=options.loader_threads
        )
        validator = Validator(
            exact.usable(held),
            pictures=exact,
            preprocessing=preprocessing,
            tokenizer=tokenizer,
            options=options,
            device=place.device,
        )
    return Trainer(
        tower,
        loader=BatchLoader(sampler, pictures=pictures, tokenizer=tokenizer, options=options, rank=place.rank),
        validator=validator,
        checkpoints=checkpoints,
        options=options,
        preprocessing=preprocessing,
        steps_per_epoch=sampler.steps_per_epoch,
        place=place,
    )


def single_place(options: TrainingOptions) -> Place:
    """The place of a process that is alone."""
    return Place(rank=0, device=device_of(options, local_rank=0))


def device_of(options: TrainingOptions, *, local_rank: int) -> torch.device:
    """The device of a process: its own GPU where one is asked for or there.

    Raises:
        ContractError: a GPU was asked for and there are too few.
    """
    if options.device == "cpu" or (options.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise ContractError(
            f"process {local_rank} needs a GPU of its own, and torch {torch.__version__} sees "
            f"{torch.cuda.device_count()}; start fewer processes, or set device to 'cpu'"
        )
    return torch.device("cuda", local_rank)
