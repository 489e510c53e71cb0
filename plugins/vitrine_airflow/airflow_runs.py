"""Which runs of a catalog's DAGs go on, as Airflow's API tells tasks and triggers."""

from __future__ import annotations

from collections.abc import Sequence

_RUNNING = ["running"]
_UNFINISHED = ["queued", *_RUNNING]


def is_ingesting(catalog_id: str) -> bool:
    """Tells whether an ingest runs or is queued."""
    return count_runs(f"{catalog_id}.ingest_catalog", _UNFINISHED) > 0


def is_releasing(catalog_id: str) -> bool:
    """Tells whether a release runs."""
    return count_runs(f"{catalog_id}.release_index", _RUNNING) > 0


def is_building(catalog_id: str) -> bool:
    """Tells whether a build runs, also while it waits. One that is queued may be of a DAG that is paused."""
    return count_runs(f"{catalog_id}.build_index", _RUNNING) > 0


def has_queued_build(catalog_id: str) -> bool:
    """Tells whether a build waits for the end of the one that runs."""
    return count_runs(f"{catalog_id}.build_index", ["queued"]) > 0


def has_begun(catalog_id: str, run_id: str) -> bool:
    """Tells whether a build waits for nothing any more."""
    return count_tasks(f"{catalog_id}.build_index", "wait_for_ingest", [run_id], states=["success"]) > 0


def count_runs(dag_id: str, states: Sequence[str]) -> int:
    """Returns how many runs of a DAG are in some states."""
    # Imported here because it opens the channel to Airflow's API, which a parse does not have.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return RuntimeTaskInstance.get_dr_count(dag_id=dag_id, states=list(states))


def count_tasks(dag_id: str, task_id: str, run_ids: Sequence[str], *, states: Sequence[str]) -> int:
    """Returns in how many of some runs of a DAG a task is in some states."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    if not run_ids:
        return 0
    return RuntimeTaskInstance.get_ti_count(
        dag_id=dag_id, task_ids=[task_id], run_ids=list(run_ids), states=list(states)
    )
