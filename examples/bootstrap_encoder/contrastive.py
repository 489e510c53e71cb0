"""Trains a CLIP on pairs of pictures of one product, and on texts that describe it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from training.loop.optimisation import make_optimizer, make_scaler, mixed_precision, move_weights, set_rate
from training.objectives.losses import symmetric_info_nce
from training.options import TrainingPrecision

_PRECISION: TrainingPrecision = "bf16"


@dataclass(frozen=True)
class ContrastiveBatch:
    """One step's data.

    Attributes:
        first, second: (n, 3, size, size), two views of each of n products, prepared.
        token_ids: (m, length), m texts: one for each product at least; more of them are more negatives, cheaply.
        described: (m, n), bool: text i is true of product j.
        groups: of texts that compete with each other, as (first, end) rows; None is one group of all. A small group
            (all types, all patterns) teaches what a large one leaves to the few pairs that differ in nothing else.
    """

    first: torch.Tensor
    second: torch.Tensor
    token_ids: torch.Tensor
    described: torch.Tensor
    groups: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how hard to train.

    Attributes:
        steps: optimiser steps.
        learning_rate: the peak, after `warmup_steps`, decaying to zero along a cosine.
        dropped_patches: share of patches that the image tower does not see while training (FLIP, Li et al. 2022,
            arXiv:2212.00794): without more than half of them a step takes half the time.
        whole_from: from this share of the steps on all patches are seen.
        text_weight: of the image-text loss beside the image-image loss.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup_steps: int = 60
    weight_decay: float = 0.05
    dropped_patches: float = 0.6
    whole_from: float = 0.9
    text_weight: float = 3.0


def train_dual_tower(
    model: Any,
    batches: Iterator[ContrastiveBatch],
    *,
    plan: TrainingPlan,
    autocast_device: str = "cpu",
    on_progress: Callable[[int, float], None] | None = None,
) -> None:
    """Trains `model` (a `transformers.CLIPModel`) in place, in bfloat16 autocast.

    Args:
        batches: endless.
        on_progress: called with the step and the mean loss since the last call, every few seconds.
    """
    device = torch.device(autocast_device)
    optimizer = make_optimizer(model, learning_rate=plan.learning_rate, weight_decay=plan.weight_decay)
    scaler = make_scaler(_PRECISION, device=device)
    model.train()
    losses: list[float] = []
    told = time.monotonic()
    for step in range(plan.steps):
        set_rate(
            optimizer,
            learning_rate=plan.learning_rate,
            step=step,
            steps=plan.steps,
            warmup_steps=plan.warmup_steps,
        )
        dropped = plan.dropped_patches if step < plan.whole_from * plan.steps else 0.0
        loss = _loss(model, next(batches), plan=plan, dropped=dropped, device=device)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        move_weights(optimizer, model.parameters(), logit_scale=model.logit_scale, max_norm=1.0, scaler=scaler)
        losses.append(float(loss.detach()))
        if on_progress is not None and (time.monotonic() - told > 5.0 or step + 1 == plan.steps):
            on_progress(step + 1, sum(losses) / len(losses))
            losses, told = [], time.monotonic()
    model.eval()


def project_images(model: Any, pixels: torch.Tensor, *, dropped_patches: float = 0.0) -> torch.Tensor:
    """Runs the image tower, on all patches or on a random part of them: (n, dimension), not normalised."""
    if dropped_patches <= 0.0:
        return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    tower = model.vision_model
    tokens = tower.embeddings(pixels)  # (n, 1 + patches, width)
    patches = tokens.shape[1] - 1
    kept = max(1, round(patches * (1.0 - dropped_patches)))
    chosen = torch.rand(len(tokens), patches, device=tokens.device).argsort(dim=1)[:, :kept] + 1
    chosen = torch.cat([torch.zeros_like(chosen[:, :1]), chosen], dim=1)  # the class token stays
    tokens = tokens.gather(1, chosen.unsqueeze(-1).expand(-1, -1, tokens.shape[2]))
    hidden = tower.encoder(inputs_embeds=tower.pre_layrnorm(tokens)).last_hidden_state
    return model.visual_projection(tower.post_layernorm(hidden[:, 0]))


def _loss(
    model: Any, batch: ContrastiveBatch, *, plan: TrainingPlan, dropped: float, device: torch.device
) -> torch.Tensor:
    with mixed_precision(_PRECISION, device=device):
        images = project_images(model, torch.cat([batch.first, batch.second]), dropped_patches=dropped)
        texts = model.text_projection(model.text_model(input_ids=batch.token_ids).pooler_output)
    images = torch.nn.functional.normalize(images.float(), dim=1)
    texts = torch.nn.functional.normalize(texts.float(), dim=1)
    first, second = images.chunk(2)
    scale = model.logit_scale.exp()
    same = torch.eye(len(first), dtype=torch.bool, device=first.device)
    views = symmetric_info_nce(first, second, positives=same, scale=scale)
    described = batch.described.repeat(1, 2)  # texts against both views
    words = [
        symmetric_info_nce(texts[start:end], images, positives=described[start:end], scale=scale)
        for start, end in batch.groups or ((0, len(texts)),)
    ]
    return views + plan.text_weight * torch.stack(words).mean()
