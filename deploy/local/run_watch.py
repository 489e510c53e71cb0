"""Watches DAG runs until none is left to do, and shows which DAG and task runs and for how long."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from deploy.local.airflow_api import AirflowApi, AirflowError, DagRun
from deploy.local.configuration import AIRFLOW_PARALLELISM
from deploy.local.waiting_tasks import Waiting

DAG_NAMES = ("ingest_catalog", "build_index", "release_index")

_POLL_S = 1.5
_LINE_EVERY_S = 5.0


def dag_ids(catalog_id: str) -> tuple[str, ...]:
    """Returns the DAGs of a catalog's way to a release, in their order."""
    return tuple(f"{catalog_id}.{name}" for name in DAG_NAMES)


def wait_for_dags(airflow: AirflowApi, wanted: Sequence[str], *, timeout_s: float = 600.0) -> None:
    """Waits until Airflow has parsed some DAGs, and lets them run.

    Raises:
        AirflowError: they do not appear; the message holds the errors of parsing.
    """
    deadline = time.monotonic() + timeout_s
    if not all(airflow.has_dag(dag_id) for dag_id in wanted):
        for name in dict.fromkeys(dag_id.rpartition(".")[2] for dag_id in wanted):
            airflow.parse_again(f"%{name}")  # every catalog's DAGs come from the same files
    for dag_id in wanted:
        while not airflow.has_dag(dag_id):
            if time.monotonic() > deadline:
                errors = (
                    "\n".join(airflow.import_errors()) or "no error of parsing is known; see airflow-dag-processor.log"
                )
                raise AirflowError(f"Airflow has no DAG {dag_id} after {timeout_s:.0f} s: {errors}")
            time.sleep(1.0)
        airflow.unpause(dag_id)


def wait_for_runs(
    airflow: AirflowApi,
    watched: Sequence[str],
    *,
    since: datetime.datetime,
    asked: Collection[str] | None = None,
    report: Callable[[str], None] = print,
) -> list[DagRun]:
    """Waits until no run of some DAGs is queued or running; returns those that changed since a moment.

    A run triggers the next before it ends, so when none is active, nothing follows.

    Args:
        airflow, watched: whose runs; ids of DAGs, of which the first is where the caller asked for runs.
        since: runs that were active before and have not changed since are waited for too.
        asked: run ids of the first DAG that the caller asked for; one of somebody else that fails is reported, and is
            no failure of the caller's. None: all count.
        report: told of those.

    Raises:
        AirflowError: a run failed; the message names the task and holds the end of its log.
    """
    started = time.monotonic()
    others: set[str] = set()
    with display() as show:
        while True:
            known = airflow.active_runs(watched) + airflow.runs_since(since, dag_ids=watched)
            runs = list({(run.dag_id, run.run_id): run for run in known}.values())
            for run in runs:
                if run.state != "failed" or run.run_id in others:
                    continue
                if run.dag_id != watched[0] or asked is None or run.run_id in asked:
                    raise AirflowError(explain_failure(airflow, run))
                others.add(run.run_id)
                report(f"a run that was not asked for here failed: {run.dag_id}, run {run.run_id}")
            active = [run for run in runs if run.is_active]
            if not active:
                return runs
            show(describe_active(airflow, active, elapsed_s=time.monotonic() - started))
            time.sleep(_POLL_S)


def describe_active(airflow: AirflowApi, runs: Sequence[DagRun], *, elapsed_s: float) -> str:
    """Returns one line: which of the runs go on, in which task and for how long, or what their tasks wait for."""
    active = [run for run in runs if run.is_active]
    running = [run for run in active if run.state == "running"]
    parts = []
    if running:
        now = Waiting(airflow.active_tasks(), slots=airflow.pool_slots(), parallelism=AIRFLOW_PARALLELISM)
        parts = [
            f"{run.dag_id}{f' {run.partition_key}' if run.partition_key else ''}: {now.describe(run)}"
            for run in running
        ]
    waiting = len(active) - len(running)
    if waiting:
        more = " more" if running else f" run{'' if waiting == 1 else 's'}"
        parts.append(f"{waiting}{more} {'waits' if waiting == 1 else 'wait'}")
    return f"[{_clock(elapsed_s)}] " + ("; ".join(parts) or "no run is under way")


def explain_failure(airflow: AirflowApi, run: DagRun) -> str:
    """Returns which task of a failed run failed, and how its log ends."""
    failed = [task for task in airflow.task_instances(run) if task.state == "failed"]
    where = f"{run.dag_id}, run {run.run_id}" + (f" (partition {run.partition_key})" if run.partition_key else "")
    if not failed:
        return f"{where} failed without a failed task; it may have run into its time limit"
    lines = "\n".join(f"    {line}" for line in airflow.log_tail(run, failed[0]))
    return f"{where} failed in task {failed[0].task_id}, try {failed[0].try_number}; its log ends:\n{lines}"


@contextmanager
def display() -> Iterator[Callable[[str], None]]:
    """One line that is rewritten on a terminal; a plain line every few seconds elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console

        with Console().status("waiting for Airflow") as status:
            yield lambda text: status.update(text.replace("[", "\\["))
        return
    last = 0.0

    def show(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            print(text, flush=True)

    yield show


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
