"""The daily partition: keys, backfills, and what runs by itself."""

from __future__ import annotations

import datetime

import pytest

from vitrine.catalogs import Catalog


def _utc(*parts: int) -> datetime.datetime:
    return datetime.datetime(*parts, tzinfo=datetime.UTC)


def _next(timetable: object) -> object:
    from airflow.timetables.base import TimeRestriction

    restriction = TimeRestriction(earliest=None, latest=None, catchup=False)
    return timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction)  # type: ignore[attr-defined]


def test_a_catalog_without_a_schedule_never_runs_by_itself() -> None:
    from vitrine_airflow.timetables import daily_partitions

    assert _next(daily_partitions(Catalog(catalog_id="demo"))) is None


def test_a_scheduled_run_at_midnight_ingests_the_day_that_has_ended() -> None:
    from vitrine_airflow.timetables import daily_partitions

    info = _next(daily_partitions(Catalog(catalog_id="demo", schedule="0 0 * * *")))

    assert info is not None
    day_before = (info.run_after - datetime.timedelta(days=1)).date().isoformat()  # type: ignore[attr-defined]
    assert info.partition_key == day_before  # type: ignore[attr-defined]


@pytest.mark.parametrize("schedule", [None, "0 0 * * *"])
def test_a_backfill_covers_every_day_and_the_last_one_too(schedule: str | None) -> None:
    from vitrine_airflow.timetables import daily_partitions

    timetable = daily_partitions(Catalog(catalog_id="demo", schedule=schedule))

    infos = timetable.iter_partition_dagrun_infos(earliest=_utc(2026, 11, 1), latest=_utc(2026, 11, 3))

    assert [info.partition_key for info in infos] == ["2026-11-01", "2026-11-02", "2026-11-03"]


@pytest.mark.parametrize("key", ["yesterday", "2026-1-5", "2026-02-30", "2026-11-01T12:00:00", " "])
def test_a_malformed_key_is_refused_when_the_run_is_triggered(key: str) -> None:
    from airflow.exceptions import InvalidPartitionKeyError
    from vitrine_airflow.timetables import DailyPartitionTimetable

    with pytest.raises(InvalidPartitionKeyError, match="2026-11-01"):
        DailyPartitionTimetable().resolve_partition_date(key)


def test_a_good_key_is_its_day() -> None:
    from vitrine_airflow.timetables import DailyPartitionTimetable

    assert DailyPartitionTimetable().resolve_partition_date("2026-11-01") == _utc(2026, 11, 1)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_timetable_is_the_same_after_the_way_through_the_database(by_hand: bool) -> None:
    from vitrine_airflow.timetables import DailyPartitionTimetable

    timetable = DailyPartitionTimetable("0 0 * * 1", by_hand=by_hand)

    restored = DailyPartitionTimetable.deserialize(timetable.serialize())

    assert restored.serialize() == timetable.serialize()
    assert restored.periodic and restored.partitioned
