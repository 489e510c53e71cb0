"""How weights move: AdamW, a rate that rises and falls, mixed precision, and the step that they make."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from training.options import TrainingPrecision

MAX_SCALE = 100.0
"""Of the inverse temperature, as in CLIP (Radford et al. 2021, section 2.5): beyond it training becomes unstable."""

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def make_optimizer(
    tower: nn.Module, *, learning_rate: float, weight_decay: float, text_share: float = 1.0
) -> torch.optim.AdamW:
    """AdamW over what is trained: decay on matrices only, a rate of its own for the text tower.

    Args:
        learning_rate: the peak.
        text_share: of that rate, for the text tower.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in tower.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((".text_" in f".{name}", parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": weight_decay if decayed else 0.0,
                "share": text_share if of_text else 1.0,
            }
            for (of_text, decayed), parameters in sorted(groups.items(), key=lambda group: group[0])
        ],
        lr=learning_rate,
        betas=(0.9, 0.98),
    )


def set_rate(
    optimizer: torch.optim.Optimizer, *, learning_rate: float, step: int, steps: int, warmup_steps: int
) -> None:
    """Sets the rate of a step: a linear rise, then a cosine to zero (Loshchilov and Hutter 2017, equation 5)."""
    share = rate_share(step, steps=steps, warmup_steps=warmup_steps)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * share * group["share"]


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


def move_weights(
    optimizer: torch.optim.Optimizer,
    trained: Iterable[nn.Parameter],
    *,
    logit_scale: nn.Parameter,
    max_norm: float,
    scaler: Any,
) -> None:
    """Makes a step along the gradients, which are clipped first; keeps the temperature in CLIP's range.

    Args:
        trained: the optimizer's parameters; the norm's last bits depend on their order.
        logit_scale: log of the inverse temperature, trained or not.
        max_norm: of all gradients together.
        scaler: that their loss was scaled by.
    """
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(trained, max_norm)
    scaler.step(optimizer)
    scaler.update()
    with torch.no_grad():
        logit_scale.clamp_(0.0, math.log(MAX_SCALE))
