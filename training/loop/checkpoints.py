"""Checkpoints: everything a training needs to go on after a kill as if nothing had happened.

    <folder>/step-00000050.pt      model, head, optimizer, scaler, progress and history; written whole or not at all
    <folder>/best-00000040.pt      the weights of the best validation so far, which the checkpoint names

Batches and augmentations depend on the seed and the step alone, so no generator's state is kept.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from training.loop.history import HistoryRow
from vitrine.errors import ContractError
from vitrine.files.whole import whole_file

_STEP = re.compile(r"step-(\d{8})\.pt")
_KEPT = 2


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps that were done.
        best_step: of the best validation; None before the first.
        best_recall: its recall.
        without_gain: validations since.
        finished: nothing is left to do.
        history: a row a step.
    """

    step: int = 0
    best_step: int | None = None
    best_recall: float = -1.0
    without_gain: int = 0
    finished: bool = False
    history: list[HistoryRow] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: its own.
        training_id: names data, options and base model; a checkpoint of another training is refused.
    """

    def __init__(self, folder: Path, *, training_id: str) -> None:
        self._folder = folder
        self._training_id = training_id

    def save(self, states: dict[str, Any], progress: Progress) -> None:
        """Writes a checkpoint of `states` (name to state dict), then removes what no longer counts."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {
            "training_id": self._training_id,
            "states": states,
            "progress": {**asdict(progress), "history": [asdict(row) for row in progress.history]},
        }
        _write(content, self._path(progress.step))
        kept = {self._path(step) for step in self._steps()[-_KEPT:]} | {self.best_path(progress.best_step)}
        for path in [*self._folder.glob("*.pt"), *self._folder.glob(".*.part*")]:
            if path not in kept:
                path.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Any], Progress] | None:
        """Reads the newest checkpoint, onto the CPU; None when there is none.

        Raises:
            ContractError: it belongs to another training.
        """
        steps = self._steps()
        if not steps:
            return None
        # weights_only: tensors and plain values, no code can be in it.
        content = torch.load(self._path(steps[-1]), map_location="cpu", weights_only=True)
        if content["training_id"] != self._training_id:
            raise ContractError(
                f"{self._folder}: expected checkpoints of {self._training_id}, found {content['training_id']}: other "
                "data, options or base model; train into another folder, or remove this one"
            )
        saved = content["progress"]
        history = [HistoryRow(**row) for row in saved.pop("history")]
        return content["states"], Progress(**saved, history=history)

    def save_best(self, state: dict[str, torch.Tensor], *, step: int) -> None:
        """Writes the weights of a validation; they count once a checkpoint names them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(state, self.best_path(step))

    def load_best(self, step: int) -> dict[str, torch.Tensor]:
        """Reads the weights of a validation."""
        state: dict[str, torch.Tensor] = torch.load(self.best_path(step), map_location="cpu", weights_only=True)
        return state

    def best_path(self, step: int | None) -> Path:
        """Where the weights of a validation are."""
        return self._folder / ("best-none" if step is None else f"best-{step:08d}.pt")

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}.pt"

    def _steps(self) -> list[int]:
        return sorted(int(match[1]) for path in self._folder.glob("*.pt") if (match := _STEP.fullmatch(path.name)))


def _write(content: dict[str, Any], path: Path) -> None:
    with whole_file(path, durably=True) as partial, partial.open("wb") as stream:
        torch.save(content, stream)
