"""`make loop`: the demo's encoder is trained, judged and promoted, and the search changes over while it is asked."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local import catalog_runs, lifecycle
from deploy.local.airflow_api import AirflowApi
from deploy.local.configuration import Configuration
from deploy.local.demo import CATALOG_ID
from deploy.local.layout import Layout
from deploy.local.light_load import LoadReport, fetch_queries, light_load
from deploy.local.mlflow_api import MlflowApi, ModelVersion
from deploy.local.summary import live_release
from deploy.local.watching.display import display
from deploy.local.watching.failures import explain_failure
from deploy.local.watching.run_watch import RunWatch, wait_for_dags, wait_for_runs
from vitrine.errors import VitrineError

if TYPE_CHECKING:
    from training.evaluate.report import EvaluationReport

# Some minutes on 2 cores. Few products of the demo are new in any week before its last: a validation by time would
# hold 22 pictures, all of which the bootstrap encoder finds. It could choose nothing, so its products are trained on.
TRAIN_FORM: Mapping[str, Any] = {
    "objective": "both",
    "epochs": 8,
    "baselines": False,
    "mining": {"validation_days": 0},
    "options": {"infonce_weight": 2.0},  # texts keep up with the pictures
}
RELEASE_TIMEOUT_S = 1800.0
_POLL_S = 1.0
_AFTER_S = 2.0

Report = Callable[[str], None]


class LoopError(VitrineError):
    """A part of the loop did not happen."""


@dataclass(frozen=True)
class LoopResult:
    """What the loop showed.

    Attributes:
        report: of the trained encoder.
        before, after: what the search tier said of its live release.
    """

    report: EvaluationReport
    version: ModelVersion
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    load: LoadReport


def run_loop(
    layout: Layout,
    environment: Mapping[str, str],
    *,
    report: Report = print,
    show_report: Callable[[EvaluationReport], None] | None = None,
) -> LoopResult:
    """Trains, promotes and waits for the release of the demo's next encoder.

    Args:
        layout: of a platform with the demo catalog.
        environment: that settings are read from.
        report: told each step.
        show_report: called with the encoder's report before anything is promoted.

    Raises:
        LoopError: a part did not happen; the message says which, and where to look.
        VitrineError: a service or a run failed.
    """
    configuration = lifecycle.up(layout, environment, report)
    before = live_release(configuration, CATALOG_ID)
    if before is None:
        raise LoopError(f"the search tier serves no release of catalog {CATALOG_ID}; run `make demo` first")
    airflow = catalog_runs.open_airflow(configuration)
    registry = MlflowApi(configuration.mlflow_url, login=configuration.mlflow_login)
    queries = fetch_queries(configuration.search_url, CATALOG_ID)
    try:
        with light_load(configuration.search_url, CATALOG_ID, queries) as load:
            version = registry.version(_train(configuration, airflow, report))
            measured = _read_report(configuration, version)
            if show_report is not None:
                show_report(measured)
            check_challenger(version)
            report(f"moving the alias champion to version {version.version}")
            since = datetime.datetime.now(datetime.UTC)
            registry.set_alias("champion", version.version)
            after = _await_release(configuration, airflow, version, since=since, report=report)
            time.sleep(_AFTER_S)  # some more requests, which the new release must answer
    finally:
        airflow.close()
        registry.close()
    check_load(load, before=str(before["release_id"]), after=str(after["release_id"]))
    return LoopResult(measured, version, before, after, load)


def check_challenger(version: ModelVersion) -> None:
    """Refuses to promote what did not earn the alias.

    Raises:
        LoopError: with the reasons that the version bears.
    """
    if "challenger" not in version.aliases:
        raise LoopError(
            f"version {version.version} of the encoder is not a challenger: "
            f"{version.tags.get('vitrine.challenger', 'it was not judged')}; it is not promoted. Look at the report in "
            "MLflow, and train longer"
        )


def check_load(load: LoadReport, *, before: str, after: str) -> None:
    """Checks that no request failed, and that the old and the new release alone answered.

    Raises:
        LoopError: otherwise.
    """
    if load.failures:
        raise LoopError(
            f"{len(load.failures)} of {load.requests} requests failed during the change, the first: "
            f"{load.failures[0]}; see the search tier's log"
        )
    if strangers := load.strangers(before, after):
        raise LoopError(f"expected answers by {before} and {after} only, found some by {', '.join(strangers)}")
    if not load.answers[after]:
        raise LoopError(f"release {after} is live and answered none of {load.requests} requests")


def _train(configuration: Configuration, airflow: AirflowApi, report: Report) -> str:
    """Runs the DAG; returns the number of the version that it registered."""
    dag_id = f"{CATALOG_ID}.train_encoder"
    wait_for_dags(airflow, [dag_id, f"{CATALOG_ID}.build_index", f"{CATALOG_ID}.release_index", "watch_promotions"])
    since = datetime.datetime.now(datetime.UTC)
    under_way = airflow.active_runs([dag_id])
    run = under_way[0] if under_way else airflow.trigger(dag_id, conf=TRAIN_FORM)
    if under_way:
        report("a training is under way already, and is waited for")
    wait_for_runs(airflow, [dag_id], since=since, asked={run.run_id}, layout=configuration.layout, report=report)
    return str(airflow.returned(run, "register_encoder"))


def _read_report(configuration: Configuration, version: ModelVersion) -> EvaluationReport:
    from training.evaluate.pages.report_files import read_report
    from training.steps.evaluate import fetch_report_files, read_evaluation
    from vitrine.connections import open_object_store
    from vitrine.files.scratch import scratch_folder

    evaluation_id = version.tags.get("vitrine.evaluation_id")
    if evaluation_id is None:
        raise LoopError(
            f"version {version.version} of the encoder was registered by other means than this training: no step was "
            "better than its base; look at the run's curves in MLflow, and train longer"
        )
    settings = configuration.settings
    object_store = open_object_store(settings)
    evaluation = read_evaluation(object_store, catalog_id=CATALOG_ID, evaluation_id=evaluation_id)
    with scratch_folder(settings, "loop") as scratch:
        return read_report(fetch_report_files(object_store, evaluation, Path(scratch)))


def _await_release(
    configuration: Configuration,
    airflow: AirflowApi,
    version: ModelVersion,
    *,
    since: datetime.datetime,
    report: Report,
) -> Mapping[str, Any]:
    """Waits until the search tier serves a release of the promoted encoder."""
    dag_ids = ["watch_promotions", f"{CATALOG_ID}.build_index", f"{CATALOG_ID}.release_index"]
    fingerprint, started = version.tags["vitrine.fingerprint"], time.monotonic()
    report(f"waiting until a release of encoder {fingerprint} is live")
    watch = RunWatch(airflow, dag_ids, since=since)
    with display() as show:
        while time.monotonic() - started < RELEASE_TIMEOUT_S:
            served = live_release(configuration, CATALOG_ID)
            runs = watch.look()
            show(watch.stages())
            for run in runs:
                if run.state == "failed":
                    raise LoopError(explain_failure(airflow, run, layout=configuration.layout))
            is_live = served is not None and served["encoder_fingerprint"] == fingerprint
            if served is not None and is_live and not any(run.is_active for run in runs):  # it is verified, too
                return served
            time.sleep(_POLL_S)
    raise LoopError(
        f"no release of encoder {fingerprint} was live {RELEASE_TIMEOUT_S:.0f} s after version {version.version} "
        f"became the champion; look at the runs of {', '.join(dag_ids)} in Airflow, and at the version's tags in MLflow"
    )
