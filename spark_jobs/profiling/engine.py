"""What a profile asks of the engine that runs it: Spark for many rows, this process for few.

The work itself is that of `profile_workers`, which both engines hand batches to; what differs is how rows are spread,
joined and sorted between two of its steps. A frame is a table of the engine's own kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import pyarrow as pa

Frame = Any
Work = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


class ProfileEngine(Protocol):
    """Runs the steps of one profile."""

    def each(self, count: int, work: Work, schema: pa.Schema) -> Frame:
        """Hands the numbers up to `count` to `work`; each may be a task of its own."""

    def apply(self, frame: Frame, work: Work, schema: pa.Schema) -> Frame:
        """Hands the batches of each task of a frame to `work`."""

    def collect(self, frame: Frame) -> list[dict[str, Any]]:
        """Returns the rows of a small frame."""

    def hashes(self, images: Frame) -> list[str]:
        """Returns the hashes of distinct images, in their order."""

    def keep(self, frame: Frame) -> Frame:
        """Computes a frame at most once, however often it is used until the profile ends."""

    def count(self, frame: Frame) -> int:
        """Returns how many rows a frame has."""

    def with_marks(self, rows: Frame, marks: Frame, *, images: int) -> Frame:
        """Joins rows with the marks of their images, of which there are `images`, as the column `image_mark`."""

    def spread(self, frame: Frame, *, tasks: int, by: str | None = None) -> Frame:
        """Spreads rows over tasks: by a column's hash, or evenly."""

    def last_of_duplicates(self, judged: Frame, *, tasks: int) -> Frame:
        """Of the sound rows with one `item_id`, images included, the last one counts; the others are rejected.

        A row that is broken keeps its own reason and takes nothing back: the shop meant to say something else by it.
        """

    def accepted_images(self, judged: Frame) -> Frame:
        """Returns the distinct accepted images: image_sha256, image_uri, size_bytes."""

    def known_images(self, listed: Frame, images: Frame) -> Frame:
        """Returns those of all listed locations that are of these images."""

    def distinct_locations(self, found: Frame) -> Frame:
        """Returns one location for each image, the same one whatever the order: two days may have packed one image."""

    def new_images(self, images: Frame, located: Frame | None) -> Frame:
        """Returns the images that lie in no pack yet."""

    def counted(self, images: Frame) -> tuple[int, int]:
        """Returns how many images there are, and their bytes."""

    def in_buckets(self, images: Frame, *, buckets: int) -> Frame:
        """Gives each bucket, a range of hashes, a task of its own, in order of the hashes."""

    def union(self, packed: Frame, located: Frame | None) -> Frame:
        """Returns all locations: of what was packed now and of what was before."""

    def with_locations(self, judged: Frame, located: Frame, *, space: str) -> Frame:
        """Joins accepted rows with where their images lie; where they are encoded, that is their unit of embedding."""

    def in_parts(self, candidates: Frame, *, parts: int, part_rows: int) -> Frame:
        """Gives each part a task of its own, in order of the rows."""


def bucket_count(*, images: int, total_bytes: int, pack_rows: int, pack_max_bytes: int) -> int:
    """Returns over how many ranges of hashes new images are packed: by bytes, and a few for small deliveries.

    It depends on the images and the size of packs alone, so that another cluster makes the same packs.
    """
    by_bytes = -(-total_bytes // pack_max_bytes)
    by_rows = min(_SMALL_DELIVERY_PACKS, -(-images // pack_rows))
    return max(1, by_bytes, by_rows)


_SMALL_DELIVERY_PACKS = 4
HASH_RANGE = 1 << 32
"""Of the first eight hex digits of a hash, by which images are put into buckets."""
