"""The daily partition, which can be backfilled even where nothing runs by itself, and the monthly training."""

from __future__ import annotations

import datetime
from typing import Any

from airflow.exceptions import InvalidPartitionKeyError
from airflow.timetables.base import DagRunInfo, TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable, CronTriggerTimetable

from vitrine.catalogs import Catalog
from vitrine.errors import PartitionKeyError
from vitrine.partitions import parse_partition_key

# A backfill's `--to-date` is inclusive at midnight ticks only.
MIDNIGHT = "0 0 * * *"


class DailyPartitionTimetable(CronPartitionTimetable):
    """Partitions `YYYY-MM-DD` at midnight UTC; a scheduled run ingests the day that has just ended.

    Args:
        cron: ticks of the schedule.
        by_hand: nothing runs by itself. Airflow's own way to say so, no schedule, cannot be backfilled.
    """

    def __init__(self, cron: str = MIDNIGHT, *, by_hand: bool = False) -> None:
        super().__init__(cron, timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")
        self.by_hand = by_hand
        if by_hand:
            self.description = "By hand and by backfill only, one partition a day"

    @property
    def summary(self) -> str:
        """What the list of DAGs shows."""
        return "by hand" if self.by_hand else super().summary

    def serialize(self) -> dict[str, Any]:
        """Returns what `deserialize` needs."""
        return {"cron": self._expression, "by_hand": self.by_hand}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> DailyPartitionTimetable:
        """Makes the timetable that was serialized."""
        return cls(data["cron"], by_hand=data["by_hand"])

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Returns the next run that the scheduler makes by itself, or None."""
        if self.by_hand:
            return None
        return super().next_dagrun_info_v2(last_dagrun_info=last_dagrun_info, restriction=restriction)

    def _decode_partition_date(self, partition_key: str) -> datetime.datetime:
        # Called when a run is triggered, so that the API and the form refuse a key that is no day.
        try:
            day = parse_partition_key(partition_key)
        except PartitionKeyError as error:
            raise InvalidPartitionKeyError(str(error)) from error
        return datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC)


def daily_partitions(catalog: Catalog) -> DailyPartitionTimetable:
    """Returns the schedule of a catalog's ingest; without a declared one it runs by hand and by backfill."""
    return DailyPartitionTimetable(catalog.schedule or MIDNIGHT, by_hand=not catalog.schedule)


def monthly_training(catalog: Catalog) -> CronTriggerTimetable | None:
    """Returns when a catalog's encoder is trained by itself, or None.

    A platform that is set up waits for the next tick: for the DAG's first run only a tick of the last hour counts.
    """
    if not catalog.train_schedule:
        return None
    return CronTriggerTimetable(catalog.train_schedule, timezone="UTC", run_immediately=datetime.timedelta(hours=1))
