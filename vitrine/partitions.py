"""Partition keys: one day each, `YYYY-MM-DD`."""

from __future__ import annotations

import datetime
import re

from vitrine.errors import PartitionKeyError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def parse_partition_key(key: str | None) -> str:
    """Returns the day `YYYY-MM-DD` of a partition key; a midnight such as `2026-11-01T00:00:00` counts as its day.

    Raises:
        PartitionKeyError: the key is missing, malformed, or no day of the calendar.
    """
    if not key:
        raise PartitionKeyError(
            "this run has no partition key; trigger it with a partition key such as 2026-11-01 (the day to ingest)"
        )
    day, _, time = key.partition("T")
    midnight = not time or re.fullmatch(r"00:00(:00(\.0+)?)?(Z|\+00:00)?", time) is not None
    try:
        if not _DATE.fullmatch(day) or not midnight:
            raise ValueError("not of the form YYYY-MM-DD")
        return datetime.date.fromisoformat(day).isoformat()
    except ValueError as error:
        raise PartitionKeyError(
            f"partition key {key!r}: {error}; expected a day such as 2026-11-01, so trigger the run again with one"
        ) from error
