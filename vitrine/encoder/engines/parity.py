"""The reference that tells whether an engine computes the same as torch in fp32, on the machine where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.encoder.engines.engine import Engine
from vitrine.errors import EncoderError

REFERENCE_FILE = "reference.safetensors"
MIN_PARITY = 0.999
_PROBE_IMAGES = 3


def write_reference(
    into: Path, *, image_tower: Any, text_tower: Any, image_size: int, token_ids: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Writes what the torch towers answer to made-up pictures and to `token_ids`; returns those pictures' pixels."""
    import torch
    from safetensors.numpy import save_file

    pixels = probe_pixels(image_size)
    with torch.inference_mode():
        reference = {
            "image_size": np.array([image_size], dtype=np.int64),
            "token_ids": token_ids,
            "image_projections": image_tower(torch.from_numpy(pixels)).numpy(),
            "text_projections": text_tower(torch.from_numpy(token_ids)).numpy(),
        }
    save_file(reference, into / REFERENCE_FILE)
    return pixels


def check_parity(engine: Engine, folder: Path) -> float:
    """Runs the reference through `engine` and returns the lowest cosine similarity to torch in fp32.

    It also warms the engine up.

    Raises:
        EncoderError: the lowest is under 0.999: this engine computes something else on this machine.
    """
    from safetensors.numpy import load_file

    reference = load_file(folder / REFERENCE_FILE)
    image_size = reference["image_size"].item()
    found = {
        "image": engine.project_images(probe_pixels(image_size)),
        "text": engine.project_texts(reference["token_ids"]),
    }
    lowest = {tower: _lowest_cosine(found[tower], reference[f"{tower}_projections"]) for tower in found}
    for tower, cosine in lowest.items():
        if not cosine >= MIN_PARITY:  # NaN is refused too
            raise EncoderError(
                f"{folder}: the {tower} tower of engine {engine.name} in {engine.precision} has cosine {cosine:.5f} "
                f"to torch in fp32 (at least {MIN_PARITY} expected); use another engine or precision on this machine"
            )
    return min(lowest.values())


def probe_pixels(image_size: int) -> NDArray[np.float32]:
    """Returns the same made-up pictures everywhere, as prepared pixels: (3, 3, image_size, image_size)."""
    axis = np.linspace(0.0, 1.0, image_size, dtype=np.float32)
    down, across = np.meshgrid(axis, axis, indexing="ij")
    waves = [
        np.sin(2 * np.pi * ((1 + image + channel) * down + (2 + image - channel) * across)) * 1.5
        for image in range(_PROBE_IMAGES)
        for channel in range(3)
    ]
    return np.stack(waves).reshape(_PROBE_IMAGES, 3, image_size, image_size).astype(np.float32)


def _lowest_cosine(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(np.min(np.sum(found * expected, axis=1) / norms))
