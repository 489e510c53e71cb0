"""Vectors of pictures, made once each however many tasks ask for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluate.catalogs.catalog import Picture
from training.evaluate.tasks.task import Entry, Query
from vitrine.errors import ContractError

_PICTURES_AT_ONCE = 32


class PictureVectors:
    """Remembers the vector of each picture: (dimension,), float32, unit L2 norm.

    Args:
        embed: turns pictures, as they were read, into (n, dimension) vectors of unit L2 norm.
        read: reads one picture.
        on_progress: called with how many pictures were embedded since the last call.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[Any]], NDArray[np.float32]],
        *,
        read: Callable[[Picture], Any] = Picture.open,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._embed = embed
        self._read = read
        self._on_progress = on_progress
        self._vectors: dict[Picture, NDArray[np.float32]] = {}

    def of(self, asked: Sequence[Query] | Sequence[Entry]) -> NDArray[np.float32]:
        """Returns (n, dimension), in the order asked.

        Raises:
            ContractError: one of them has no picture.
        """
        pictures = [_picture(one) for one in asked]
        missing = list(dict.fromkeys(picture for picture in pictures if picture not in self._vectors))
        for start in range(0, len(missing), _PICTURES_AT_ONCE):
            batch = missing[start : start + _PICTURES_AT_ONCE]
            self._vectors.update(zip(batch, self._embed([self._read(picture) for picture in batch]), strict=True))
            if self._on_progress is not None:
                self._on_progress(len(batch))
        return np.stack([self._vectors[picture] for picture in pictures])


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the rows with unit L2 norm; a row of zeros stays one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _picture(asked: Query | Entry) -> Picture:
    if asked.picture is None:
        raise ContractError("a task of pictures has a query or an entry without one; build tasks with find_tasks")
    return asked.picture
