"""Spark sessions: one configuration for `python -m spark_jobs` and spark-submit, on this machine and on a cluster."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vitrine import errors
from vitrine.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# What a Python worker raised, as Spark quotes it: the last line of its traceback.
_WORKER_ERROR = re.compile(r"^(?:vitrine\.errors\.)(\w+): (.*?)(?=^\s*at |^\s*$|\Z)", re.MULTILINE | re.DOTALL)


@contextmanager
def spark_session(settings: Settings, *, name: str) -> Iterator[SparkSession]:
    """Yields a session on `settings.spark_master` and stops it at the end; one that is active already is shared."""
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    python = os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(settings.spark_master).appName(name)
    for key, value in spark_configuration(settings, python=python).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def spark_configuration(settings: Settings, *, python: str) -> dict[str, str]:
    """Returns Spark's configuration; it must hold before the JVM starts, so spark-submit is handed the same."""
    configuration = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.executor.memory": settings.spark_executor_memory,
        "spark.pyspark.python": python,
        # Shuffles are sized by the job: coalescing them would fetch all images of a small day in one task.
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.shuffle.partitions": str(settings.spark_partitions),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.artifact.isolation.enabled": "false",
        # Executors run the library of this checkout where it is not installed, as on this machine.
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(_python_path()),
    }
    if _on_this_machine(settings.spark_master):
        configuration |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            # Jobs of a minute spend a good part of it compiling otherwise; on a cluster they run for hours.
            # One tier alone has 48 MB for its code, which mining twice in one process filled: the JVM then interprets.
            "spark.driver.extraJavaOptions": (
                "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=192m -XX:+UseSerialGC -Xshare:auto"
            ),
        }
    return configuration


@contextmanager
def spark_errors() -> Iterator[None]:
    """Raises what a worker raised as itself, and Spark's own failures as errors of Vitrine.

    Raises:
        VitrineError: of the class that the worker raised, or that class itself.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        text = str(error)
        if (found := _WORKER_ERROR.search(text)) is not None:
            kind = getattr(errors, found[1], errors.VitrineError)
            message = " ".join(found[2].split())
            raise (kind(message) if kind is not errors.ImageError else errors.VitrineError(message)) from error
        lines = [line for line in text.strip().splitlines() if line.strip()]
        raise errors.VitrineError(
            f"the Spark job failed: {' '.join(lines[:3])[:2000]}; see the log above, and run it again: what was "
            "committed is kept"
        ) from error


def _python_path() -> list[str]:
    root = str(Path(__file__).resolve().parent.parent)
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
    return [root, *others]


def _on_this_machine(master: str) -> bool:
    return master.startswith("local") or urlsplit(master).hostname in _LOOPBACK
