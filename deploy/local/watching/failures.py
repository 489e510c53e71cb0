"""Explains a failed run: why it failed, which task of which run it was, and what to do next."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator
from pathlib import Path

from deploy.local.airflow_api import AirflowApi, DagRun, TaskInstance
from deploy.local.layout import Layout
from deploy.local.terminal_text import printable
from deploy.local.watching.task_logs import TaskError, read_task_error
from deploy.local.watching.task_words import catalog_of_dag, stage_name, task_words

_NEVER = datetime.datetime.max.replace(tzinfo=datetime.UTC)


def explain_failure(airflow: AirflowApi, run: DagRun, *, layout: Layout | None = None) -> str:
    """Returns why a run failed, in the words of the task that failed first, and where to look next.

    Args:
        airflow: where it ran.
        run: that failed.
        layout: of the platform; None if its logs and Data Docs are not on this machine.
    """
    failed = [task for task in airflow.task_instances(run) if task.state == "failed"]
    if not failed:
        why = f"none of its tasks failed: the run timed out, or somebody marked it as failed\n\n{_of_which(run)}"
        return printable("\n".join([why, *_ways([("run", airflow.run_page(run))])]))
    task = min(failed, key=lambda task: task.started_at or _NEVER)
    error = read_task_error(airflow.log_entries(run, task))
    return describe_failure(run, task, error, page=airflow.run_page(run, task), layout=layout)


def describe_failure(
    run: DagRun, task: TaskInstance, error: TaskError | None, *, page: str, layout: Layout | None
) -> str:
    """Returns the explanation of a failed task.

    Args:
        run, task: what failed.
        error: why; None if the log does not say.
        page: of the task in Airflow.
        layout: as in `explain_failure`.
    """
    if error is None:
        lines = ["the task failed, and its log does not say why"]
    else:
        lines = [error.message, *(f"  at {frame}" for frame in error.frames)]
    lines += ["", f"{_of_which(run)} while {task_words(task.task_id)} (task {task.task_id}, try {task.try_number})"]
    # It quotes file names, rows and the errors of other programs.
    return printable("\n".join([*lines, *_ways(_leads(run, task, error, page=page, layout=layout))]))


def _of_which(run: DagRun) -> str:
    day = f" of {run.partition_key}" if run.partition_key else ""
    catalog = catalog_of_dag(run.dag_id)
    return f"The {stage_name(run.dag_id)}{day}" + (f" for catalog {catalog} failed" if catalog else " failed")


def _leads(
    run: DagRun, task: TaskInstance, error: TaskError | None, *, page: str, layout: Layout | None
) -> Iterator[tuple[str, str]]:
    """Where to look, and what to run once the cause is fixed."""
    if layout is not None and task.task_id == "validate_items" and run.partition_key:
        docs = layout.data_docs / catalog_of_dag(run.dag_id) / run.partition_key / "index.html"
        if docs.is_file():
            yield "Data Docs", str(docs)
    yield "in Airflow", page
    if layout is not None and (error is None or not error.is_foreseen):
        log = task_log(layout, run, task)
        if log.is_file():
            yield "whole log", str(log)
    if source := run.conf.get("source"):
        words = [f"SOURCE={source}", f"DT={run.partition_key}", f"CATALOG={catalog_of_dag(run.dag_id)}"]
        if run.conf.get("removal_is_meant"):
            words.append("REMOVAL=meant")
        yield "once fixed", shlex.join(["make", "ingest", *words])


def task_log(layout: Layout, run: DagRun, task: TaskInstance) -> Path:
    """Returns the file that holds the log of a task's last try."""
    folder = layout.airflow_home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}" / f"task_id={task.task_id}"
    if task.map_index >= 0:
        folder /= f"map_index={task.map_index}"
    return folder / f"attempt={task.try_number}.log"


def _ways(leads: list[tuple[str, str]] | Iterator[tuple[str, str]]) -> list[str]:
    return [f"  {name:<12} {place}" for name, place in leads]
