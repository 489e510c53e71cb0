"""Watches DAG runs until all of them have ended."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Collection, Sequence

from deploy.local.airflow_api import AirflowApi, AirflowError, DagRun
from deploy.local.configuration import AIRFLOW_PARALLELISM
from deploy.local.layout import Layout
from deploy.local.watching.display import display
from deploy.local.watching.failures import explain_failure
from deploy.local.watching.stages import Stage, Stages
from deploy.local.watching.time_left import TimeLeft
from deploy.local.watching.waiting import Waiting

DAG_NAMES = ("ingest_catalog", "build_index", "release_index")

# Runs cost one cheap request, so their end is noticed at once; tasks cost several, and change more slowly.
_POLL_S = 0.75
_TASKS_EVERY_S = 2.0


def dag_ids(catalog_id: str) -> tuple[str, ...]:
    """Returns the DAGs that take a catalog from a delivery to a release, in order."""
    return tuple(f"{catalog_id}.{name}" for name in DAG_NAMES)


def wait_for_dags(
    airflow: AirflowApi,
    wanted: Sequence[str],
    *,
    timeout_s: float = 600.0,
    report: Callable[[str], None] | None = None,
) -> None:
    """Waits until Airflow has parsed some DAGs, and unpauses them.

    Args:
        airflow: that parses them.
        wanted: ids of the DAGs.
        timeout_s: for all of them together.
        report: called if there is anything to wait for.

    Raises:
        AirflowError: they do not appear; the message quotes Airflow's import errors.
    """
    deadline = time.monotonic() + timeout_s
    if not all(airflow.has_dag(dag_id) for dag_id in wanted):
        if report is not None:
            report("waiting for Airflow to parse the catalog's DAGs")
        for name in dict.fromkeys(dag_id.rpartition(".")[2] for dag_id in wanted):
            airflow.parse_again(f"%{name}")  # every catalog's DAGs come from the same files
    for dag_id in wanted:
        while not airflow.has_dag(dag_id):
            if time.monotonic() > deadline:
                errors = (
                    "\n".join(airflow.import_errors()) or "it reports no import errors; see airflow-dag-processor.log"
                )
                raise AirflowError(f"Airflow still has no DAG {dag_id} after {timeout_s:.0f} s: {errors}")
            time.sleep(0.5)
        airflow.unpause(dag_id)


def wait_for_runs(
    airflow: AirflowApi,
    watched: Sequence[str],
    *,
    since: datetime.datetime,
    asked: Collection[str] | None = None,
    layout: Layout | None = None,
    report: Callable[[str], None] = print,
) -> list[DagRun]:
    """Shows the progress of some DAGs' runs until none is queued or running; returns those that ended meanwhile.

    A run triggers the next one before it ends, so once none is active, none will follow.

    Args:
        airflow: where they run.
        watched: ids of the DAGs, first the one whose runs the caller triggered.
        since: only runs that end after this moment count, whenever they began.
        asked: ids of the runs that the caller triggered. Other runs of the first DAG are waited for too; if one fails,
            that is reported, but not raised. None: every run is the caller's.
        layout: of the platform, to find the logs and Data Docs of a failed run.
        report: called with each failure that is not the caller's.

    Raises:
        AirflowError: a run of the caller's failed; the message begins with what its task said.
    """
    watch = RunWatch(airflow, watched, since=since, asked=asked)
    others: set[str] = set()
    with display() as show:
        while True:
            runs = watch.look()
            show(watch.stages())
            for run in runs:
                if run.state != "failed" or run.run_id in others:
                    continue
                if watch.is_own(run):
                    raise AirflowError(explain_failure(airflow, run, layout=layout))
                others.add(run.run_id)
                report(f"another run failed, not one of this command's: {run.dag_id}, run {run.run_id}")
            if not any(run.is_active for run in runs):
                return runs
            time.sleep(_POLL_S)


class RunWatch:
    """The progress of some DAGs' runs, with as few requests to Airflow as that takes.

    Args:
        airflow, watched, since, asked: as in `wait_for_runs`.
    """

    def __init__(
        self,
        airflow: AirflowApi,
        watched: Sequence[str],
        *,
        since: datetime.datetime,
        asked: Collection[str] | None = None,
    ) -> None:
        self._airflow, self._watched, self._since = airflow, list(watched), since
        self._active: list[DagRun] = []
        self._ended: list[DagRun] = []
        earlier = airflow.runs_ended_before(since, dag_ids=watched)
        self._stages = Stages(watched, since=since, asked=asked, time_left=TimeLeft(earlier))
        self._slots = airflow.pool_slots()
        self._waiting = Waiting([], slots=self._slots, parallelism=AIRFLOW_PARALLELISM)
        self._asked_tasks_at = -_TASKS_EVERY_S

    def look(self) -> list[DagRun]:
        """Returns the active runs, then those that have ended since the watch began."""
        # In this order: a run that ends between the two requests is in both answers, not in neither.
        active = self._airflow.active_runs(self._watched)
        if {_name(run) for run in active} != {_name(run) for run in self._active} or not active:
            self._ended = self._airflow.runs_ended_since(self._since, dag_ids=self._watched)
            self._asked_tasks_at = -_TASKS_EVERY_S
        self._active = active
        going_on = {_name(run) for run in active}
        return active + [run for run in self._ended if _name(run) not in going_on]

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stages as of the last `look`."""
        if self._active and time.monotonic() - self._asked_tasks_at >= _TASKS_EVERY_S:
            tasks = self._airflow.active_tasks()
            self._waiting = Waiting(tasks, slots=self._slots, parallelism=AIRFLOW_PARALLELISM)
            self._asked_tasks_at = time.monotonic()
        going_on = {_name(run) for run in self._active}
        ended = [run for run in self._ended if _name(run) not in going_on]
        return self._stages.look(self._active, ended, self._waiting)

    def is_own(self, run: DagRun) -> bool:
        """Tells whether a run is the caller's: any run but those of the first DAG that others triggered."""
        return self._stages.is_own(run)


def _name(run: DagRun) -> tuple[str, str]:
    return run.dag_id, run.run_id
