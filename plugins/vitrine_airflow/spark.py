"""Jobs of stages: spark-submit of one file for all of them, configured by the settings; small ones run in the task."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Context

from vitrine.errors import SettingsError
from vitrine_airflow import run

_PR_SET_PDEATHSIG = 1
_WITHOUT_SPARK = {"profile", "embed"}  # verbs that need none for few rows
_WITH_PROVENANCE = {"mine", "run-training"}  # verbs that write who asked beside what they make; others take no run


class StageJob(SparkSubmitOperator):
    """Runs one verb of a stage by spark-submit of `spark_runtime/submit.py`.

    The connection `spark_default` names the master, which the set-up makes from `VITRINE_SPARK_MASTER`.

    Args:
        verb: of the stage's commands.
        options: command line options without dashes; True is a flag, None and False are left out (templated).
    """

    stage = "spark_jobs"
    template_fields = (*SparkSubmitOperator.template_fields, "options")

    def __init__(self, *, verb: str, options: Mapping[str, Any], **kwargs: Any) -> None:
        # durable is for jobs that outlive spark-submit on a cluster; here the driver is the task's own child.
        super().__init__(durable=False, **kwargs)
        self.verb = verb
        self.options = options

    def execute(self, context: Context) -> None:
        """Submits the job and waits for it."""
        from spark_runtime.configuration import spark_configuration
        from vitrine.files.scratch import scratch_folder

        settings = run.settings()
        self.name = f"{context['ti'].dag_id} {context['ti'].task_id}"
        self.application = submit_script()
        run_of = context["dag_run"]
        made_by = {"dag-id": run_of.dag_id, "dag-run-id": run_of.run_id} if self.verb in _WITH_PROVENANCE else {}
        self.application_args = [self.stage, self.verb, *command_line({**self._given_options(), **made_by})]
        python = os.environ.get("PYSPARK_PYTHON", sys.executable)
        with scratch_folder(settings, "spark") as scratch:
            self.conf = spark_configuration(settings, python=python, scratch=scratch)
            self.env_vars = spark_environment(python=python, loopback="spark.driver.bindAddress" in self.conf)
            self.env_vars["TMPDIR"] = str(scratch)
            super().execute(context)

    def on_kill(self) -> None:
        """Ends what was submitted; what runs in the task's own process ends with it."""
        if self._hook is not None:
            super().on_kill()

    def _given_options(self) -> dict[str, Any]:
        return dict(self.options)

    def _get_hook(self) -> SparkSubmitHook:
        hook = super()._get_hook()
        hook.__class__ = _BoundSparkSubmitHook
        return hook


class SparkJob(StageJob):
    """Runs one verb of `spark_jobs`, in the task's own process where that needs no Spark.

    Args:
        verb: `profile`, `embed` or `mine`.
        options: command line options without dashes; True is a flag, None and False are left out (templated).
        fingerprint: of the encoder, for `embed` (templated; the field to map over).
    """

    template_fields = (*StageJob.template_fields, "fingerprint")

    def __init__(self, *, verb: str, options: Mapping[str, Any], fingerprint: str | None = None, **kwargs: Any) -> None:
        super().__init__(verb=verb, options=options, **kwargs)
        self.fingerprint = fingerprint

    def execute(self, context: Context) -> None:
        """Runs the verb here, or submits it and waits for it."""
        if self.verb not in _WITHOUT_SPARK or not self._ran_here():
            super().execute(context)

    def _ran_here(self) -> bool:
        from spark_jobs.__main__ import run_without_spark
        from spark_runtime.configuration import in_process_rows

        settings = run.settings()
        if in_process_rows(settings) == 0:  # a cluster plans its own jobs
            return False
        return run_without_spark(settings, [self.verb, *command_line(self._given_options())])

    def _given_options(self) -> dict[str, Any]:
        return {**self.options, "fingerprint": self.fingerprint}


class _BoundSparkSubmitHook(SparkSubmitHook):
    """spark-submit that ends with the task: a task that is killed outright has no chance to end it."""

    def submit(self, application: str = "", **kwargs: Any) -> str | None:
        return super().submit(application, preexec_fn=_die_with_parent, **kwargs)


def submit_script() -> str:
    """Returns the path of the script that is submitted; its first argument is the stage.

    Raises:
        SettingsError: it is not installed here.
    """
    spec = find_spec("spark_runtime")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("the package spark_runtime is not importable by the Airflow worker; run `make setup` there")
    return str(Path(spec.submodule_search_locations[0]) / "submit.py")


def command_line(options: Mapping[str, Any]) -> list[str]:
    """Returns options as they stand on a command line."""
    words: list[str] = []
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words += [f"--{name}", str(value)]
    return words


def spark_environment(*, python: str, loopback: bool) -> dict[str, str]:
    """Returns what the driver's environment holds on top of the worker's.

    VITRINE_* come with the worker's environment: what stands here is shown on the command lines of some clusters.
    """
    variables = {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": sys.executable}
    if loopback:
        variables["SPARK_LOCAL_IP"] = "127.0.0.1"
    return variables


def _die_with_parent() -> None:
    """Asks Linux to end this process when the task's does; elsewhere only an orderly kill ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
