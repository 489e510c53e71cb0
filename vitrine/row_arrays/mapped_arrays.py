"""Arrays on disk that are memory-mapped: they cost no anonymous memory, and processes share their pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vitrine.errors import ContractError

_HEADER_BYTES = 128  # of a one-dimensional .npy; there is nothing to map behind it when the array is empty


def map_array(path: Path, *, items: int | None = None, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Memory-maps a one-dimensional `.npy` file for reading.

    Raises:
        ContractError: the file is missing, malformed, or of another length or type.
    """
    try:
        is_empty = path.stat().st_size <= _HEADER_BYTES
        values = np.asarray(np.load(path, mmap_mode=None if is_empty else "r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise ContractError(f"{path} cannot be read: {error}; fetch it again") from error
    if values.ndim != 1 or (items is not None and len(values) != items):
        raise ContractError(f"{path}: expected {items} rows, found {values.shape}; fetch it again")
    if dtype is not None and values.dtype != dtype:
        raise ContractError(f"{path}: expected {np.dtype(dtype)}, found {values.dtype}; fetch it again")
    return values
