"""What each run is doing, in words: which task is running, or what it waits for and who is ahead of it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.local.airflow_api import DagRun, TaskInstance
from deploy.local.watching.task_words import catalog_of_dag, stage_name, task_words

_HOLDS_A_SLOT = ("running", "queued")
_WAITS_FOR_INGEST = "wait_for_ingest"


@dataclass(frozen=True)
class Doing:
    """What a run is doing.

    Attributes:
        text: in words.
        since: when that began; None if it is not known.
        waits: whether it waits for others instead of working.
    """

    text: str
    since: datetime.datetime | None = None
    waits: bool = False


class Waiting:
    """All tasks that are running or waiting on the platform at one moment.

    Args:
        tasks: of all DAGs, since a task may wait for those of other catalogs.
        slots: of each pool.
        parallelism: how many tasks run at once, across all pools.
    """

    def __init__(self, tasks: Sequence[TaskInstance], *, slots: Mapping[str, int], parallelism: int) -> None:
        self._tasks = tasks
        self._slots = slots
        self._parallelism = parallelism

    def describe(self, run: DagRun) -> Doing | None:
        """Returns what a run is doing; None between two tasks, when none of them is running or waiting."""
        own = self._own(run)
        at_work = [task for task in own if task.state == "running"]
        told = [self._describe(task) for task in at_work or own]
        if not told:
            return None
        return Doing(
            text=", ".join(dict.fromkeys(doing.text for doing in told)),
            since=min((doing.since for doing in told if doing.since is not None), default=None),
            waits=all(doing.waits for doing in told),
        )

    def has_begun(self, run: DagRun) -> bool:
        """Tells whether a run is past waiting for ingests."""
        return any(task.task_id != _WAITS_FOR_INGEST for task in self._own(run))

    def is_ingesting(self, catalog_id: str) -> bool:
        """Tells whether a task of the catalog's ingest is running or waiting."""
        return any(task.dag_id == f"{catalog_id}.ingest_catalog" for task in self._tasks)

    def _own(self, run: DagRun) -> list[TaskInstance]:
        return [task for task in self._tasks if (task.dag_id, task.run_id) == (run.dag_id, run.run_id)]

    def _describe(self, task: TaskInstance) -> Doing:
        words = task_words(task.task_id)
        if task.state == "running":
            return Doing(words, task.started_at)
        if task.state == "up_for_retry":
            return Doing(f"{words}: try {task.try_number} failed, retrying soon", waits=True)
        if task.state == "deferred":
            return self._why_deferred(task)
        return self._behind(task)

    def _behind(self, task: TaskInstance) -> Doing:
        """What a task waits for: those that hold its pool's slots or are ahead of it, or any free worker."""
        others = [other for other in self._tasks if other is not task]
        first = [other for other in others if other.state == "scheduled" and _goes_before(other, task)]
        holding = [other for other in others if other.state in _HOLDS_A_SLOT]
        in_pool = [other for other in holding if other.pool == task.pool]
        if task.state == "scheduled" and len(in_pool) >= self._slots.get(task.pool, 0):
            ahead = in_pool + [other for other in first if other.pool == task.pool]
            return Doing(f"waiting for {_who(ahead, task)}", waits=True)
        running = [other for other in holding if other.state == "running"]
        if len(running) >= self._parallelism:
            return Doing(f"waiting for a free worker: all {self._parallelism} are busy", waits=True)
        return Doing(task_words(task.task_id))

    def _why_deferred(self, task: TaskInstance) -> Doing:
        if task.task_id != _WAITS_FOR_INGEST:
            return Doing(task_words(task.task_id), task.started_at)
        if self.is_ingesting(catalog_of_dag(task.dag_id)):
            return Doing(task_words(task.task_id), task.started_at, waits=True)
        if before := self._before(task):
            return Doing(f"waiting for its turn in the promotion, behind {_few(before)}", waits=True)
        return Doing("starting")

    def _before(self, task: TaskInstance) -> list[str]:
        """The catalogs ahead of a task's in the same promotion, whether they build, release or wait themselves."""
        first = [
            other
            for other in self._tasks
            if _goes_before(other, task) and f"__{other.run_id}".endswith(f"__{task.run_id}")
        ]
        first.sort(key=lambda other: -other.priority_weight)
        return list(dict.fromkeys(catalog_of_dag(other.dag_id) for other in first))


def _goes_before(other: TaskInstance, task: TaskInstance) -> bool:
    return other.priority_weight > task.priority_weight


def _who(ahead: Sequence[TaskInstance], task: TaskInstance) -> str:
    """Who is ahead, e.g. `catalog grocery (checking pictures) and 2 more`."""
    first, *more = ahead
    whose = "another of its own runs" if first.dag_id == task.dag_id else _whose(first)
    return f"{whose} ({task_words(first.task_id)})" + (f" and {len(more)} more" if more else "")


def _whose(task: TaskInstance) -> str:
    catalog = catalog_of_dag(task.dag_id)
    return f"catalog {catalog}" if catalog else f"the {stage_name(task.dag_id)}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
