"""How weights move, against the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from training.loop.optimisation import MAX_SCALE, make_optimizer, make_scaler, move_weights, rate_share, set_rate


class Towers(nn.Module):
    """A matrix and a bias of each tower, and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vision_model, self.text_model = nn.Linear(3, 2), nn.Linear(3, 2)
        self.logit_scale = nn.Parameter(torch.tensor(1.0))


def written_out(step: int, *, steps: int, warmup_steps: int) -> float:
    """A linear rise to 1, and from there half a cosine down to 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


@pytest.mark.parametrize(("steps", "warmup_steps"), [(720, 60), (1050, 60), (8, 0), (8, 1), (5, 5), (3, 60)])
def test_the_rate_rises_in_a_line_and_falls_along_a_cosine(steps: int, warmup_steps: int) -> None:
    shares = [rate_share(step, steps=steps, warmup_steps=warmup_steps) for step in range(steps)]

    assert shares == [written_out(step, steps=steps, warmup_steps=warmup_steps) for step in range(steps)]


def test_the_text_tower_has_a_share_of_the_rate_and_only_matrices_decay() -> None:
    towers = Towers()
    optimizer = make_optimizer(towers, learning_rate=0.5, weight_decay=0.1, text_share=0.2)

    set_rate(optimizer, learning_rate=0.5, step=0, steps=9, warmup_steps=2)

    found = {
        name: (group["lr"], group["weight_decay"])
        for name, parameter in towers.named_parameters()
        for group in optimizer.param_groups
        if any(parameter is one for one in group["params"])
    }
    assert found == {
        "vision_model.weight": (0.25, 0.1),
        "vision_model.bias": (0.25, 0.0),
        "text_model.weight": (0.05, 0.1),
        "text_model.bias": (0.05, 0.0),
        "logit_scale": (0.25, 0.0),
    }


def test_a_step_follows_clipped_gradients() -> None:
    towers = Towers()
    optimizer = torch.optim.SGD(towers.parameters(), lr=1.0)
    before = [parameter.detach().clone() for parameter in towers.parameters()]
    for parameter in towers.parameters():
        parameter.grad = torch.full_like(parameter, -10.0)

    move_weights(
        optimizer,
        towers.parameters(),
        logit_scale=towers.logit_scale,
        max_norm=0.5,
        scaler=make_scaler("fp32", device=torch.device("cpu")),
    )

    moved = torch.cat([(now - then).flatten() for now, then in zip(towers.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)
    assert (moved > 0).all()


@pytest.mark.parametrize(("gradient", "kept"), [(-100.0, math.log(MAX_SCALE)), (100.0, 0.0)])
def test_the_temperature_stays_in_its_range(gradient: float, kept: float) -> None:
    scale = nn.Parameter(torch.tensor(1.0))
    scale.grad = torch.tensor(gradient)

    move_weights(
        torch.optim.SGD([scale], lr=1.0),
        [scale],
        logit_scale=scale,
        max_norm=1_000.0,
        scaler=make_scaler("fp32", device=torch.device("cpu")),
    )

    assert scale.item() == pytest.approx(kept)
