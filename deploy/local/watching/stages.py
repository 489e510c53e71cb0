"""The stages of the watched DAGs, one for each kind: what is done, what is under way, and for how much longer."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from deploy.local.airflow_api import DagRun
from deploy.local.watching.task_words import catalog_of_dag, stage_name
from deploy.local.watching.time_left import TimeLeft
from deploy.local.watching.waiting import Doing, Waiting

_SHOWN_AT_ONCE = 2  # catalogs that are named in one line


class Progress(Enum):
    """How far a stage is."""

    AHEAD = "ahead"
    UNDER_WAY = "under way"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Stage:
    """One stage at one moment.

    Attributes:
        name: a word, e.g. `build`.
        progress: how far it is.
        where: how far along, e.g. `day 2 of 3`; may be empty.
        day: that is being ingested; may be empty.
        doings: what its runs are doing.
        ends_at: when it is expected to be done.
        seconds: how long it took, once it is done.
    """

    name: str
    progress: Progress
    where: str = ""
    day: str = ""
    doings: tuple[Doing, ...] = ()
    ends_at: datetime.datetime | None = None
    seconds: float | None = None


class Stages:
    """Turns what Airflow says about some DAGs into stages.

    Args:
        dag_ids: in the order in which they run; those of one kind form one stage.
        since: when the first stage began.
        asked: ids of the first DAG's runs that this command triggered; None: all of them.
        time_left: makes the estimates.
    """

    def __init__(
        self,
        dag_ids: Sequence[str],
        *,
        since: datetime.datetime,
        asked: Collection[str] | None = None,
        time_left: TimeLeft | None = None,
    ) -> None:
        self._dag_ids = list(dag_ids)
        self._since = since
        self._asked = asked
        self._time_left = time_left or TimeLeft()
        self._last: dict[tuple[str, str], Doing] = {}
        self._begun: set[tuple[str, str]] = set()  # builds that no longer wait

    def is_own(self, run: DagRun) -> bool:
        """Tells whether a run is this command's: any run but those of the first DAG that others triggered."""
        return self._asked is None or run.dag_id != self._dag_ids[0] or run.run_id in self._asked

    def look(self, active: Sequence[DagRun], ended: Sequence[DagRun], waiting: Waiting) -> tuple[Stage, ...]:
        """Returns the stages as they are now.

        Args:
            active, ended: runs of the DAGs.
            waiting: what the platform's tasks wait for.
        """
        self._time_left.note(ended)
        stages: list[Stage] = []
        begun, all_done = self._since, True
        for name in dict.fromkeys(map(stage_name, self._dag_ids)):
            runs = [run for run in active if stage_name(run.dag_id) == name]
            over = [run for run in ended if stage_name(run.dag_id) == name]
            runs = [run for run in runs if not self._is_held(run, active, waiting)]
            if any(run.state == "failed" and self.is_own(run) for run in over):
                stages.append(self._failed(name, over))
            elif runs:
                stages.append(self._under_way(name, runs, over, waiting, begun=begun))
            elif over and all_done:
                end = max((run.ended_at for run in over if run.ended_at is not None), default=begun)
                where = self._where_of_done(name, over)
                stages.append(Stage(name, Progress.DONE, where, seconds=max(0.0, (end - begun).total_seconds())))
                begun = max(begun, end)
            else:
                stages.append(Stage(name, Progress.AHEAD))
            all_done &= stages[-1].progress is Progress.DONE
        return tuple(stages)

    def _under_way(
        self,
        name: str,
        active: Sequence[DagRun],
        ended: Sequence[DagRun],
        waiting: Waiting,
        *,
        begun: datetime.datetime,
    ) -> Stage:
        running = [run for run in active if run.state == "running"]
        doings = [(run, self._doing(run, waiting)) for run in running]
        if catalogs := self._catalogs(name):
            over = {run.dag_id for run in ended} - {run.dag_id for run in active}
            where = f"{len(over)} of {len(catalogs)} done"
            return Stage(name, Progress.UNDER_WAY, where, doings=_by_catalog(doings))
        told = tuple(doing for _, doing in doings) or (Doing("starting", waits=True),)
        ends_at = None
        if len(doings) == 1 and not told[0].waits:
            [run] = running
            queued = [other for other in active if other is not run]
            ends_at = self._time_left.ends_at(run, queued, begun=max(begun, run.started_at or begun))
        where, day = self._where(running or active, ended, active)
        return Stage(name, Progress.UNDER_WAY, where, day, told, ends_at)

    def _failed(self, name: str, ended: Sequence[DagRun]) -> Stage:
        run = next(run for run in ended if run.state == "failed" and self.is_own(run))
        where, day = self._where([run], [other for other in ended if other is not run], [])
        if self._catalogs(name):
            where = catalog_of_dag(run.dag_id)
        return Stage(name, Progress.FAILED, where, day, (Doing("failed"),))

    def _doing(self, run: DagRun, waiting: Waiting) -> Doing:
        """What a run is doing, or did last: Airflow takes a moment between two tasks."""
        doing = waiting.describe(run) or self._last.get(_name(run)) or Doing("starting")
        self._last[_name(run)] = doing
        return doing

    def _is_held(self, run: DagRun, active: Sequence[DagRun], waiting: Waiting) -> bool:
        """Tells whether a build still waits for an ingest of its catalog, and so has not begun."""
        if stage_name(run.dag_id) != "build":
            return False
        if waiting.has_begun(run):
            self._begun.add(_name(run))
        catalog_id = catalog_of_dag(run.dag_id)
        # Between two tasks of an ingest only its run shows that it is still going.
        is_ingesting = any(other.dag_id == f"{catalog_id}.ingest_catalog" for other in active)
        return _name(run) not in self._begun and (is_ingesting or waiting.is_ingesting(catalog_id))

    def _catalogs(self, name: str) -> list[str]:
        """The DAGs of a stage, if it has one for each of several catalogs; otherwise none."""
        dag_ids = [dag_id for dag_id in self._dag_ids if stage_name(dag_id) == name]
        return dag_ids if len(dag_ids) > 1 else []

    def _where(self, now: Sequence[DagRun], ended: Sequence[DagRun], active: Sequence[DagRun]) -> tuple[str, str]:
        """Which day an ingest is at and out of how many, e.g. `day 2 of 3`; empty for a DAG without days."""
        own = [run for run in now if self.is_own(run)]
        run = (own or list(now))[0]
        if run.partition_key is None:
            return "", ""
        if not own:
            return "after another ingest", run.partition_key
        count = len(self._asked) if self._asked is not None else len(ended) + max(len(active), 1)
        return ("" if count == 1 else f"day {sum(map(self.is_own, ended)) + 1} of {count}"), run.partition_key

    def _where_of_done(self, name: str, ended: Sequence[DagRun]) -> str:
        if catalogs := self._catalogs(name):
            return f"{len(catalogs)} catalogs"
        days = [run.partition_key for run in ended if run.partition_key is not None and self.is_own(run)]
        return "" if not days else days[0] if len(days) == 1 else f"{len(days)} days"


def _by_catalog(doings: Sequence[tuple[DagRun, Doing]]) -> tuple[Doing, ...]:
    """Names the catalogs at work, and counts those that wait."""
    at_work = [(run, doing) for run, doing in doings if not doing.waits]
    told = [
        Doing(f"{catalog_of_dag(run.dag_id)}: {doing.text}", doing.since) for run, doing in at_work[:_SHOWN_AT_ONCE]
    ]
    if more := len(at_work) - len(told):
        told.append(Doing(f"{more} more running"))
    if waiting := len(doings) - len(at_work):
        told.append(Doing(f"{waiting} waiting", waits=True))
    return tuple(told) or (Doing("starting", waits=True),)


def _name(run: DagRun) -> tuple[str, str]:
    return run.dag_id, run.run_id
