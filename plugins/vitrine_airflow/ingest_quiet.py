"""A build waits until no ingest of its catalog runs, so that many days make one index."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, Context
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from vitrine_airflow import run

POLL_S = 2.0
_UNFINISHED = ["queued", "running"]


class WaitForIngest(BaseOperator):
    """Waits while an ingest of the catalog runs or is queued, at most `build_max_wait_s` from the start of the run.

    It waits in the triggerer, so that a waiting build holds no worker slot that the ingest may need. After the longest
    wait the build goes on with the head as it is: a late index is worse than one more build.
    """

    def __init__(self, *, catalog_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ingest_dag_id = f"{catalog_id}.ingest_catalog"

    def execute(self, context: Context) -> None:
        """Ends at once when nothing is to be waited for."""
        started = context["dag_run"].start_date or datetime.datetime.now(datetime.UTC)
        deadline = started + datetime.timedelta(seconds=run.settings().build_max_wait_s)
        if _count_ingests(self.ingest_dag_id) == 0:
            return
        self.log.info("%s is running or queued; waiting for it until %s at the latest", self.ingest_dag_id, deadline)
        self._defer(deadline)

    def finish(self, _context: Context, event: dict[str, Any]) -> None:
        """Says how the wait ended."""
        if event["waited_out"]:
            self.log.warning("%s still runs; the build goes on with the head as it is", self.ingest_dag_id)

    def _defer(self, deadline: datetime.datetime) -> NoReturn:
        self.defer(
            trigger=IngestQuietTrigger(ingest_dag_id=self.ingest_dag_id, deadline=deadline.timestamp()),
            method_name="finish",
        )


class IngestQuietTrigger(BaseTrigger):
    """Fires when no run of an ingest is queued or running, or at the deadline.

    Args:
        ingest_dag_id: whose runs are counted.
        deadline: seconds since the epoch.
    """

    def __init__(self, *, ingest_dag_id: str, deadline: float) -> None:
        super().__init__()
        self.ingest_dag_id = ingest_dag_id
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Returns what the triggerer makes the trigger from."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"ingest_dag_id": self.ingest_dag_id, "deadline": self.deadline}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks every two seconds."""
        while await sync_to_async(_count_ingests)(self.ingest_dag_id) > 0:
            if datetime.datetime.now(datetime.UTC).timestamp() >= self.deadline:
                yield TriggerEvent({"waited_out": True})
                return
            await asyncio.sleep(POLL_S)
        yield TriggerEvent({"waited_out": False})


def _count_ingests(ingest_dag_id: str) -> int:
    # Imported here because it opens the channel to Airflow's API, which a parse does not have.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return RuntimeTaskInstance.get_dr_count(dag_id=ingest_dag_id, states=_UNFINISHED)
