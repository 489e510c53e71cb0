"""The items of a folder in the items format, read for training and reports: the head over all its files.

Ingest judges each row and says why it rejects one. Here a row that cannot be used is left out and counted.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vitrine.errors import ContractError

_PATTERNS = ("items*.parquet", "items*.jsonl", "items*.csv")
_PARTITION = re.compile(r"dt=\d{4}-\d{2}-\d{2}")
Row = dict[str, Any]


def read_head(folder: Path) -> tuple[list[tuple[Row, Path]], int]:
    """Reads the items of a folder, or of its `dt=…` partitions in order: the newest row of an item wins.

    Returns:
        The rows that are not deleted, each with the folder that its image is relative to, in order of `item_id`; and
        how many rows could not be used.

    Raises:
        ContractError: the folder holds no items file.
    """
    files = _items_files(folder)
    if not files:
        raise ContractError(
            f"{folder}: expected items.parquet, items.jsonl or items.csv, here or in folders dt=YYYY-MM-DD; found none"
        )
    head: dict[str, tuple[Row, Path]] = {}
    unusable = 0
    for path in files:
        for row in _rows(path):
            item_id = None if row is None else text(row, "item_id")
            if row is None or item_id is None:
                unusable += 1
                continue
            head.pop(item_id, None)
            if not _true(row.get("deleted")):
                head[item_id] = (row, path.parent)
    return [head[item_id] for item_id in sorted(head)], unusable


def text(row: Mapping[str, Any], column: str) -> str | None:
    """Returns a column, or an attribute of that name, as text; None when it is empty or not there."""
    value = row.get(column)
    if value is None or value == "":
        value = _attributes(row).get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):  # NaN
        return None
    stripped = (value.isoformat() if hasattr(value, "isoformat") else str(value)).strip()
    return stripped or None


def _items_files(folder: Path) -> list[Path]:
    partitions = sorted(path for path in folder.glob("dt=*") if _PARTITION.fullmatch(path.name))
    return [path for place in partitions or [folder] for pattern in _PATTERNS for path in sorted(place.glob(pattern))]


def _rows(path: Path) -> Iterator[Row | None]:
    """Yields rows; None stands for a row that is none."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.strip():
                    yield _json_object(line)
    else:
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            for row in csv.DictReader(lines):
                yield None if None in row else {key: value or None for key, value in row.items()}


def _json_object(line: str) -> Row | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _attributes(row: Mapping[str, Any]) -> Mapping[str, Any]:
    value = row.get("attributes")
    if isinstance(value, str):
        return _json_object(value) or {}
    return value if isinstance(value, Mapping) else {}


def _true(value: Any) -> bool:
    return value is True or str(value).strip().lower() in ("true", "1", "yes")
