"""A build waits until no ingest of its catalog runs, so that many days make one index, and until it is its turn."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from vitrine.errors import VitrineError
from vitrine.settings import Settings
from vitrine_airflow import airflow_runs, turns

log = logging.getLogger(__name__)

POLL_S = 2.0
_ENDING_S, _ENDING_POLL_S = 5.0, 0.5  # the ingest that asked for a build ends within seconds, as a rule
_AGAIN_S = 10.0  # after an outage of the ledger
_LONGEST_TURN = datetime.timedelta(hours=12)  # half of what a build may take


class WaitForIngest(BaseOperator):
    """Waits while an ingest of the catalog runs or is queued, at most `build_max_wait_s` from the start of the run.

    A build that a promotion asked for then waits for its turn (`vitrine_airflow.turns`), and is skipped when the alias
    has moved on meanwhile.

    It begins, waits and ends in the triggerer: a waiting build takes no worker slot that others need, and one that
    waits for nothing starts no process. After the longest wait the build goes on with the head as it is: a late index
    is worse than one more build.
    """

    template_fields = ("run_id", "started")
    start_from_trigger = True

    def __init__(self, *, catalog_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.catalog_id = catalog_id
        self.run_id = "{{ run_id }}"
        self.started = "{{ dag_run.start_date.isoformat() }}"
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=_path(BuildMayBeginTrigger),
            trigger_kwargs={"catalog_id": catalog_id, "run_id": self.run_id, "started": self.started},
            next_method="execute",
        )

    def execute(self, _context: Context, event: dict[str, Any] | None = None) -> None:
        """Waits in the triggerer also where it was not begun there."""
        if event is None:
            waiting = BuildMayBeginTrigger(catalog_id=self.catalog_id, run_id=self.run_id, started=self.started)
            self.defer(trigger=waiting, method_name="execute")


class BuildMayBeginTrigger(BaseTrigger):
    """Ends its task when neither an ingest of the catalog nor a catalog before it in turn is to be waited for.

    Args:
        catalog_id: whose build waits.
        run_id: of the build.
        started: when the build did, in ISO 8601.
    """

    def __init__(self, *, catalog_id: str, run_id: str, started: str) -> None:
        super().__init__()
        self.catalog_id = catalog_id
        self.run_id = run_id
        self.started = started

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Returns what the triggerer makes the trigger from."""
        return _path(type(self)), {"catalog_id": self.catalog_id, "run_id": self.run_id, "started": self.started}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks every two seconds, more often at first, and less often where more catalogs are before."""
        settings, started = Settings.from_environment(), datetime.datetime.fromisoformat(self.started)
        await self._wait_for_ingest(until=started + datetime.timedelta(seconds=settings.build_max_wait_s))
        wanted = await self._wait_for_turn(settings, until=started + _LONGEST_TURN)
        yield TaskSuccessEvent() if wanted else TaskSkippedEvent()

    async def _wait_for_ingest(self, *, until: datetime.datetime) -> None:
        said = False
        began = time.monotonic()
        while await asyncio.to_thread(airflow_runs.is_ingesting, self.catalog_id):
            if datetime.datetime.now(datetime.UTC) >= until:
                log.warning("an ingest of %s still runs; the build goes on with the head as it is", self.catalog_id)
                return
            if not said:
                log.info("an ingest of %s is running or queued; waiting until %s at most", self.catalog_id, until)
                said = True
            is_ending = time.monotonic() - began < _ENDING_S
            await asyncio.sleep(min(POLL_S, _ENDING_POLL_S) if is_ending else POLL_S)

    async def _wait_for_turn(self, settings: Settings, *, until: datetime.datetime) -> bool:
        """Returns whether the build is still asked for."""
        said: list[str] = []
        while datetime.datetime.now(datetime.UTC) < until:
            try:
                before = await asyncio.to_thread(
                    turns.catalogs_before, settings, catalog_id=self.catalog_id, run_id=self.run_id
                )
            except VitrineError as error:
                log.warning("whose turn it is cannot be read, and is looked up again: %s", error)
                await asyncio.sleep(_AGAIN_S)
                continue
            if before is None:
                log.warning("the alias has moved on since %s: only where it stands now counts", self.run_id)
                return False
            if not before:
                return True
            if before != said:
                log.info("waiting for %s, whose turn is before", ", ".join(before))
                said = before
            await asyncio.sleep(POLL_S * len(before))
        log.warning("%s waited %s for its turn, and goes on without it", self.catalog_id, _LONGEST_TURN)
        return True


def _path(trigger: type[BaseTrigger]) -> str:
    return f"{trigger.__module__}.{trigger.__qualname__}"
