"""What runs inside the Python workers of the profile job: each function turns batches of one partition into others."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spark_jobs.deliveries.image_fetching import ACCESS_DENIED, executor_fetcher, executor_store
from spark_jobs.profiling.candidate_batches import (
    BATCH_ROWS,
    batches_of,
    candidate_table,
    judged_images_schema,
    judged_rows_schema,
    written_parts_schema,
)
from spark_jobs.profiling.images import JudgedImage, profile_image
from spark_jobs.profiling.spool import process_spool
from spark_jobs.profiling.task import Batches, ItemsFile, ProfileTask
from vitrine.contracts.items import candidate_schema
from vitrine.identity import content_id, sha256_hex
from vitrine.items.files import count_rows, read_rows
from vitrine.items.limits import ReadingLimits
from vitrine.items.row_errors import at_row, row_name, unforeseen_at
from vitrine.items.rows import judge_rows
from vitrine.lookahead import begun_ahead
from vitrine.storage.object_file import StoredBytes, open_parquet

_BATCHES_AHEAD = 2  # batches whose images are fetched while an earlier one is waited for


@dataclass(frozen=True)
class _Judging:
    """A batch, the image that each of its rows wants judged, and the verdicts that are under way, by URI."""

    batch: pa.RecordBatch
    wanted: list[str | None]
    futures: dict[str, Future[JudgedImage]]

    def cancel(self) -> None:
        for future in self.futures.values():
            future.cancel()


def count_split_rows(task: ProfileTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Splits by number in, their rows out."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            rows = count_rows(_content(task, number), task.splits[number], limits=ReadingLimits.of(task.settings))
            yield pa.RecordBatch.from_pylist([{"split": number, "rows": rows}])


def read_splits(task: ProfileTask, first_rows: Sequence[int], batches: Batches) -> Iterator[pa.RecordBatch]:
    """Splits by number in, judged rows out; `first_rows` numbers the first row of each split."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            rows = judge_rows(
                read_rows(_content(task, number), task.splits[number], limits=ReadingLimits.of(task.settings)),
                first_row_number=first_rows[number],
                places=task.places,
                policy=task.policy,
            )
            with unforeseen_at(_file_of(task, number).key):
                yield from batches_of(rows, judged_rows_schema())


