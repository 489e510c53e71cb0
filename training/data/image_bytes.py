"""Image bytes of samples: from files of a folder, or from packs in the object store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol

from training.data.samples import Sample
from vitrine.errors import ContractError, ObjectCorruptError
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import open_parquet

Place = tuple[str, int, int]


class ImageReader(Protocol):
    """Reads images, fastest in the order of their places."""

    def place(self, sample: Sample) -> Place:
        """Where an image lies, to sort by."""

    def read(self, samples: Sequence[Sample]) -> Iterator[bytes]:
        """Yields the bytes of each, in order."""


class FileReader:
    """Reads the files that folder samples name."""

    def place(self, sample: Sample) -> Place:
        """The path."""
        return str(sample.path), 0, 0

    def read(self, samples: Sequence[Sample]) -> Iterator[bytes]:
        """Reads one file after the other.

        Raises:
            ContractError: a sample has no file, or it is gone.
        """
        for sample in samples:
            if sample.path is None:
                raise ContractError(f"{sample.item_id}: expected a sample with a file, found one without")
            try:
                yield sample.path.read_bytes()
            except OSError as error:
                raise ContractError(f"{sample.path}: the image of {sample.item_id} cannot be read: {error}") from error


class PackReader:
    """Reads row groups of packs, each once while samples come in the order of their places."""

    def __init__(self, object_store: ObjectStore) -> None:
        self._object_store = object_store

    def place(self, sample: Sample) -> Place:
        """The pack, the row group and the row.

        Raises:
            ContractError: the sample is none of a training set.
        """
        if sample.pack_key is None or sample.row_group is None or sample.row is None:
            raise ContractError(f"{sample.item_id}: expected a sample of a training set with the place of its image")
        return sample.pack_key, sample.row_group, sample.row

    def read(self, samples: Sequence[Sample]) -> Iterator[bytes]:
        """Reads the image column of one row group at a time.

        Raises:
            ObjectMissingError: a pack is gone.
            ObjectCorruptError: a pack has no such row.
        """
        for pack_key, of_pack in groupby(samples, key=lambda sample: self.place(sample)[0]):
            pack = open_parquet(self._object_store, pack_key)
            for row_group, of_group in groupby(of_pack, key=lambda sample: self.place(sample)[1]):
                if row_group >= pack.num_row_groups:
                    raise ObjectCorruptError(
                        f"{pack_key}: expected row group {row_group}, it has {pack.num_row_groups}"
                    )
                images = pack.read_row_group(row_group, columns=["image_bytes"]).column(0)
                for sample in of_group:
                    row = self.place(sample)[2]
                    if row >= len(images):
                        raise ObjectCorruptError(f"{pack_key}, row group {row_group}: no row {row} of {len(images)}")
                    yield images[row].as_py()
