"""Parts: runs of whole units, cut by content, so that a pack that comes between moves none of the later cuts.

A part is what one task encodes. Its rows lie in a Parquet file of their own, with the blocks that hold its vectors in
the file's metadata: whoever encodes it needs nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.contracts.document import StoredFile
from vitrine.contracts.index_builds import PlannedPart
from vitrine.errors import ContractError
from vitrine.head.reader import Unit
from vitrine.identity import content_id
from vitrine.storage import ObjectStore
from vitrine.storage.object_store import file_sha256

_BLOCKS = b"vitrine.blocks"
_LEAST_SHARE = 8  # a part of less than an eighth of the most is not worth its files


@dataclass(frozen=True)
class PartRows:
    """The rows of one part.

    Attributes:
        table: item_id, embedding_key, source_id and row_group, in row order.
        blocks: that hold its vectors, in the order of the rows.
    """

    table: pa.Table
    blocks: tuple[EmbeddingBlock, ...]

    @property
    def part_id(self) -> str:
        """Hashes the blocks and the embedding keys in row order: equal ids are equal vectors."""
        keys_digest = hashlib.sha256("\n".join(self.table["embedding_key"].to_pylist()).encode()).hexdigest()
        return content_id("part", [[block.block_id for block in self.blocks], keys_digest])


def cut_parts(tables: Iterable[pa.Table], blocks: Iterable[EmbeddingBlock], *, part_rows: int) -> Iterator[PartRows]:
    """Cuts ordered rows into parts of at most `part_rows`, or of one unit where that is larger.

    A part ends behind a unit whose hash says so (every `part_rows / 2` rows or so, in parts that are not too small), or
    where the next unit would make it too large.

    Args:
        tables: whole units, in order.
        blocks: of the embedding set.

    Raises:
        ContractError: a unit has no block.
    """
    of_unit = {(block.source_id, block.row_group): block for block in blocks}
    held: list[pa.Table] = []
    units: list[Unit] = []
    filled = 0

    def part() -> PartRows:
        missing = [unit for unit in units if unit not in of_unit]
        if missing:
            raise ContractError(f"the embedding set has no block of {missing[0]}; resolve the head again")
        return PartRows(pa.concat_tables(held).combine_chunks(), tuple(of_unit[unit] for unit in units))

    for table in tables:
        bounds = unit_bounds(table)
        for start, stop in pairwise(bounds):
            unit = (table["source_id"][start].as_py(), table["row_group"][start].as_py())
            rows = stop - start
            if held and filled + rows > part_rows:
                yield part()
                held, units, filled = [], [], 0
            held.append(table.slice(start, rows))
            units.append(unit)
            filled += rows
            if filled * _LEAST_SHARE >= part_rows and _ends_part(unit, rows, part_rows):
                yield part()
                held, units, filled = [], [], 0
    if held:
        yield part()


def unit_bounds(table: pa.Table) -> list[int]:
    """Returns the first row of each unit of ordered rows, and behind them the number of rows."""
    sources = table["source_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    groups = table["row_group"].to_numpy().astype(np.int64)
    starts = np.flatnonzero(np.r_[True, (np.diff(sources) != 0) | (np.diff(groups) != 0)])
    return [*starts.tolist(), table.num_rows]


def write_rows(part: PartRows, folder: Path, *, position: int) -> PlannedPart:
    """Writes the rows of a part under `folder`; equal rows are equal files, and the name says which."""
    path = folder / "rows" / "part.parquet"
    path.parent.mkdir(exist_ok=True)
    described = json.dumps([block.model_dump(mode="json") for block in part.blocks])
    pq.write_table(part.table.replace_schema_metadata({_BLOCKS: described}), path, compression="zstd")
    sha256 = file_sha256(path)
    named = path.with_name(f"part-{position:05d}-{sha256[:12]}.parquet")
    path.rename(named)
    file = StoredFile(name=f"rows/{named.name}", size_bytes=named.stat().st_size, sha256=sha256)
    return PlannedPart(part_id=part.part_id, rows=part.table.num_rows, rows_file=file)


def read_rows(path: Path) -> PartRows:
    """Reads the rows that `write_rows` wrote.

    Raises:
        ContractError: the file is none of a plan's.
    """
    table = pq.read_table(path)
    described = (table.schema.metadata or {}).get(_BLOCKS)
    if described is None:
        raise ContractError(f"{path}: expected the rows of a planned part with its blocks; plan the build again")
    blocks = tuple(EmbeddingBlock.model_validate(block) for block in json.loads(described))
    return PartRows(table.replace_schema_metadata(None).combine_chunks(), blocks)


def fetch_rows(object_store: ObjectStore, prefix: str, planned: PlannedPart, folder: Path) -> PartRows:
    """Reads the rows of a planned part from the store, checked by SHA-256.

    Args:
        prefix: of the index version.
        folder: scratch, where the file stays.

    Raises:
        ContractError: the file is none of a plan's.
    """
    path = folder / planned.rows_file.name
    object_store.get_file(f"{prefix}/{planned.rows_file.name}", path, sha256=planned.rows_file.sha256)
    part = read_rows(path)
    if part.table.num_rows != planned.rows:
        raise ContractError(
            f"s3://{object_store.bucket}/{prefix}/{planned.rows_file.name}: expected {planned.rows} rows, found "
            f"{part.table.num_rows}; plan the build again"
        )
    return part


def _ends_part(unit: Unit, rows: int, part_rows: int) -> bool:
    digest = hashlib.sha256(f"{unit[0]}/{unit[1]}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * part_rows < 2 * rows << 64
