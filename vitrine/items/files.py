"""Items files as delivered, read leniently row by row: no content of a file can make reading fail.

A row that cannot be read is yielded as `Unreadable` in its place, so that every row keeps its number. Parquet is read
by row groups, JSONL by byte ranges, CSV and everything gzipped as one split.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from vitrine.errors import DeliveryError
from vitrine.items.byte_ranges import Unreadable, lines, unzipped_lines
from vitrine.items.limits import ReadingLimits
from vitrine.items.parquet_rows import parquet_row_counts, read_parquet_rows
from vitrine.processes.state import csv_field_limit
from vitrine.storage.object_file import ByteSource

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
SPLIT_BYTES = 32 << 20
# Longer fields are read as an unclosed quote, which would swallow the rest of the file into one row.
CSV_FIELD_LIMIT = 1 << 20
_BOM = b"\xef\xbb\xbf"

Format = Literal["parquet", "jsonl", "csv"]


@dataclass(frozen=True)
class Split:
    """A piece of one items file that one task reads: a row group, or the lines that begin in a range of bytes."""

    file_number: int
    format: Format
    gzipped: bool
    start: int  # a byte offset, or a row group
    end: int
    rows: int | None  # None until they are counted


@dataclass(frozen=True)
class Row:
    """The values of one row by column; `text` says that they come from a format without types."""

    values: dict[str, Any]
    text: bool = False


def items_format(name: str) -> tuple[Format, bool]:
    """Returns the format of an items file by its name, and whether it is gzipped.

    Raises:
        DeliveryError: the name has none of the suffixes that are read.
    """
    match = re.search(r"\.(?:(parquet)|(jsonl|csv)(\.gz)?)$", name)
    if match is None:
        raise DeliveryError(f"{name}: expected an items file with one of the suffixes {', '.join(SUFFIXES)}")
    if match[1]:
        return "parquet", False
    return ("jsonl" if match[2] == "jsonl" else "csv"), bool(match[3])


def plan_splits(
    source: ByteSource, *, name: str, file_number: int, limits: ReadingLimits, split_bytes: int = SPLIT_BYTES
) -> list[Split]:
    """Cuts one items file into pieces that can be read apart, in order.

    Raises:
        DeliveryError: a Parquet file has no readable footer, so that not even its rows can be counted, or the footer
            claims more than `limits` allows.
    """
    file_format, gzipped = items_format(name)
    if file_format == "parquet":
        counts = parquet_row_counts(
            source,
            name=name,
            max_group_rows=limits.items_max_row_group_rows,
            max_group_bytes=limits.items_max_inflated_bytes,
        )
        return [Split(file_number, "parquet", False, group, group + 1, rows) for group, rows in enumerate(counts)]
    size = source.size_bytes
    step = split_bytes if file_format == "jsonl" and not gzipped else max(1, size)
    starts = range(0, size, step)
    return [Split(file_number, file_format, gzipped, start, min(size, start + step), None) for start in starts]


def read_rows(
    source: ByteSource, split: Split, *, limits: ReadingLimits, columns: list[str] | None = None
) -> Iterator[Row | Unreadable]:
    """Yields the rows of a split in order; with `columns`, Parquet reads no others.

    Raises:
        DeliveryError: a gzip file inflates to more than `limits` allows.
    """
    if split.format == "parquet":
        for values in read_parquet_rows(source, row_group=split.start, rows=split.rows or 0, columns=columns):
            yield values if isinstance(values, Unreadable) else Row(values)
    elif split.format == "jsonl":
        yield from _jsonl_rows(_lines(source, split, limits))
    else:
        yield from _csv_rows(_lines(source, split, limits), max_record_lines=limits.csv_max_record_lines)


def count_rows(source: ByteSource, split: Split, *, limits: ReadingLimits) -> int:
    """Returns how many rows `read_rows` yields, reading the split where its rows are not known."""
    if split.rows is not None:
        return split.rows
    if split.format == "jsonl":
        return sum(1 for line in _lines(source, split, limits) if isinstance(line, Unreadable) or line.strip())
    return sum(1 for _ in read_rows(source, split, limits=limits))


def _lines(source: ByteSource, split: Split, limits: ReadingLimits) -> Iterator[bytes | Unreadable]:
    if split.gzipped:
        found = unzipped_lines(source, max_bytes=limits.items_max_inflated_bytes)
    else:
        found = lines(source, start=split.start, end=split.end)
    first = split.start == 0
    for line in found:
        yield line.removeprefix(_BOM) if first and isinstance(line, bytes) else line
        first = False


def _jsonl_rows(found: Iterator[bytes | Unreadable]) -> Iterator[Row | Unreadable]:
    for line in found:
        if isinstance(line, Unreadable):
            yield line
        elif line.strip():  # an empty line is no row
            yield _json_row(line)


def _json_row(line: bytes) -> Row | Unreadable:
    try:
        values = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Unreadable(f"the line is not UTF-8: {error.reason} at byte {error.start}")
    except RecursionError:
        return Unreadable("the line nests too deeply")
    except ValueError as error:
        return Unreadable(f"the line is not JSON: {error}")
    if not isinstance(values, dict):
        return Unreadable(f"expected a JSON object, found {type(values).__name__}")
    return Row(values)


class _RecordLines:
    """The lines of a CSV file as its reader takes them, of which one record gets at most so many.

    Not a generator, which would end with the error that it raises: the reader goes on with the next line.
    """

    def __init__(self, found: Iterator[bytes | Unreadable], *, max_record_lines: int) -> None:
        self._found = found
        self._max_record_lines = max_record_lines
        self._taken = 0
        self.faults: list[Unreadable] = []

    def begin_record(self) -> None:
        """The lines that follow are another record's."""
        self._taken = 0
        self.faults.clear()

    def __iter__(self) -> _RecordLines:
        return self

    def __next__(self) -> str:
        if self._taken == self._max_record_lines:
            raise csv.Error(
                f"a quote was not closed within {self._max_record_lines} lines, which are rejected together "
                "(VITRINE_CSV_MAX_RECORD_LINES)"
            )
        for line in self._found:
            if not isinstance(line, Unreadable):
                self._taken += 1
                return line.decode("utf-8", errors="surrogateescape")
            self.faults.append(line)
        raise StopIteration


def _csv_rows(found: Iterator[bytes | Unreadable], *, max_record_lines: int) -> Iterator[Row | Unreadable]:
    texts = _RecordLines(found, max_record_lines=max_record_lines)
    records = csv.reader(texts, strict=True)
    header: list[str] | None = None
    while True:
        record: list[str] | Unreadable | None
        texts.begin_record()
        try:
            with csv_field_limit(CSV_FIELD_LIMIT):
                record = next(records, None)
        except csv.Error as error:
            record = Unreadable(f"the row is not CSV: {error}")
        yield from texts.faults
        if record is None:
            return
        if isinstance(record, Unreadable):
            yield record
        elif not record:  # an empty line is no row
            continue
        elif header is None:
            header = record
        else:
            yield _csv_row(header, record)


def _csv_row(header: list[str], record: list[str]) -> Row | Unreadable:
    if len(record) != len(header):
        return Unreadable(f"expected {len(header)} fields as in the header, found {len(record)}")
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        return Unreadable(f"the header names the column {twice!r} twice")
    if any("\udc80" <= character <= "\udcff" for text in record for character in text):
        return Unreadable("the row is not UTF-8")
    # An empty field is how CSV says that there is no value.
    return Row({name: value for name, value in zip(header, record, strict=True) if value != ""}, text=True)
