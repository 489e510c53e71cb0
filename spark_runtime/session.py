"""Spark sessions of this stage: one configuration for `python -m spark_jobs` and spark-submit."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from spark_runtime.configuration import driver_configuration, failed_job, open_context, spark_secret
from vitrine.processes.state import environment
from vitrine.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class SparkIsNeeded(Exception):
    """A job that was begun `without_spark` has come to where it needs it; nothing of its work is done."""


@contextmanager
def without_spark() -> Iterator[None]:
    """Has jobs in the block that need Spark raise `SparkIsNeeded` in place of starting it."""
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


@contextmanager
def spark_session(settings: Settings, *, name: str) -> Iterator[SparkSession]:
    """Yields a session on `settings.spark_master` and stops it at the end; one that is active already is shared.

    Raises:
        SparkIsNeeded: inside `without_spark`.
    """
    if _forbidden.get():
        raise SparkIsNeeded
    import pyspark
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    python = os.environ.get("PYSPARK_PYTHON", sys.executable)
    master, secret = settings.spark_master, spark_secret(settings)
    with driver_configuration(settings, python=python) as configuration:
        with environment(PYSPARK_PYTHON=python):  # a session reads it once, for its workers
            open_context(pyspark, master=master, name=name, configuration=configuration, secret=secret)
            spark = SparkSession.builder.getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        try:
            yield spark
        finally:
            spark.stop()


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
        raise failed_job(str(error)) from error


_forbidden: ContextVar[bool] = ContextVar("forbidden", default=False)
