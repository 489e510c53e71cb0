"""The torch engine: for GPUs, and the reference that other engines are measured against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.encoder.checkpoint import load_checkpoint
from vitrine.encoder.engines.engine import EngineName, Precision
from vitrine.errors import EncoderError
from vitrine.processes.state import torch_threads


class TorchEngine:
    """Runs a checkpoint with torch on a CPU or a GPU.

    Args:
        folder: an encoder folder with `model.safetensors`.
        device: `cpu`, `cuda` or `cuda:<n>`.
        precision: `bf16` loads the weights as bfloat16.
        threads: for the CPU; torch has one such number for the whole process.

    Raises:
        EncoderError: the checkpoint cannot be loaded, or the device is not there.
    """

    name: EngineName = "torch"

    def __init__(self, folder: Path, *, device: str = "cpu", precision: Precision = "fp32", threads: int = 1) -> None:
        import torch

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EncoderError(
                f"device {device!r} was asked for, and torch {torch.__version__} sees no GPU; "
                "install torch's CUDA build, or set the device to 'cpu'"
            )
        self._threads = threads if device == "cpu" else None
        self.precision: Precision = precision
        self._device = torch.device(device)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        model = load_checkpoint(folder).to(device=self._device, dtype=dtype)
        self._image, self._text = towers(model)
        self._dtype = dtype

    def project_images(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps (n, 3, size, size) prepared pixels to (n, dimension)."""
        import torch

        with torch_threads(self._threads), torch.inference_mode():
            on_device = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device, self._dtype)
            return self._image(on_device).float().cpu().numpy()

    def project_texts(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Maps (n, length) token ids to (n, dimension)."""
        import torch

        with torch_threads(self._threads), torch.inference_mode():
            on_device = torch.from_numpy(np.ascontiguousarray(token_ids)).to(self._device)
            return self._text(on_device).float().cpu().numpy()


def towers(model: Any) -> tuple[Any, Any]:
    """Splits a `CLIPModel` into two modules, each from its one input to projections before normalisation."""
    import torch

    class ImageTower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower, self.projection = model.vision_model, model.visual_projection

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return self.projection(self.tower(pixel_values=pixel_values).pooler_output)

    class TextTower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower, self.projection = model.text_model, model.text_projection

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return self.projection(self.tower(input_ids=input_ids).pooler_output)

    return ImageTower().eval(), TextTower().eval()
