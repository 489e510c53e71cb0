"""The training loop of one process: steps, validations, checkpoints, and when to stop."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from training.data.loading import BatchLoader, LoadedBatch, tower_pixels
from training.loop.checkpoints import Checkpoints, Progress
from training.loop.dual_tower import DualTower
from training.loop.gathering import gather_rows
from training.loop.history import HistoryRow, gains
from training.loop.optimisation import make_optimizer, make_scaler, mixed_precision, move_weights, set_rate
from training.loop.validation import ValidationResult, Validator
from training.loop.weight_interpolation import BaseInterpolation
from training.objectives.objective import Embeddings, Losses, Relations, losses_of
from training.options import TrainingOptions
from vitrine.errors import EncoderError
from vitrine.images.preprocessing import Preprocessing

OnStep = Callable[[HistoryRow], None]


@dataclass(frozen=True)
class Place:
    """Where one process stands among all.

    Attributes:
        rank: from 0; the first one validates and writes.
        device: of its towers.
    """

    rank: int
    device: torch.device


class Trainer:
    """Trains one dual tower in place.

    What is validated, kept and left in the tower at the end are its weights mixed with those of the base model.

    Args:
        tower: the base model, on the CPU or the device; moved there.
        loader: of this process.
        validator: measures the tower; only the first process asks it. None: there is nothing to validate on.
        checkpoints: of this training.
        options, preprocessing: of the training and of the encoder.
        steps_per_epoch: passes are counted in.
        place: of this process.
    """

    def __init__(
        self,
        tower: DualTower,
        *,
        loader: BatchLoader,
        validator: Validator | None,
        checkpoints: Checkpoints,
        options: TrainingOptions,
        preprocessing: Preprocessing,
        steps_per_epoch: int,
        place: Place,
    ) -> None:
        self._tower = tower.to(place.device)
        self._wrapped = _wrap(self._tower, place)
        self._interpolation = BaseInterpolation(self._tower, base_share=options.base_share)
        self._loader = loader
        self._validator = validator
        self._checkpoints = checkpoints
        self._options = options
        self._preprocessing = preprocessing
        self._steps_per_epoch = steps_per_epoch
        self._place = place
        self._optimizer = make_optimizer(
            tower,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            text_share=options.text_learning_rate,
        )
        self._scaler = make_scaler(options.precision, device=place.device)
        self.steps = min(options.epochs * steps_per_epoch, options.max_steps or options.epochs * steps_per_epoch)
        self._warmup_steps = round(options.warmup_share * self.steps)
        self._validate_every = options.validate_every or steps_per_epoch

    def run(self, *, on_step: OnStep | None = None) -> Progress:
        """Trains to the end, from the last checkpoint if there is one; leaves the best weights in the tower.

        Raises:
            ContractError: the checkpoint belongs to another training.
            EncoderError: the loss is not finite any more.
        """
        progress = self._resumed()
        self._tower.train()
        if progress.step == 0 and not progress.history:
            self._judge(progress, HistoryRow(step=0, epoch=0.0))
            if self._place.rank == 0 and on_step is not None:
                on_step(progress.history[-1])
        if not progress.finished:
            for loaded in self._loader.stream(progress.step, self.steps):
                row = self._step(loaded)
                progress.step = loaded.batch.step + 1
                due = progress.step % self._validate_every == 0 or progress.step == self.steps
                self._judge(progress, row, validate=due)
                progress.finished = progress.finished or progress.step == self.steps
                if progress.finished or due or progress.step % self._options.checkpoint_every == 0:
                    self._save(progress)
                if self._place.rank == 0 and on_step is not None:
                    on_step(progress.history[-1])
                if progress.finished:
                    break
        if progress.best_step is not None:
            if dist.is_initialized():
                dist.barrier()  # the first process has written what all of them read
            self._tower.load_state_dict(self._checkpoints.load_best(progress.best_step))
        self._tower.eval()
        return progress

    def gradients(self, loaded: LoadedBatch) -> Losses:
        """Computes the losses of a step over the global batch and adds their gradients to the tower's."""
        device, options = self._place.device, self._options

        def pixels(again: bool) -> torch.Tensor | None:
            alterations = loaded.second if again else loaded.first
            if alterations is None:
                return None
            return tower_pixels(loaded.squares, alterations, preprocessing=self._preprocessing, device=device)

        token_ids = None if loaded.token_ids is None else loaded.token_ids.to(device)
        with mixed_precision(options.precision, device=device):
            images, visual, texts, again, scale = self._wrapped(pixels(False), token_ids, pixels(True))
        embeddings = Embeddings(
            images=gather_rows(images),
            visual=gather_rows(visual),
            texts=None if texts is None else gather_rows(texts),
            altered_again=None if again is None else gather_rows(again),
            scale=scale,
        )
        relations = Relations.of(loaded.batch, captions=loaded.captions, device=device)
        losses = losses_of(embeddings, relations, options=options)
        self._scaler.scale(losses.total).backward()
        return losses

    def _step(self, loaded: LoadedBatch) -> HistoryRow:
        step = loaded.batch.step
        torch.manual_seed((self._options.seed << 32) + step * self._options.processes + self._place.rank)  # of dropout
        set_rate(
            self._optimizer,
            learning_rate=self._options.learning_rate,
            step=step,
            steps=self.steps,
            warmup_steps=self._warmup_steps,
        )
        self._optimizer.zero_grad(set_to_none=True)
        losses = self.gradients(loaded)
        loss = float(losses.total.detach())
        if not math.isfinite(loss):
            raise EncoderError(
                f"step {step + 1}: the loss is {loss}; lower learning_rate ({self._options.learning_rate}), or train "
                "in another precision than " + self._options.precision
            )
        move_weights(
            self._optimizer,
            itertools.chain.from_iterable(group["params"] for group in self._optimizer.param_groups),
            logit_scale=self._tower.model.logit_scale,
            max_norm=self._options.max_gradient_norm,
            scaler=self._scaler,
        )
        return HistoryRow(
            step=step + 1,
            epoch=round((step + 1) / self._steps_per_epoch, 4),
            loss=loss,
            triplet=_number(losses.triplet),
            infonce=_number(losses.infonce),
            self_supervised=_number(losses.self_supervised),
            learning_rate=self._optimizer.param_groups[0]["lr"],  # of the image tower
        )

    def _judge(self, progress: Progress, row: HistoryRow, *, validate: bool = True) -> None:
        """Adds a step to the history, validated where it is due, and decides whether it was the last."""
        recall: float | None = None
        if validate:
            result = self._validate() if self._place.rank == 0 else None
            recall = self._agreed(None if result is None else result.mean)
            if result is not None:
                row = _validated(row, result)
        progress.history.append(row)
        if recall is None:
            if validate:
                self._keep(progress)  # nothing tells one from the other: the last is the best
            return
        if gains(recall, over=progress.best_recall):
            progress.best_recall, progress.without_gain = recall, 0
            self._keep(progress)
            return
        progress.without_gain += 1
        progress.finished = progress.without_gain >= self._options.early_stopping_patience

    def _validate(self) -> ValidationResult | None:
        if self._validator is None:
            return None
        with self._interpolation.applied():
            return self._validator.validate(self._tower)

    def _keep(self, progress: Progress) -> None:
        progress.best_step = progress.step
        if self._place.rank == 0:
            with self._interpolation.applied():
                self._checkpoints.save_best(self._tower.state_dict(), step=progress.step)

    def _agreed(self, recall: float | None) -> float | None:
        """What the first process found, in all of them: they stop at the same step."""
        if not dist.is_initialized():
            return recall
        found = torch.tensor([-1.0 if recall is None else recall], dtype=torch.float64, device=self._place.device)
        dist.broadcast(found, src=0)
        return None if found.item() < 0 else float(found.item())

    def _save(self, progress: Progress) -> None:
        if self._place.rank == 0:
            states = {
                "tower": self._tower.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "scaler": self._scaler.state_dict(),
            }
            self._checkpoints.save(states, progress)

    def _resumed(self) -> Progress:
        found = self._checkpoints.load()
        if dist.is_initialized():
            dist.barrier()  # nobody writes before everybody has read
        if found is None:
            return Progress()
        states, progress = found
        self._tower.load_state_dict(states["tower"])
        self._optimizer.load_state_dict(states["optimizer"])
        self._scaler.load_state_dict(states["scaler"])
        return progress


def _wrap(tower: DualTower, place: Place) -> Any:
    if not dist.is_initialized():
        return tower
    return DistributedDataParallel(tower, device_ids=[place.device] if place.device.type == "cuda" else None)


def _number(loss: torch.Tensor | None) -> float | None:
    return None if loss is None else float(loss.detach())


def _validated(row: HistoryRow, result: ValidationResult) -> HistoryRow:
    return replace(
        row,
        validation_recall_at_10=result.mean,
        image_recall_at_10=result.image,
        text_recall_at_10=result.text,
        user_photo_recall_at_10=result.user_photo,
    )
