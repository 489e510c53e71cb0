"""Parts: whole units, cut by content, the same wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from index_builder.builds.parts.cutting import PartRows, cut_parts, fetch_rows, write_rows
from vitrine.contracts.datasets import EmbeddingBlock
from vitrine.errors import ContractError
from vitrine.identity import sha256_hex
from vitrine.storage import ObjectStore

UNIT_ROWS = 64


def _units(sources: Iterable[int], *, rows: int = UNIT_ROWS) -> tuple[pa.Table, list[EmbeddingBlock]]:
    """Rows of sources of three units each."""
    names = sorted(f"pack-{sha256_hex(str(source).encode())[:20]}" for source in sources)
    found = [
        {"item_id": f"{name}/{group}/{row:03d}", "embedding_key": f"{row:03d}", "source_id": name, "row_group": group}
        for name in names
        for group in range(3)
        for row in range(rows)
    ]
    blocks = [
        EmbeddingBlock(
            block_id=f"block-{name}-{group}",
            key=f"{name}/{group}",
            source_id=name,
            row_group=group,
            rows=rows,
            engine="test",
            precision="fp32",
        )
        for name in names
        for group in range(3)
    ]
    schema = pa.schema(
        [
            ("item_id", pa.string()),
            ("embedding_key", pa.string()),
            ("source_id", pa.string()),
            ("row_group", pa.int32()),
        ]
    )
    return pa.Table.from_pylist(found, schema=schema), blocks


def _cut(sources: Iterable[int], *, part_rows: int = 1024) -> list[PartRows]:
    table, blocks = _units(sources)
    return list(cut_parts([table], blocks, part_rows=part_rows))


def test_parts_are_runs_of_whole_units_that_hold_every_row_once_and_in_order() -> None:
    table, blocks = _units(range(100))

    # Tables may end anywhere between two units.
    parts = list(cut_parts([table.slice(0, 64 * 7), table.slice(64 * 7)], blocks, part_rows=1024))

    assert pa.concat_tables([part.table for part in parts]).equals(table)
    assert [block for part in parts for block in part.blocks] == blocks
    assert all(part.table.num_rows <= 1024 for part in parts)
    assert all(part.table.num_rows == UNIT_ROWS * len(part.blocks) for part in parts)
    assert 300 * UNIT_ROWS / len(parts) > 1024 / 8


def test_a_pack_that_comes_between_changes_one_part_or_two() -> None:
    before = {part.part_id for part in _cut(range(200))}

    for added in range(1000, 1010):
        after = {part.part_id for part in _cut([*range(200), added])}

        assert 1 <= len(after - before) <= 4
        assert len(after & before) > 0.9 * len(before)


def test_a_unit_that_is_larger_than_a_part_is_a_part_of_its_own() -> None:
    assert [len(part.blocks) for part in _cut(range(4), part_rows=10)] == [1] * 12


def test_a_part_is_named_by_its_keys_and_blocks_and_not_by_its_items() -> None:
    table, blocks = _units([1])
    [part] = cut_parts([table], blocks, part_rows=1024)
    renamed = table.set_column(0, "item_id", pa.array([f"other-{row}" for row in range(table.num_rows)]))
    moved = [block.model_copy(update={"block_id": f"{block.block_id}-again"}) for block in blocks]

    [same] = cut_parts([renamed], blocks, part_rows=1024)
    [fewer] = cut_parts([table.slice(0, 10)], blocks, part_rows=1024)
    [embedded_again] = cut_parts([table], moved, part_rows=1024)

    assert same.part_id == part.part_id
    assert len({part.part_id, fewer.part_id, embedded_again.part_id}) == 3


def test_rows_of_a_part_come_back_from_the_store_with_their_blocks(object_store: ObjectStore, tmp_path: Path) -> None:
    table, blocks = _units([1])
    [part] = cut_parts([table], blocks, part_rows=1024)
    planned = write_rows(part, tmp_path, position=7)
    again = write_rows(part, tmp_path, position=7)
    object_store.put_file(f"indexes/{planned.rows_file.name}", tmp_path / planned.rows_file.name)

    read = fetch_rows(object_store, "indexes", planned, tmp_path)

    assert again == planned
    assert (read.part_id, read.blocks) == (planned.part_id, part.blocks)
    assert read.table.equals(part.table)
    with pytest.raises(ContractError, match="expected 5 rows, found 192"):
        fetch_rows(object_store, "indexes", planned.model_copy(update={"rows": 5}), tmp_path)


def test_a_unit_without_a_block_is_refused() -> None:
    table, blocks = _units([1])

    with pytest.raises(ContractError, match="has no block"):
        list(cut_parts([table], blocks[:-1], part_rows=1024))
