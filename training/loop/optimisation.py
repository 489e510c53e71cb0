"""How weights move: AdamW, a rate that rises and falls, mixed precision."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from training.options import TrainingOptions, TrainingPrecision

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def make_optimizer(tower: nn.Module, *, options: TrainingOptions) -> torch.optim.AdamW:
    """AdamW over what is trained: decay on matrices only, a lower rate for the text tower."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in tower.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((".text_" in f".{name}", parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": options.weight_decay if decayed else 0.0,
                "share": options.text_learning_rate if of_text else 1.0,
            }
            for (of_text, decayed), parameters in sorted(groups.items(), key=lambda group: group[0])
        ],
        lr=options.learning_rate,
        betas=(0.9, 0.98),
    )


def set_rate(optimizer: torch.optim.Optimizer, *, step: int, steps: int, options: TrainingOptions) -> None:
    """Sets the rate of a step: a linear rise, then a cosine to zero (Loshchilov and Hutter 2017, equation 5)."""
    share = rate_share(step, steps=steps, warmup_steps=round(options.warmup_share * steps))
    for group in optimizer.param_groups:
        group["lr"] = options.learning_rate * share * group["share"]


def rate_share(step: int, *, steps: int, warmup_steps: int) -> float:
    """Returns the share of the peak rate at a step, counted from 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


@contextlib.contextmanager
def mixed_precision(precision: TrainingPrecision, *, device: torch.device) -> Iterator[None]:
    """Runs the towers in a lower precision where one is asked for."""
    if precision == "fp32":
        yield
        return
    with torch.autocast(device.type, dtype=_AUTOCAST[precision]):
        yield


def make_scaler(precision: TrainingPrecision, *, device: torch.device) -> Any:
    """A gradient scaler that does nothing unless small gradients could be lost, as in fp16."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
