"""A partition key is a day, and nothing else."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import PartitionKeyError
from vitrine.partitions import parse_partition_key


@given(st.dates())
def test_every_day_of_the_calendar_is_its_own_key(day: datetime.date) -> None:
    assert parse_partition_key(day.isoformat()) == day.isoformat()
    assert parse_partition_key(f"{day.isoformat()}T00:00:00") == day.isoformat()
    assert parse_partition_key(f"{day.isoformat()}T00:00:00+00:00") == day.isoformat()


@given(st.text())
def test_whatever_is_no_day_is_refused_and_never_guessed(text: str) -> None:
    try:
        day = parse_partition_key(text)
    except PartitionKeyError:
        return

    assert text.startswith(day)
    assert datetime.date.fromisoformat(day).isoformat() == day


@pytest.mark.parametrize("key", [None, "", "head", "2026-13-01", "2026-02-30", "20261101", "2026-11-01T12:00:00"])
def test_a_missing_or_malformed_key_says_what_to_do(key: str | None) -> None:
    with pytest.raises(PartitionKeyError, match="2026-11-01"):
        parse_partition_key(key)
