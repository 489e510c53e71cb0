"""What a task knows of its run: settings, parameters, the partition, who asked, and what becomes provenance."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import DownstreamTasksSkipped

from vitrine.settings import Settings

log = logging.getLogger(__name__)


def settings() -> Settings:
    """Returns the platform's settings as they are now."""
    return Settings.from_environment()


def parameter(name: str) -> Any:
    """Returns one value of the trigger's form; an empty text counts as not given."""
    value = get_current_context()["params"].get(name)
    return None if value == "" else value


def parameters() -> dict[str, Any]:
    """Returns the whole form; an empty text counts as not given."""
    return {name: parameter(name) for name in get_current_context()["params"]}


def partition_key() -> str | None:
    """Returns the run's partition key as it was given; `logical_date` is empty in partitioned runs."""
    return get_current_context()["dag_run"].partition_key


def provenance() -> dict[str, str]:
    """Returns which run makes an object."""
    dag_run = get_current_context()["dag_run"]
    return {"dag_id": dag_run.dag_id, "dag_run_id": dag_run.run_id}


def is_first_try() -> bool:
    """Tells whether this is a task's first try, or its first since a person cleared it, and no retry by itself."""
    instance = get_current_context()["ti"]
    return instance.try_number == instance.max_tries - (instance.task.retries or 0) + 1


def actor() -> str:
    """Returns who asked for this run: a person where Airflow knows one, otherwise the run."""
    dag_run = get_current_context()["dag_run"]
    run_name = f"{dag_run.dag_id} {dag_run.run_id}"
    return f"{dag_run.triggering_user_name} by {run_name}" if dag_run.triggering_user_name else run_name


def reason() -> str:
    """Returns the reason that was given for this run, or an empty text."""
    return parameter("reason") or ""


def asked_by() -> dict[str, str]:
    """Returns who asks for an action and why, as the functions of `vitrine.releases` take it."""
    return {"actor": actor(), "reason": reason()}


def ending_without(task_id: str, values: Mapping[str, Any]) -> DownstreamTasksSkipped:
    """Returns what ends this task as a success that returns `values`, and skips a task after it: raise it.

    Airflow hands a task its slot before the task can look: whether there is anything to do is seen one task earlier.
    """
    instance = get_current_context()["ti"]
    for key, value in values.items():
        instance.xcom_push(key, value)
    instance.xcom_push("return_value", dict(values))
    log.info("%s has nothing to do, is skipped and takes no slot", task_id)
    return DownstreamTasksSkipped(tasks=[task_id])
