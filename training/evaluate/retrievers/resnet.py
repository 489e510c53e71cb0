"""The baseline of a network that was trained to name objects: a ResNet's last pooled features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.evaluate.retrievers.picture_vectors import PictureVectors, unit_rows
from training.evaluate.tasks.task import Entry, Query, Task
from vitrine.errors import EncoderError
from vitrine.processes.state import torch_threads


class ResnetRetriever:
    """Cosine of pooled features (K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016).

    Args:
        checkpoint: a `transformers` ResNet by folder or name, as safetensors with its preprocessor_config.json.
        threads: of torch.
        on_progress: called with how many pictures were embedded since the last call.

    Raises:
        EncoderError: the checkpoint cannot be loaded.
    """

    def __init__(self, checkpoint: str, *, threads: int = 1, on_progress: Callable[[int], None] | None = None) -> None:
        self.name = "ResNet"
        self.description = f"pooled features of {checkpoint.rstrip('/').rsplit('/', 1)[-1]}"
        self._model, self._processor = _load(checkpoint)
        self._threads = threads
        self._pictures = PictureVectors(self._embed, on_progress=on_progress)

    def refusal(self, task: Task) -> str | None:
        """Answers pictures with pictures."""
        return None if (task.query_kind, task.entry_kind) == ("picture", "picture") else "it reads no text"

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Needs to see nothing beforehand."""

    def scores(self, queries: Sequence[Query], entries: Sequence[Entry]) -> NDArray[np.float32]:
        """Returns cosine similarities: (n_queries, n_entries)."""
        return self._pictures.of(queries) @ self._pictures.of(entries).T

    def _embed(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        import torch

        with torch_threads(self._threads), torch.inference_mode():
            pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
            pooled = self._model(pixel_values=pixels).pooler_output.flatten(1)  # (n, channels)
        return unit_rows(pooled.numpy().astype(np.float32))


def _load(checkpoint: str) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoImageProcessor, ResNetModel

    try:
        loaded: Any = ResNetModel.from_pretrained(checkpoint, use_safetensors=True, output_loading_info=True)
        # Pillow's resizing: torchvision, which the fast processors need, is not asked for.
        processor = AutoImageProcessor.from_pretrained(checkpoint, use_fast=False)
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise EncoderError(
            f"ResNet baseline {checkpoint!r} cannot be loaded: {error}; give a folder with config.json, "
            "model.safetensors and preprocessor_config.json, or a name on the model hub"
        ) from error
    model, report = loaded
    if report["missing_keys"]:
        raise EncoderError(f"ResNet baseline {checkpoint!r}: tensors are missing, first {min(report['missing_keys'])}")
    return model.eval(), processor
