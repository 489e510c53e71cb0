"""Encodes parts, in this process or inside Spark's Python workers: vectors in, an encoded part in the store out."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from index_builder.builds.memory import watched_memory
from index_builder.builds.parts.cutting import fetch_rows
from index_builder.builds.parts.encoded_parts import put_encoded_part
from index_builder.builds.parts.part_vectors import part_halves, unit_batches
from index_builder.builds.quantizers import fetch_quantizer
from vitrine.connections import open_connections
from vitrine.contracts.document import StoredFile
from vitrine.contracts.index_builds import IndexPlan, PlannedPart
from vitrine.errors import ContractError
from vitrine.files.scratch import scratch_folder
from vitrine.ledger import Ledger
from vitrine.processes.state import faiss_threads
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

PART_COLUMNS = "part_id string, rows bigint, name string, size_bytes bigint, sha256 string"
SUMMARY_SCHEMA = "worker string, parts bigint, rows bigint, peak_bytes bigint"


@dataclass(frozen=True)
class EncodeTask:
    """What encoding needs beside the parts. Its settings hold secrets, so it is never logged.

    Attributes:
        plan: without its parts, of which there can be thousands.
    """

    settings: Settings
    plan: IndexPlan

    @classmethod
    def of(cls, settings: Settings, plan: IndexPlan) -> EncodeTask:
        """Returns the task of a plan."""
        # Executors run in folders of their own: a relative state folder would be another one in each.
        absolute = settings.model_copy(update={"state_dir": settings.state_dir.absolute()})
        return cls(absolute, plan.model_copy(update={"parts": ()}))


def encode_each(
    task: EncodeTask, object_store: ObjectStore, ledger: Ledger, parts: Iterable[PlannedPart], *, threads: int
) -> Iterator[PlannedPart]:
    """Encodes parts one after the other and yields each when it is in the store.

    Memory holds the quantizer, a few blocks, and one batch of vectors with its codes.

    Raises:
        ContractError: a block lacks the vector of a row.
    """
    plan = task.plan
    prefix = keys.index_prefix(plan.catalog_id, plan.index_version)
    quantizer_id = plan.quantizer.quantizer_id if plan.quantizer else ""
    with scratch_folder(task.settings, "encode") as folder, faiss_threads(threads):
        trained = fetch_quantizer(object_store, plan, folder / "quantizer")
        for planned in parts:
            part = fetch_rows(object_store, prefix, planned, folder)
            encoded = folder / planned.part_id
            halves = part_halves(object_store, part, dimension=plan.dimension)
            rows = trained.encode(unit_batches(halves), into=encoded)
            if rows != planned.rows:
                raise ContractError(f"{planned.part_id}: expected {planned.rows} encoded rows, found {rows}")
            put_encoded_part(object_store, plan.catalog_id, quantizer_id, planned, encoded, ledger=ledger)
            shutil.rmtree(encoded)
            (folder / planned.rows_file.name).unlink()
            yield planned


def encode_partition(task: EncodeTask, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Encodes the parts of one Spark partition and yields one row: what this task did."""
    parts = rows = 0
    with open_connections(task.settings) as (object_store, ledger), watched_memory() as peak:
        for planned in encode_each(task, object_store, ledger, _parts_of(batches), threads=1):
            parts += 1
            rows += planned.rows
    if parts:
        worker = f"{socket.gethostname()}:{os.getpid()}"
        row = {"worker": worker, "parts": parts, "rows": rows, "peak_bytes": peak.peak_bytes}
        yield pa.RecordBatch.from_pylist([row])


def part_row(part: PlannedPart) -> tuple[str, int, str, int, str]:
    """Returns a part as a row of `PART_COLUMNS`."""
    file = part.rows_file
    return part.part_id, part.rows, file.name, file.size_bytes, file.sha256


def _parts_of(batches: Iterable[pa.RecordBatch]) -> Iterator[PlannedPart]:
    for batch in batches:
        for row in batch.to_pylist():
            file = StoredFile(name=row["name"], size_bytes=row["size_bytes"], sha256=row["sha256"])
            yield PlannedPart(part_id=row["part_id"], rows=row["rows"], rows_file=file)