def read_marks(task: ProfileTask, groups: int, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Numbers up to `groups` in, the marks of the images out that were not copied; each number reads its row groups."""
    if task.image_marks is None:
        return
    with open_parquet(executor_store(task.settings), task.image_marks.key) as marks:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                for group in range(number, marks.num_row_groups, groups):
                    yield from marks.read_row_group(group).to_batches(max_chunksize=BATCH_ROWS)


def profile_images(task: ProfileTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Judged rows in, the same rows with the profiles and verdicts of their images out."""
    fetcher = executor_fetcher(task.settings)
    judge = partial(
        profile_image,
        fetcher=fetcher,
        policy=task.policy,
        keep=None if task.spool is None else process_spool(task.spool).keep,
    )

    def begin(batch: pa.RecordBatch) -> _Judging:
        wanted, marks = _wanted_images(batch), _marks(batch)
        futures = {
            uri: pool.submit(judge, uri, mark=marks.get(uri)) for uri in dict.fromkeys(wanted) if uri is not None
        }
        return _Judging(batch, wanted, futures)

    with (
        ThreadPoolExecutor(task.settings.fetch_threads, thread_name_prefix="profile") as pool,
        closing(begun_ahead(begin, batches, limit=_BATCHES_AHEAD, drop=_Judging.cancel)) as begun,
    ):
        yield from map(_with_profiles, begun)


def write_parts(task: ProfileTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Candidate rows in order of row_number in; they are written, and one row for each part comes out."""
    store = executor_store(task.settings)
    for part, pieces in groupby(_cut_by_part(batches, task.part_rows), key=lambda piece: piece[0]):
        table = candidate_table([piece for _, piece in pieces])
        if task.policy.space == "vectors":
            table = _with_vector_units(table)
        key = f"{task.parts_prefix}/part-{part:05d}.parquet"
        stream = io.BytesIO()
        pq.write_table(table, stream, compression="zstd", row_group_size=max(1, table.num_rows))
        data = stream.getvalue()
        store.put_bytes(key, data)
        written = {"part": part, "key": key, "rows": table.num_rows, "sha256": sha256_hex(data)}
        yield pa.RecordBatch.from_pylist([written | {"counts": json.dumps(_counts(table))}], written_parts_schema())


def _content(task: ProfileTask, number: int) -> StoredBytes:
    file = _file_of(task, number)
    return StoredBytes(executor_store(task.settings), file.key, file.size_bytes)


def _file_of(task: ProfileTask, number: int) -> ItemsFile:
    return task.files[task.splits[number].file_number]


def _wanted_images(batch: pa.RecordBatch) -> list[str | None]:
    uris = batch.column("image_uri").to_pylist()
    reasons = batch.column("reject_reason").to_pylist()
    deleted = batch.column("deleted").to_pylist()
    return [
        uri if reason is None and not gone else None for uri, reason, gone in zip(uris, reasons, deleted, strict=True)
    ]


def _marks(batch: pa.RecordBatch) -> dict[str | None, str | None]:
    """Returns the mark of each image that was recorded where it lies."""
    if "image_mark" not in batch.schema.names:
        return {}
    return dict(zip(batch.column("image_uri").to_pylist(), batch.column("image_mark").to_pylist(), strict=True))


def _with_profiles(judging: _Judging) -> pa.RecordBatch:
    batch, wanted = judging.batch, judging.wanted
    judged = {}
    places = {uri: place for place, uri in reversed(list(enumerate(wanted)))}
    for uri, future in judging.futures.items():
        with at_row(_row_at(places[uri], uri, batch)):
            judged[uri] = future.result()
    images = [judged[uri] if uri is not None else None for uri in wanted]
    columns = {name: batch.column(name) for name in batch.schema.names}
    schema = judged_images_schema()
    for field in schema:
        if field.name not in columns:
            columns[field.name] = pa.array(
                [None if image is None else getattr(image.profile, field.name) for image in images], field.type
            )
    for name, part in (("reject_reason", "reason"), ("reject_detail", "detail")):
        before = batch.column(name).to_pylist()
        verdicts = [None if image is None else image.verdict for image in images]
        columns[name] = pa.array(
            [
                old if verdict is None else str(getattr(verdict, part))
                for old, verdict in zip(before, verdicts, strict=True)
            ],
            pa.string(),
        )
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], names=schema.names)


def _row_at(place: int, uri: str, batch: pa.RecordBatch) -> str:
    """Names the row of a batch that brings an image."""
    number, item_id = (batch.column(name)[place].as_py() for name in ("row_number", "item_id"))
    return row_name(row_number=number, item_id=item_id, image_uri=uri)


def _cut_by_part(batches: Batches, part_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches:
        parts = np.asarray(batch.column("row_number")) // part_rows
        bounds = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
        for start, end in pairwise(bounds):
            if end > start:
                yield int(parts[start]), batch.slice(start, end - start)


def _with_vector_units(table: pa.Table) -> pa.Table:
    """Names each accepted vector by its bytes, and the part by the vectors in it: the part is the unit of embedding."""
    kept = zip(
        table.column("reject_reason").to_pylist(),
        table.column("deleted").to_pylist(),
        table.column("embedding"),
        strict=True,
    )
    names = [
        None if reason is not None or deleted else hashlib.sha256(_vector_bytes(vector)).hexdigest()
        for reason, deleted, vector in kept
    ]
    source_id = content_id("part", [name for name in names if name is not None])
    schema = candidate_schema()
    columns = {
        "source_id": pa.array([None if name is None else source_id for name in names], pa.string()),
        "row_group": pa.array([None if name is None else 0 for name in names], pa.int32()),
        "embedding_key": pa.array(names, pa.string()),
    }
    for name, values in columns.items():
        table = table.set_column(schema.get_field_index(name), schema.field(name), values)
    return table


def _vector_bytes(vector: pa.ListScalar) -> bytes:
    return np.asarray(vector.values, dtype="<f4").tobytes()


def _counts(table: pa.Table) -> dict[str, object]:
    reasons = Counter(reason for reason in table.column("reject_reason").to_pylist() if reason is not None)
    accepted = pc.is_null(table.column("reject_reason"))
    deleted = pc.sum(pc.and_(accepted, table.column("deleted"))).as_py() or 0
    images = table.filter(pc.and_(accepted, pc.invert(table.column("deleted"))))
    details = table.column("reject_detail").fill_null("")
    return {
        "rejected_by_reason": dict(sorted(reasons.items())),
        "rows_deleted": deleted,
        "rows_unlocated": images.column("pack_id").null_count + images.column("embedding_key").null_count,
        "rows_denied": pc.sum(pc.match_substring(details, ACCESS_DENIED)).as_py() or 0,
    }
