"""What tests run in processes of their own, importable there by name."""

from __future__ import annotations

import os

import torch

from training.loop.checkpoints import Checkpoints
from training.loop.distributed import joined
from training.loop.dual_tower import DualTower
from training.loop.trainer import Place
from training.loop.worker import TrainingWork, _trainer
from vitrine.encoder.checkpoint import load_checkpoint
from vitrine.errors import ContractError


def gradients(work: TrainingWork, place: Place) -> dict[str, torch.Tensor]:
    """The gradients of the first step."""
    torch.manual_seed(work.options.seed)
    tower = DualTower(load_checkpoint(work.folder / "base"), options=work.options)
    trainer = _trainer(work, tower, Checkpoints(work.folder / "checkpoints", training_id="t"), place)
    trainer.gradients(next(iter(trainer._loader.stream(0, 1))))
    return {name: p.grad for name, p in tower.named_parameters() if p.grad is not None}


def save_gradients(work: TrainingWork) -> None:
    """Runs in each process."""
    with joined(work.options) as place:
        found = gradients(work, place)
        if place.rank == 0:
            torch.save(found, work.folder / "gradients.pt")


def fail_in_the_second() -> None:
    """Runs in each process."""
    if os.environ["RANK"] == "1":
        raise ContractError("item i07 has no picture that can be read")
