"""Encoded parts on disk: plain arrays in row order, so that nothing of the trained index is repeated in each.

`codes.u8` holds the code of each row, `lists.i32` its inverted list where the index has lists, `refinement.u8` its
refined code where the recipe refines. The number of rows follows from the size of the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.errors import ContractError

CODES_FILE, LISTS_FILE, REFINED_FILE = "codes.u8", "lists.i32", "refinement.u8"


class PartWriter:
    """Appends rows to the files of a part; the context manager closes them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rows = 0
        self._folder = folder
        self._open_files = ExitStack()
        self._streams: dict[str, Any] = {}

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open_files.close()

    def append(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Appends rows: by file name, arrays of equally many rows."""
        for name, array in arrays.items():
            if name not in self._streams:
                self._streams[name] = self._open_files.enter_context((self._folder / name).open("wb"))
            np.ascontiguousarray(array).tofile(self._streams[name])
        self.rows += len(next(iter(arrays.values())))


def write_code_part(index: Any, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
    """Writes a part that holds codes alone, as `index` encodes vectors in row order; returns its rows."""
    with PartWriter(into) as part:
        for batch in batches:
            part.append({CODES_FILE: index.sa_encode(batch)})
        return part.rows


def map_codes(folder: Path, name: str, *, width: int) -> NDArray[np.uint8]:
    """Maps the codes of a part: (rows, width).

    Raises:
        ContractError: the file is missing, or holds no whole number of codes.
    """
    return _mapped(folder / name, np.dtype(np.uint8), width)


def map_lists(folder: Path) -> NDArray[np.int32]:
    """Maps the inverted lists of a part's rows: (rows,).

    Raises:
        ContractError: the file is missing, or holds no whole number of rows.
    """
    return _mapped(folder / LISTS_FILE, np.dtype(np.int32), 1)[:, 0]


def file_chunks(path: Path, *, chunk_bytes: int = 1 << 22) -> Iterator[bytes]:
    """Yields the bytes of a file.

    Raises:
        ContractError: the file is missing.
    """
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(chunk_bytes):
                yield chunk
    except FileNotFoundError as error:
        raise ContractError(f"{path}: expected a file of an encoded part, found none; encode it again") from error


def _mapped(path: Path, dtype: np.dtype[Any], width: int) -> NDArray[Any]:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise ContractError(f"{path}: expected a file of an encoded part, found none; encode it again") from error
    rows, rest = divmod(size, dtype.itemsize * width)
    if rest:
        raise ContractError(
            f"{path}: expected rows of {dtype.itemsize * width} bytes, found {size} bytes; encode the part again"
        )
    if not rows:  # an empty file cannot be mapped
        return np.empty((0, width), dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(rows, width))
