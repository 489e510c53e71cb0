"""Items files: the rows of one day as Parquet, JSON lines or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from examples.demo_catalog.plan import COLUMNS, Row

_TYPES: dict[str, pa.DataType] = {"price": pa.float64(), "in_stock": pa.bool_(), "deleted": pa.bool_()}


def write_items(folder: Path, format_name: str, rows: Sequence[Row]) -> Path:
    """Write `items.<format>` into the folder, in the order of `rows`; the same rows give the same bytes."""
    path = folder / f"items.{format_name}"
    _WRITERS[format_name](path, rows)
    return path


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    # created_at is text here as in the other formats: a shop's export often has it so, and it can be wrong.
    schema = pa.schema([pa.field(name, _TYPES.get(name, pa.string())) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist([row.values for row in rows], schema=schema), path, compression="zstd")


def _write_jsonl(path: Path, rows: Sequence[Row]) -> None:
    lines = []
    for row in rows:
        if row.line is not None:
            lines.append(row.line)
        else:
            lines.append(json.dumps({k: v for k, v in row.values.items() if v is not None}, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([_cell(row.values[name]) for name in COLUMNS])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_WRITERS = {"parquet": _write_parquet, "jsonl": _write_jsonl, "csv": _write_csv}
