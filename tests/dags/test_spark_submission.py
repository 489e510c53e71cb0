"""Spark jobs as processes: their command line, whose master they get, and that they end with their task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from spark_jobs.deliveries.recording import record_delivery
from tests.dags.conftest import ROOT
from tests.spark_jobs.delivered_folder import DT, committed_parts, declare, small_delivery
from tests.waiting import is_gone, wait_for
from vitrine.ledger import Ledger
from vitrine.settings import Settings


def test_options_become_a_command_line() -> None:
    from vitrine_airflow.spark import command_line

    words = command_line({"catalog": "demo", "head": True, "dt": None, "quiet": False, "rows": 3})

    assert words == ["--catalog", "demo", "--head", "--rows", "3"]


def test_no_secret_is_put_on_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitrine_airflow.spark import spark_environment

    monkeypatch.setenv("VITRINE_S3_SECRET_KEY", "hush-hush")

    assert "hush-hush" not in str(spark_environment(python="python", loopback=True))


@pytest.mark.parametrize(
    ("master", "expected"),
    [
        ("local[*]", "local[*]"),
        ("local[2]", "local[2]"),
        ("spark://host:7077", "spark://host:7077"),
        ("spark://a:1,b:2", "spark://a:1,b:2"),
    ],
)
def test_the_connection_of_the_set_up_names_the_master(
    master: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

    from deploy.local.configuration import spark_connection

    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", spark_connection(master))

    assert SparkSubmitHook()._resolve_connection()["master"] == expected


def test_one_script_is_submitted_for_all_stages_under_the_name_of_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
    from vitrine_airflow.encode_parts import EncodeParts
    from vitrine_airflow.spark import SparkJob, StageJob
    from vitrine_airflow.train_job import TrainJob

    submitted: list[tuple[Path, str, str]] = []
    monkeypatch.setattr(
        SparkSubmitOperator,
        "execute",
        lambda task, _: submitted.append((Path(task.application), task.name, " ".join(task.application_args))),
    )
    monkeypatch.setenv("VITRINE_STATE_DIR", str(tmp_path))
    run = SimpleNamespace(dag_id="demo.nightly", run_id="by-hand")
    task = SimpleNamespace(dag_id="demo.nightly", task_id="job")

    for job in (
        SparkJob(task_id="job", verb="embed", options={"catalog": "demo", "head": True}, fingerprint="f1"),
        EncodeParts(task_id="job", catalog_id="demo", plan_id="p1"),
        TrainJob(task_id="job", verb="run-training", options={"catalog": "demo"}),
    ):
        StageJob.execute(job, {"ti": task, "dag_run": run})

    scripts, names, arguments = zip(*submitted, strict=True)
    assert set(scripts) == {ROOT / "spark_runtime" / "submit.py"}
    assert set(names) == {"demo.nightly job"}
    assert list(arguments) == [
        "spark_jobs embed --catalog demo --head --fingerprint f1",
        "index_builder encode --catalog demo --plan p1",
        "training run-training --catalog demo --dag-id demo.nightly --dag-run-id by-hand",
    ]


def test_a_small_day_is_profiled_by_the_task_and_a_large_one_by_spark_submit(
    settings: Settings, ledger: Ledger, catalog_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitrine_airflow.spark import SparkJob, StageJob

    submitted: list[list[str]] = []
    monkeypatch.setattr(StageJob, "execute", lambda task, _: submitted.append([task.verb, task.options["dt"]]))
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    catalog = declare(settings, catalog_id)
    delivery_id = record_delivery(settings, catalog_id=catalog_id, dt=DT, source=str(small_delivery(tmp_path)))
    options = {"catalog": catalog_id, "dt": DT, "delivery-id": delivery_id}

    for verb, rows in (("profile", "5"), ("mine", "1000"), ("profile", "6")):
        monkeypatch.setenv("VITRINE_SPARK_IN_PROCESS_ROWS", rows)
        job = SparkJob(task_id="job", verb=verb, options=options)
        job.execute({})
        job.on_kill()  # of a job that was not submitted there is nothing to end

    assert submitted == [["profile", DT], ["mine", DT]]
    assert [part["rows"] for part in committed_parts(settings, ledger, catalog, delivery_id)] == [6]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to its parent")
def test_spark_submit_ends_when_its_task_is_killed_outright(tmp_path: Path) -> None:
    submit = tmp_path / "spark-submit"
    submit.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 300\n")
    submit.chmod(0o755)
    script = (
        "from vitrine_airflow.spark import _BoundSparkSubmitHook\n"
        "_BoundSparkSubmitHook(conf={}, spark_binary='spark-submit').submit('nothing.py')\n"
    )
    task = subprocess.Popen(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
            "AIRFLOW_CONN_SPARK_DEFAULT": "spark://local%5B2%5D",
        },
    )
    pid = int(wait_for(lambda: _written(tmp_path / "pid", task), what="the id of the process that spark-submit is"))

    task.send_signal(signal.SIGKILL)
    task.wait(timeout=300)

    wait_for(lambda: is_gone(pid), what="the end of spark-submit, whose task was killed,")


def _written(path: Path, writer: subprocess.Popen[bytes]) -> str:
    assert writer.poll() is None, f"the task ended with status {writer.returncode} before it submitted anything"
    return path.read_text().strip() if path.is_file() else ""
