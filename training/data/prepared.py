"""Prepared pictures: every image decoded and resized once, kept as bytes in a memory-mapped file on local disk.

    <cache>/prepared/<id>/squares.npy   (n, side, side, 3), uint8
    <cache>/prepared/<id>/state.npy     (n,), uint8: 0 to do, 1 ready, 2 cannot be decoded

The id hashes the images and how they are prepared, so a second training over them decodes nothing, and a killed one
goes on where it was. At 260 pixels a picture takes 200 KB: 5 GB of disk for 25,000 pictures.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.image_bytes import ImageReader
from training.data.samples import Sample
from vitrine.errors import ContractError, ImageError, ObjectCorruptError
from vitrine.files.locks import locked
from vitrine.files.whole import whole_file
from vitrine.identity import content_id, sha256_hex
from vitrine.images.preprocessing import Preprocessing
from vitrine.progress import progress

_TO_DO, _READY, _BROKEN = 0, 1, 2
_CHUNK = 256  # pictures between two marks of what is done


@dataclass(frozen=True)
class PreparedPictures:
    """Squares of some images, read from the mapped file as they are asked for.

    Attributes:
        squares: (n, side, side, 3), uint8, memory-mapped.
        row_of: the row of an image, by its SHA-256; images that cannot be decoded have none.
        broken: how many those are.
    """

    squares: NDArray[np.uint8]
    row_of: dict[str, int]
    broken: int

    def usable(self, samples: Sequence[Sample]) -> list[Sample]:
        """Returns the samples whose image could be decoded."""
        return [sample for sample in samples if sample.image_sha256 in self.row_of]

    def of(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Copies the squares of samples: (n, side, side, 3), uint8."""
        squares = np.empty((len(samples), *self.squares.shape[1:]), dtype=np.uint8)
        for place, sample in enumerate(samples):
            squares[place] = self.squares[self.row_of[sample.image_sha256]]
        return squares


def larger(preprocessing: Preprocessing, *, ratio: float = 7 / 6) -> Preprocessing:
    """The same preparation of a larger square, a multiple of 4 pixels, from which augmentation cuts."""
    side = 4 * round(preprocessing.image_size * ratio / 4)
    shorter = max(side, round(preprocessing.resize_shorter_side * side / preprocessing.image_size))
    return replace(preprocessing, image_size=side, resize_shorter_side=shorter)


def prepare_pictures(
    samples: Sequence[Sample], *, preprocessing: Preprocessing, cache: Path, reader: ImageReader, threads: int = 2
) -> PreparedPictures:
    """Decodes what is not prepared yet. Processes of one machine that ask for the same wait for the one at work.

    Args:
        samples: whose images are wanted; one image under several items is prepared once.
        preprocessing: how; its `image_size` is the side.
        cache: the folder of all prepared pictures.
        reader: reads image bytes.
        threads: that decode.

    Raises:
        ContractError: no image can be decoded, or the disk is too small.
        ObjectCorruptError: an image's bytes differ from its SHA-256.
    """
    by_sha = {sample.image_sha256: sample for sample in samples}
    order = sorted(by_sha)
    folder = cache / "prepared" / content_id("pictures", [preprocessing.digest(), order])
    with locked(folder / ".lock"):
        squares, state = _open(folder, n=len(order), side=preprocessing.image_size)
        todo = np.flatnonzero(state == _TO_DO)
        if len(todo):
            # In order of where the bytes lie, so that a row group of a pack is read once.
            rows = sorted(todo.tolist(), key=lambda row: reader.place(by_sha[order[row]]))
            _prepare(
                rows,
                [by_sha[order[row]] for row in rows],
                squares=squares,
                state=state,
                preprocessing=preprocessing,
                reader=reader,
                threads=threads,
            )
    row_of = {sha: row for row, sha in enumerate(order) if state[row] == _READY}
    if samples and not row_of:
        raise ContractError(f"{len(order)} images, and none of them can be decoded; see whether they are pictures")
    return PreparedPictures(squares=squares, row_of=row_of, broken=len(order) - len(row_of))


def _prepare(
    rows: Sequence[int],
    samples: Sequence[Sample],
    *,
    squares: np.memmap,
    state: np.memmap,
    preprocessing: Preprocessing,
    reader: ImageReader,
    threads: int,
) -> None:
    def square(image: tuple[Sample, bytes]) -> NDArray[np.uint8] | None:
        sample, data = image
        if sha256_hex(data) != sample.image_sha256:
            raise ObjectCorruptError(
                f"image of {sample.item_id}: expected sha256 {sample.image_sha256}, found {sha256_hex(data)}; "
                "it was changed after it was read: start the training again"
            )
        try:
            return preprocessing.square(preprocessing.decode(data))
        except ImageError:
            return None  # counted as broken: ingest keeps such items out of a catalog

    images = zip(samples, reader.read(samples), strict=True)
    with ThreadPoolExecutor(threads) as pool, progress("pictures", total=len(rows)) as advance:
        remaining = iter(rows)
        while chunk := list(islice(remaining, _CHUNK)):
            found = list(pool.map(square, list(islice(images, len(chunk)))))
            for row, pixels in zip(chunk, found, strict=True):
                if pixels is not None:
                    squares[row] = pixels
            squares.flush()  # the pictures first: what is marked is there
            for row, pixels in zip(chunk, found, strict=True):
                state[row] = _BROKEN if pixels is None else _READY
            state.flush()
            advance(len(chunk))


def _open(folder: Path, *, n: int, side: int) -> tuple[np.memmap, np.memmap]:
    """Maps both files; the pictures' is sparse until they are there."""
    squares, state = folder / "squares.npy", folder / "state.npy"
    if not state.is_file():
        size_bytes, free = n * side * side * 3, shutil.disk_usage(folder).free
        if size_bytes > free:
            raise ContractError(
                f"{folder}: {n} prepared pictures of {side} x {side} take {size_bytes:,} bytes, and the disk has "
                f"{free:,} left; make room, name another cache folder, or train on fewer items"
            )
        _create(squares, (n, side, side, 3))
        _create(state, (n,))
    return _mapped(squares), _mapped(state)


def _create(path: Path, shape: tuple[int, ...]) -> None:
    with whole_file(path) as partial:
        np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()


def _mapped(path: Path) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="r+")
