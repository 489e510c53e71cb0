"""What an engine is: the two towers of one encoder, ready to run."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

EngineName = Literal["openvino", "torch"]
Precision = Literal["fp32", "bf16"]


class Engine(Protocol):
    """Runs the towers; thread-safe. Embeddings come out as they are, before normalisation."""

    name: EngineName
    precision: Precision

    def project_images(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps (n, 3, size, size) prepared pixels to (n, dimension)."""

    def project_texts(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Maps (n, length) token ids to (n, dimension)."""
