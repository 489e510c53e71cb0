"""A look into a source before it is delivered: its files, and whether its items bring embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vitrine.connections import open_object_store
from vitrine.items.byte_ranges import Unreadable
from vitrine.items.column_values import WrongType, read_embedding
from vitrine.items.files import items_format, plan_splits, read_rows
from vitrine.items.limits import ReadingLimits
from vitrine.items.sources import SourceFile, open_source
from vitrine.settings import Settings

INSPECTED_ROWS = 1000


@dataclass(frozen=True)
class SourceSummary:
    """What a source holds, as far as its first rows tell.

    Attributes:
        files: the items files, in order of reading.
        format: parquet, jsonl or csv.
        full: what the source says about itself; None when it says nothing.
        embedding: whether items bring vectors.
        dimension: the commonest dimension of the vectors.
    """

    files: tuple[str, ...]
    format: str
    full: bool | None
    embedding: bool
    dimension: int | None


def inspect_source(settings: Settings, source: str) -> SourceSummary:
    """Looks into the first rows of a folder, a file or an `s3://` prefix.

    Raises:
        DeliveryError: there are no items files, or it is ambiguous which are meant.
    """
    opened = open_source(source, open_object_store(settings))
    dimensions: Counter[int] = Counter()
    for values in islice(_rows(opened.files, ReadingLimits.of(settings)), INSPECTED_ROWS):
        try:
            if values.get("embedding") is not None:
                dimensions[read_embedding(values["embedding"]).size] += 1
        except WrongType:  # the profile says so, row by row
            continue
    return SourceSummary(
        files=tuple(file.name for file in opened.files),
        format=items_format(opened.files[0].name)[0],
        full=opened.says.full,
        embedding=bool(dimensions),
        dimension=dimensions.most_common(1)[0][0] if dimensions else None,
    )


def _rows(files: tuple[SourceFile, ...], limits: ReadingLimits) -> Iterator[dict[str, Any]]:
    for number, file in enumerate(files):
        for split in plan_splits(file.content, name=file.name, file_number=number, limits=limits):
            for row in read_rows(file.content, split, limits=limits):
                if not isinstance(row, Unreadable):
                    yield row.values
