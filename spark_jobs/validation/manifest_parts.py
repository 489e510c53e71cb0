"""Candidate rows split into the parts of a manifest: accepted rows and quarantine, one part after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spark_jobs.validation.frames import check_schema
from vitrine.contracts.datasets import PartFile
from vitrine.contracts.items import candidate_schema, manifest_items_schema
from vitrine.errors import ContractError
from vitrine.storage import ObjectStore
from vitrine.storage.object_store import file_sha256

ROW_GROUP_ROWS = 16_384
EXAMPLES = 3
"""Rejected rows of each reason that the Data Docs show."""


@dataclass(frozen=True)
class RejectedRow:
    """A row of the quarantine, as an example of its reason."""

    row_number: int
    item_id: str | None
    detail: str | None


@dataclass(frozen=True)
class SplitPart:
    """One part in a local folder, ready to be uploaded."""

    name: str
    path: Path
    rows: int
    sha256: str

    def stored_under(self, prefix: str) -> PartFile:
        """Returns the part as the manifest names it."""
        return PartFile(key=f"{prefix}/{self.name}", rows=self.rows, sha256=self.sha256)


@dataclass
class SplitRows:
    """All parts, the counts by which in = accepted + rejected is held, and the first rejected rows of each reason."""

    parts: list[SplitPart] = field(default_factory=list)
    quarantine_parts: list[SplitPart] = field(default_factory=list)
    rows_in: int = 0
    rows_accepted: int = 0
    rows_deleted: int = 0
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[RejectedRow]] = field(default_factory=dict)

    @property
    def rows_rejected(self) -> int:
        """Rows in the quarantine."""
        return sum(self.rejected_by_reason.values())


def split_candidates(object_store: ObjectStore, candidates: Sequence[PartFile], *, folder: Path) -> SplitRows:
    """Splits candidate parts one at a time into `folder`; equal candidates make equal bytes.

    Raises:
        ObjectCorruptError: a part holds other bytes than were recorded.
        ContractError: rows were lost on the way, or a part holds no candidate rows.
    """
    split = SplitRows()
    for number, candidate in enumerate(candidates):
        fetched = folder / "candidate.parquet"
        object_store.get_file(candidate.key, fetched, sha256=candidate.sha256)
        accepted = folder / f"items-{number:05d}.parquet"
        rejected = folder / f"quarantine-{number:05d}.parquet"
        rows = _split_part(fetched, accepted, rejected, split, where=candidate.key)
        if rows != candidate.rows:
            raise ContractError(f"{candidate.key}: expected {candidate.rows} rows, found {rows}; profile the day again")
        for path, parts, kind in (
            (accepted, split.parts, "items"),
            (rejected, split.quarantine_parts, "quarantine"),
        ):
            if path.is_file():
                count = pq.ParquetFile(path).metadata.num_rows
                parts.append(SplitPart(f"{kind}/part-{number:05d}.parquet", path, count, file_sha256(path)))
        fetched.unlink()
    written = sum(part.rows for part in (*split.parts, *split.quarantine_parts))
    if not split.rows_in == split.rows_accepted + split.rows_rejected == written:
        raise ContractError(
            f"expected rows in = accepted + rejected, found {split.rows_in} in, {split.rows_accepted} accepted, "
            f"{split.rows_rejected} rejected and {written} written; this is a fault of Vitrine: report it"
        )
    return split


def _split_part(fetched: Path, accepted: Path, rejected: Path, split: SplitRows, *, where: str) -> int:
    rows = 0
    with ExitStack() as stack:
        source = stack.enter_context(pq.ParquetFile(fetched))
        check_schema(source.schema_arrow, where=where)
        writers: dict[Path, pq.ParquetWriter] = {}
        for table in _slices(source):
            rows += table.num_rows
            is_accepted = pc.is_null(table.column("reject_reason"))
            kept = table.filter(is_accepted).select(manifest_items_schema().names)
            refused = table.filter(pc.invert(is_accepted))
            split.rows_in += table.num_rows
            split.rows_accepted += kept.num_rows
            split.rows_deleted += pc.sum(kept.column("deleted")).as_py() or 0
            split.rejected_by_reason.update(refused.column("reject_reason").to_pylist())
            _note_examples(split, refused)
            for path, chosen, schema in (
                (accepted, kept, manifest_items_schema()),
                (rejected, refused, candidate_schema()),
            ):
                if chosen.num_rows:
                    if path not in writers:
                        writers[path] = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
                    writers[path].write_table(chosen.cast(schema), row_group_size=ROW_GROUP_ROWS)
    return rows


def _note_examples(split: SplitRows, refused: pa.Table) -> None:
    """Keeps the first rows of each reason, and looks at no more rows than that takes."""
    for reason in pc.unique(refused.column("reject_reason")).to_pylist():
        kept = split.examples.setdefault(reason, [])
        if len(kept) == EXAMPLES:
            continue
        rows = refused.filter(pc.equal(refused.column("reject_reason"), reason)).slice(0, EXAMPLES - len(kept))
        chosen = rows.select(["row_number", "item_id", "reject_detail"]).to_pylist()
        kept += [RejectedRow(row["row_number"], row["item_id"], row["reject_detail"]) for row in chosen]


def _slices(source: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yields the rows in tables of bounded size, whatever the row groups of the part are."""
    for batch in source.iter_batches(batch_size=ROW_GROUP_ROWS):
        yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
