"""A CLIP while it is trained: what counts is embedded, what does not is frozen."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize

from training.options import TrainingOptions


class DualTower(nn.Module):
    """Both towers of a `transformers.CLIPModel`, with the head that only the training has.

    Args:
        model: is trained in place.
        options: say what counts; parameters that no loss reaches are frozen.
    """

    def __init__(self, model: Any, *, options: TrainingOptions) -> None:
        super().__init__()
        self.model = model
        dimension = int(model.config.projection_dim)
        self.head = projection_head(dimension) if options.projection_head else None
        self._texts, self._text_frozen = options.uses_texts, options.freeze_text or options.text_learning_rate == 0
        if options.temperature is not None:
            with torch.no_grad():
                model.logit_scale.fill_(math.log(1.0 / options.temperature))
        model.logit_scale.requires_grad_(options.uses_texts and options.temperature is None)
        for part in (model.text_model, model.text_projection):
            part.requires_grad_(self._texts and not self._text_frozen)
        if options.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def forward(
        self, pixels: torch.Tensor, token_ids: torch.Tensor | None, altered_again: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor]:
        """Embeds one process's rows, each of unit L2 norm, float32.

        Args:
            pixels: (n, 3, image_size, image_size).
            token_ids: (n, length).
            altered_again: like `pixels`.

        Returns:
            Images, what the visual losses see of them, texts, the same of `altered_again`, (n, dimension) each, and the
            inverse temperature.
        """
        images = self.embed_images(pixels)
        visual = self._visual(images)
        texts = self.embed_texts(token_ids) if self._texts and token_ids is not None else None
        again = None if altered_again is None else self._visual(self.embed_images(altered_again))
        return images, visual, texts, again, self.model.logit_scale.float().exp()

    def embed_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Returns (n, dimension), unit L2 norm, float32."""
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return normalize(self.model.visual_projection(pooled).float(), dim=1)

    def embed_texts(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Returns (n, dimension), unit L2 norm, float32; without gradients where the text tower is frozen."""
        with torch.no_grad() if self._text_frozen else contextlib.nullcontext():
            pooled = self.model.text_model(input_ids=token_ids).pooler_output
            return normalize(self.model.text_projection(pooled).float(), dim=1)

    def _visual(self, images: torch.Tensor) -> torch.Tensor:
        return images if self.head is None else normalize(self.head(images).float(), dim=1)


def projection_head(dimension: int) -> nn.Sequential:
    """The MLP of SimCLR (Chen et al. 2020, arXiv:2002.05709, section 2.1), from the shared space to one of its own."""
    return nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(), nn.Linear(dimension, dimension))
