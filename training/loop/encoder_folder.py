"""The outcome of a training: an encoder folder that the whole platform loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from vitrine.encoder.checkpoint import materialise_checkpoint
from vitrine.files.whole import whole_folder


def write_encoder_folder(model: Any, *, base: Path, into: Path) -> Path:
    """Writes a trained `transformers.CLIPModel` with the preprocessing and the tokenizer that it started with.

    Args:
        model: float32 weights are written, whatever it was trained in; the training's own head is no part of it.
        base: the encoder folder that the training began from.
        into: replaced when it is there; whole or not at all.
    """
    with whole_folder(into, replace=True) as partial:
        materialise_checkpoint(base, partial)
        for path in partial.glob("model*.safetensors*"):
            path.unlink()
        tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, partial / "model.safetensors", metadata={"format": "pt"})
    return into
