"""What each run under way does, in words: which task runs, and which waits for what and behind how many."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from deploy.local.airflow_api import DagRun, TaskInstance

_HOLDS_A_SLOT = ("running", "queued")


class Waiting:
    """All tasks that run or wait on the platform at one moment.

    Args:
        tasks: of all DAGs: a task waits for those of other catalogs, too.
        slots: of each pool.
        parallelism: tasks that run at once, whatever their pools.
        now: the moment.
    """

    def __init__(
        self,
        tasks: Sequence[TaskInstance],
        *,
        slots: Mapping[str, int],
        parallelism: int,
        now: datetime.datetime | None = None,
    ) -> None:
        self._tasks = tasks
        self._slots = slots
        self._parallelism = parallelism
        self._now = now or datetime.datetime.now(datetime.UTC)

    def describe(self, run: DagRun) -> str:
        """Returns what a run does, e.g. `encode_parts waits for the pool `spark`, 3 ahead of it`."""
        own = [task for task in self._tasks if (task.dag_id, task.run_id) == (run.dag_id, run.run_id)]
        return ", ".join(map(self._describe, own)) or "between two tasks"

    def _describe(self, task: TaskInstance) -> str:
        name = f"{task.task_id}[{task.map_index}]" if task.map_index >= 0 else task.task_id
        if task.state == "deferred":
            return f"{name} {self._why_deferred(task)}"
        if task.state in ("scheduled", "queued"):
            return f"{name} {self._behind(task)}"
        if task.state == "up_for_retry":
            return f"{name} failed in try {task.try_number} and is tried again soon"
        if task.state == "running" and task.started_at is not None:
            return f"{name} {self._seconds(task)}"
        return f"{name} starts"

    def _behind(self, task: TaskInstance) -> str:
        """Whom a task waits for: those that hold its pool's slots or go before it, or all that run."""
        others = [other for other in self._tasks if other is not task]
        first = [other for other in others if other.state == "scheduled" and _goes_before(other, task)]
        holding = [other for other in others if other.state in _HOLDS_A_SLOT]
        in_pool = [other for other in holding if other.pool == task.pool]
        if task.state == "scheduled" and len(in_pool) >= self._slots.get(task.pool, 0):
            ahead = len(in_pool) + sum(other.pool == task.pool for other in first)
            return f"waits for the pool `{task.pool}`, {ahead} ahead of it"
        running = [other for other in holding if other.state == "running"]
        if len(running) >= self._parallelism:
            return f"waits for one of {self._parallelism} workers, {len(running)} run"
        return "starts"

    def _why_deferred(self, task: TaskInstance) -> str:
        catalog_id = task.dag_id.rpartition(".")[0]
        if task.task_id != "wait_for_ingest":
            return f"waits, {self._seconds(task)}"
        if any(other.dag_id == f"{catalog_id}.ingest_catalog" for other in self._tasks):
            return f"waits for {catalog_id}.ingest_catalog, {self._seconds(task)}"
        if before := self._before(task):
            return f"waits for its turn, {len(before)} ahead of it: {_few(before)}"
        return "ends"

    def _before(self, task: TaskInstance) -> list[str]:
        """The catalogs of the same promotion that go before: they build, or release what they have built, or wait."""
        first = [
            other
            for other in self._tasks
            if _goes_before(other, task) and f"__{other.run_id}".endswith(f"__{task.run_id}")
        ]
        first.sort(key=lambda other: -other.priority_weight)
        return list(dict.fromkeys(other.dag_id.rpartition(".")[0] for other in first))

    def _seconds(self, task: TaskInstance) -> str:
        seconds = (self._now - task.started_at).total_seconds() if task.started_at else 0.0
        return f"{max(0.0, seconds):.0f} s"


def _goes_before(other: TaskInstance, task: TaskInstance) -> bool:
    return other.priority_weight > task.priority_weight


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
