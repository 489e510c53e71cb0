"""The items of a folder, read for training and reports by the rules of ingest: the head over all its days.

Ingest says of each row why it rejects it. Here a row that cannot be used is left out and counted.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitrine.catalogs import Catalog
from vitrine.identity import attempt_id
from vitrine.items.byte_ranges import Unreadable
from vitrine.items.files import plan_splits, read_rows
from vitrine.items.image_uris import ImagePlaces
from vitrine.items.limits import ReadingLimits
from vitrine.items.policy import IngestPolicy
from vitrine.items.rows import judge_rows
from vitrine.items.sources import DeliverySource, open_folder
from vitrine.settings import Settings

_PARTITION = re.compile(r"dt=\d{4}-\d{2}-\d{2}")
Row = dict[str, Any]


def read_head(
    folder: Path, settings: Settings, *, image_is_sound: Callable[[Path], bool] | None = None
) -> tuple[list[tuple[Row, Path]], int]:
    """Reads the items of a folder, or of its `dt=…` partitions, as ingest would: files, rows, and which row counts.

    The newest day's row of an item wins, inside a day the last sound one; a day that is marked as full removes what it
    omits. What a day brings broken stays as the days before left it.

    Args:
        folder: of one delivery, or of partitions; or an items file.
        settings: of the platform, which limit what a file may claim.
        image_is_sound: tells of an image file that is there whether it can be used; None takes each.

    Returns:
        The rows that are not deleted, each with the folder that its `image_uri` is relative to, in order of `item_id`;
        and how many rows could not be used.

    Raises:
        ContractError: the folder holds no items files, or it is ambiguous which are meant.
    """
    head: dict[str, tuple[Row, Path]] = {}
    unusable = 0
    for place in sorted(path for path in folder.glob("dt=*") if _PARTITION.fullmatch(path.name)) or [folder]:
        opened = open_folder(place)
        base = opened.folder or place
        sound, broken, count = _day(opened, base, settings, image_is_sound)
        unusable += count
        if opened.says.full:
            head = {item_id: found for item_id, found in head.items() if item_id in broken}
        for item_id, row in sound.items():
            head.pop(item_id, None)
            if not row["deleted"]:
                head[item_id] = (row, base)
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


def _day(
    opened: DeliverySource, base: Path, settings: Settings, image_is_sound: Callable[[Path], bool] | None
) -> tuple[dict[str, Row], set[str], int]:
    """Returns the last sound row of each item, the items of which a row is broken, and how many rows are."""
    rows: dict[str, list[Row]] = defaultdict(list)
    broken: set[str] = set()
    unusable = 0
    for row in _judged(opened, settings):
        if "reject_reason" not in row:
            rows[row["item_id"]].append(row)
            continue
        unusable += 1
        broken.update([row["item_id"]] if "item_id" in row else [])
    sound: dict[str, Row] = {}
    for item_id, found in rows.items():
        for row in reversed(found):
            if row["deleted"] or _has_image(base / row["image_uri"], base, image_is_sound):
                sound[item_id] = {**_attributes(row), **row}
                break
            unusable += 1
            broken.add(item_id)
    return sound, broken, unusable


def _judged(opened: DeliverySource, settings: Settings) -> Iterator[Row]:
    """Judges the rows of a day; an `image_uri` that is not rejected is relative to the folder."""
    limits = ReadingLimits.of(settings)
    policy = IngestPolicy.of(Catalog(catalog_id="folder"), settings)
    places = ImagePlaces(f"s3://{attempt_id()}/")  # as in ingest, a place that no row can name
    for number, file in enumerate(opened.files):
        for split in plan_splits(file.content, name=file.name, file_number=number, limits=limits):
            # Whether a catalog brings vectors is no matter here: encoders are trained and measured on pictures.
            rows = (
                row
                if isinstance(row, Unreadable)
                else replace(row, values={name: value for name, value in row.values.items() if name != "embedding"})
                for row in read_rows(file.content, split, limits=limits)
            )
            for row in judge_rows(rows, first_row_number=0, places=places, policy=policy):
                if "image_uri" in row:
                    row["image_uri"] = row["image_uri"].removeprefix(places.base)
                yield row


def _has_image(image: Path, base: Path, image_is_sound: Callable[[Path], bool] | None) -> bool:
    """Tells whether a row's image is a file of the folder."""
    try:
        path = image.resolve()
        is_there = path.is_relative_to(base.resolve()) and path.is_file()
    except (OSError, ValueError):  # names that the file system cannot hold
        return False
    return is_there and (image_is_sound is None or image_is_sound(path))


def _attributes(row: Mapping[str, Any]) -> Mapping[str, Any]:
    value = row.get("attributes")
    if not isinstance(value, str):
        return value if isinstance(value, Mapping) else {}
    try:
        parsed = json.loads(value)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
