"""One DAG of a kind for each declared catalog, made anew whenever a DAG file is parsed, and those of the platform."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from airflow.sdk import DAG, Asset, Context, ExceptionRetryPolicy, Param, RetryAction, RetryRule
from airflow.timetables.base import Timetable

from vitrine.catalogs import Catalog, in_turn, read_catalogs
from vitrine.errors import (
    CatalogError,
    ContractError,
    GateError,
    PartitionKeyError,
    ReleaseError,
    SettingsError,
    StaleDeliveryError,
    StaleGenerationError,
    VitrineError,
)
from vitrine.settings import Settings
from vitrine_airflow.precedence import weigh_tasks

log = logging.getLogger(__name__)

START = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_REFUSALS: tuple[type[VitrineError], ...] = (
    GateError,
    ContractError,
    CatalogError,
    PartitionKeyError,
    SettingsError,
    StaleDeliveryError,
    StaleGenerationError,
)


def _fail_on(*errors: type[VitrineError]) -> ExceptionRetryPolicy:
    return ExceptionRetryPolicy(rules=[RetryRule(exception=error, action=RetryAction.FAIL) for error in errors])


# Trying again cannot change what a person or the data has to change.
FAIL_ON_REFUSAL = _fail_on(*_REFUSALS)
# A verification that failed has put the release before back: whether to try again is a person's to say.
FAIL_ON_RELEASE_ERROR = _fail_on(*_REFUSALS, ReleaseError)

# For a task after one that may be skipped because it has nothing to do. Where all before it are, so is the run.
UNLESS_SKIPPED_ALL = "none_failed_min_one_success"


def catalog_dag(
    *,
    doc_md: str | None,
    params: Mapping[str, Param],
    dagrun_timeout_h: float,
    schedule: Callable[[Catalog], Timetable | None] | None = None,
    start: datetime.datetime | None = START,
    space: Literal["encoder", "vectors"] | None = None,
) -> Callable[[Callable[[str], Any]], dict[str, DAG]]:
    """Decorates a function of `catalog_id` that lays out tasks: each catalog `c` gets a DAG `c.<name of the function>`.

    What is decorated becomes the DAGs by catalog. The catalogs file is read at each parse, so a new catalog gets its
    DAGs without a restart. No catalog, no DAG.

    Args:
        doc_md: the page in Airflow's UI, the docstring of the DAG's file.
        params: the form of the trigger dialogue.
        dagrun_timeout_h: hours after which a run is failed.
        schedule: of a catalog; None means triggered only.
        start: a schedule that only runs has its first tick after it; None: the next tick from now on.
        space: only catalogs of this space get the DAG; None: all do.

    Raises:
        CatalogError: the catalogs file is wrong; Airflow shows it as an import error.
    """

    def make(layout: Callable[[str], Any]) -> dict[str, DAG]:
        dags = {}
        settings = Settings.from_environment()
        catalogs = read_catalogs(settings.catalogs_file)
        places = {
            catalog_id: place for place, catalog_id in enumerate(in_turn(catalogs, default=settings.default_catalog))
        }
        for catalog in catalogs.values():
            if space not in (None, catalog.space):
                continue
            name = f"{catalog.catalog_id}.{layout.__name__}"
            with DAG(
                name,
                description=f"{catalog.title or catalog.catalog_id}: {_title(doc_md)}",
                schedule=schedule(catalog) if schedule else None,
                params=dict(params),
                tags=["vitrine", catalog.catalog_id],
                **_options(doc_md, dagrun_timeout_h, start=start),
            ) as dag:
                layout(catalog.catalog_id)
            weigh_tasks(dag, kind=layout.__name__, place=places[catalog.catalog_id])
            dags[catalog.catalog_id] = dag
        return dags

    return make


def platform_dag(
    *, doc_md: str | None, dagrun_timeout_h: float, schedule: Sequence[Asset]
) -> Callable[[Callable[[], Any]], DAG]:
    """Decorates a function that lays out tasks: the platform gets one DAG of its name, for all catalogs together.

    Args:
        doc_md: the page in Airflow's UI, the docstring of the DAG's file.
        dagrun_timeout_h: hours after which a run is failed.
        schedule: the assets whose events start it.
    """

    def make(layout: Callable[[], Any]) -> DAG:
        with DAG(
            layout.__name__,
            description=_title(doc_md),
            schedule=list(schedule),
            tags=["vitrine"],
            **_options(doc_md, dagrun_timeout_h),
        ) as dag:
            layout()
        weigh_tasks(dag, kind=None)
        return dag

    return make


def _options(doc_md: str | None, dagrun_timeout_h: float, *, start: datetime.datetime | None = START) -> dict[str, Any]:
    """What all DAGs have in common."""
    return {
        "doc_md": doc_md,
        "start_date": start,
        "catchup": False,
        "max_active_runs": 1,
        "is_paused_upon_creation": False,
        "dagrun_timeout": datetime.timedelta(hours=dagrun_timeout_h),
        "default_args": {
            "retries": 2,
            "retry_delay": datetime.timedelta(seconds=10),
            "retry_policy": FAIL_ON_REFUSAL,
            "on_failure_callback": log_failure,
        },
    }


def log_failure(context: Context) -> None:
    """Writes, as the last line of a failed task's log, what failed, what it leaves and how to go on."""
    instance, dag_run = context["ti"], context["dag_run"]
    partition = f" of partition {dag_run.partition_key}" if dag_run.partition_key else ""
    log.error(
        "%s%s: task %s failed in run %s: %s. What was committed stays and nothing half done is visible; the live "
        "release serves on. Fix the cause, then clear this task, or the one that the error names: it goes on from "
        "what is there.",
        instance.dag_id,
        partition,
        instance.task_id,
        instance.run_id,
        context.get("exception"),
    )


def _title(doc_md: str | None) -> str:
    return (doc_md or "").strip().splitlines()[0].lstrip("# ") if doc_md else ""
