"""What a training gives out: its weights, drawn back towards those that it started from.

WiSE-FT: M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv:2109.01903, equation 1. Between
an encoder and its base lie encoders that have most of what was learned and nearly all of what the base could do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class BaseInterpolation:
    """Mixes the weights of a model under training with those that it had at first.

    Args:
        model: as it is before the first step.
        base_share: of the first weights, in [0, 1); 0 leaves the model as it is trained.
    """

    def __init__(self, model: nn.Module, *, base_share: float) -> None:
        self._model = model
        self._base_share = base_share
        self._base = _copied(model) if base_share else {}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Has the model hold the mixed weights for the duration of the block, and then its own again, bit by bit."""
        if not self._base_share:
            yield
            return
        own = _copied(self._model)
        self._load({name: torch.lerp(own[name], self._base[name], self._base_share) for name in self._base})
        try:
            yield
        finally:
            self._load(own)

    def _load(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                parameter.copy_(weights[name])


def _copied(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
