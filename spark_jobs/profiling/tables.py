"""The profile's steps in this process, on tables of pyarrow: few rows need no JVM."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spark_jobs.profiling.candidate_batches import BATCH_ROWS, judged_images_schema
from spark_jobs.profiling.engine import HASH_RANGE, Work
from vitrine.contracts.items import Reason
from vitrine.progress import Advance

MAX_BYTES = 256_000_000
"""Of one frame: a few are held at a time, and few rows may hold much text, however small their file is."""
_PLACE = ("pack_id", "image_offset", "row_group")


class FrameTooLargeError(Exception):
    """The rows of a delivery are more bytes than this process is to hold; nothing was written yet."""


class TableEngine:
    """Runs the steps of a profile one after the other; the threads of the work itself are its parallelism.

    Args:
        advance: told of each batch of rows that is judged.
    """

    def __init__(self, advance: Advance | None = None) -> None:
        self._advance = advance

    def each(self, count: int, work: Work, schema: pa.Schema) -> pa.Table:
        """Hands the numbers up to `count` to `work` at once.

        Raises:
            FrameTooLargeError: what comes out is more than `MAX_BYTES`.
        """
        numbers = pa.record_batch({"id": pa.array(range(count), pa.int64())})
        batches, size_bytes = [], 0
        for batch in work([numbers]):
            batches.append(batch)
            size_bytes += batch.nbytes
            if size_bytes > MAX_BYTES:
                raise FrameTooLargeError
        return pa.Table.from_batches(batches, schema)

    def apply(self, frame: pa.Table, work: Work, schema: pa.Schema) -> pa.Table:
        """Hands the rows to `work` in batches as large as those of Spark."""
        batches = []
        for batch in work(frame.combine_chunks().to_batches(max_chunksize=BATCH_ROWS)):
            batches.append(batch)
            if self._advance is not None and schema.equals(judged_images_schema()):
                self._advance(batch.num_rows)
        return pa.Table.from_batches(batches, schema)

    def collect(self, frame: pa.Table) -> list[dict[str, Any]]:
        """Returns the rows of a small frame."""
        rows: list[dict[str, Any]] = frame.to_pylist()
        return rows

    def hashes(self, images: pa.Table) -> list[str]:
        """Returns the hashes of distinct images, in their order."""
        return sorted(images.column("image_sha256").to_pylist())

    def keep(self, frame: pa.Table) -> pa.Table:
        """Returns the frame, which is computed already."""
        return frame

    def count(self, frame: pa.Table) -> int:
        """Returns how many rows a frame has."""
        return int(frame.num_rows)

    def with_marks(self, rows: pa.Table, marks: pa.Table, *, images: int) -> pa.Table:  # noqa: ARG002
        """Joins rows with the marks of their images, as the column `image_mark`."""
        return _looked_up(rows, rows.column("image_uri"), marks, key="image_uri", names=["image_mark"])

    def spread(self, frame: pa.Table, *, tasks: int, by: str | None = None) -> pa.Table:  # noqa: ARG002
        """Returns the frame: there is one task."""
        return frame

    def last_of_duplicates(self, judged: pa.Table, *, tasks: int) -> pa.Table:  # noqa: ARG002
        """Of the sound rows with one `item_id` the last one counts; the others are rejected."""
        is_sound = pc.is_null(judged.column("reject_reason"))
        last = judged.select(["item_id", "row_number"]).filter(is_sound).group_by("item_id", use_threads=False)
        found = last.aggregate([("row_number", "max")])
        later = found.column("row_number_max").take(pc.index_in(judged.column("item_id"), found.column("item_id")))
        is_duplicate = pc.and_kleene(is_sound, pc.fill_null(pc.less(judged.column("row_number"), later), False))
        detail = pc.binary_join_element_wise(
            "row ", pc.cast(later, pa.string()), " has the same item_id and comes later", ""
        )
        return _with(
            judged,
            reject_reason=pc.if_else(
                is_duplicate, pa.scalar(str(Reason.DUPLICATE_ITEM_ID)), judged.column("reject_reason")
            ),
            reject_detail=pc.if_else(is_duplicate, detail, judged.column("reject_detail")),
        )

    def accepted_images(self, judged: pa.Table) -> pa.Table:
        """Returns the distinct accepted images: image_sha256, image_uri, size_bytes."""
        accepted = judged.select(["image_sha256", "image_uri", "image_size_bytes"]).filter(_has_image(judged))
        ordered = accepted.sort_by([("image_sha256", "ascending"), ("image_uri", "ascending")])
        return _first_of_each(ordered, "image_sha256").rename_columns(["image_sha256", "image_uri", "size_bytes"])

    def known_images(self, listed: pa.Table, images: pa.Table) -> pa.Table:
        """Returns those of all listed locations that are of these images."""
        return listed.filter(pc.is_in(listed.column("image_sha256"), images.column("image_sha256")))

    def distinct_locations(self, found: pa.Table) -> pa.Table:
        """Returns one location for each image, the same one whatever the order."""
        ordered = found.sort_by([(name, "ascending") for name in ("image_sha256", *_PLACE)])
        return _first_of_each(ordered, "image_sha256")

    def new_images(self, images: pa.Table, located: pa.Table | None) -> pa.Table:
        """Returns the images that lie in no pack yet."""
        if located is None:
            return images
        return images.filter(pc.invert(pc.is_in(images.column("image_sha256"), located.column("image_sha256"))))

    def counted(self, images: pa.Table) -> tuple[int, int]:
        """Returns how many images there are, and their bytes."""
        return images.num_rows, pc.sum(images.column("size_bytes")).as_py() or 0

    def in_buckets(self, images: pa.Table, *, buckets: int) -> pa.Table:
        """Numbers each image's bucket, a range of hashes, in order of the hashes."""
        ordered = images.sort_by("image_sha256")
        hashes = ordered.column("image_sha256").to_pylist()
        numbers = pa.array([int(found[:8], 16) * buckets // HASH_RANGE for found in hashes], pa.int32())
        return ordered.append_column("bucket", numbers)

    def union(self, packed: pa.Table, located: pa.Table | None) -> pa.Table:
        """Returns all locations: of what was packed now and of what was before."""
        return packed if located is None else pa.concat_tables([packed, located.select(packed.schema.names)])

    def with_locations(self, judged: pa.Table, located: pa.Table, *, space: str) -> pa.Table:
        """Joins accepted rows with where their images lie."""
        nothing = pa.nulls(judged.num_rows, pa.string())
        hashes = pc.if_else(_has_image(judged), judged.column("image_sha256"), nothing)
        joined = _looked_up(judged, hashes, located, key="image_sha256", names=list(_PLACE))
        if space == "vectors":
            no_group = pa.nulls(judged.num_rows, pa.int32())
            return _with(joined, row_group=no_group, source_id=nothing, embedding_key=nothing)
        found = pc.if_else(pc.is_valid(joined.column("pack_id")), judged.column("image_sha256"), nothing)
        return _with(joined, source_id=joined.column("pack_id"), embedding_key=found)

    def in_parts(self, candidates: pa.Table, *, parts: int, part_rows: int) -> pa.Table:  # noqa: ARG002
        """Returns the rows in their order: the work cuts them into parts."""
        return candidates.sort_by("row_number")


def _has_image(judged: pa.Table) -> pa.ChunkedArray:
    return pc.and_(pc.is_null(judged.column("reject_reason")), pc.is_valid(judged.column("image_sha256")))


def _looked_up(rows: pa.Table, wanted: pa.ChunkedArray, found: pa.Table, *, key: str, names: list[str]) -> pa.Table:
    """Appends columns of `found`, whose `key` is distinct, to the rows that look it up: null where there is none."""
    # Not pyarrow's join, which takes no table with a column of lists.
    places = pc.index_in(wanted, found.column(key).combine_chunks(), skip_nulls=True)
    return _with(rows, **{name: found.column(name).take(places) for name in names})


def _first_of_each(ordered: pa.Table, name: str) -> pa.Table:
    """Returns the first row of each run of equal values."""
    values = ordered.column(name).combine_chunks()
    if len(values) == 0:
        return ordered
    is_first = pc.not_equal(values[1:], values[:-1])
    return ordered.filter(pa.concat_arrays([pa.array([True]), is_first]))


def _with(table: pa.Table, **columns: Any) -> pa.Table:
    """Returns a table with columns put in the place of those of their names, or after the others."""
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.append_column(name, values) if place < 0 else table.set_column(place, name, values)
    return table
