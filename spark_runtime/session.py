"""The one way to a Spark session: of a stage's settings, or of a configuration of one's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from spark_runtime.configuration import driver_configuration, failed_job, open_context, spark_secret
from vitrine.processes.state import environment_defaults
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
        VitrineError: the job in the block failed: of the class that a worker raised, where one did.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    master, secret = settings.spark_master, spark_secret(settings)
    configuration = driver_configuration(settings, python=os.environ.get("PYSPARK_PYTHON", sys.executable))
    try:
        with session_on(master, name=name, configuration=configuration, secret=secret) as spark:
            yield spark
    except (PySparkException, Py4JError) as error:
        raise failed_job(str(error)) from error


@contextmanager
def session_on(
    master: str, *, name: str, configuration: AbstractContextManager[Mapping[str, str]], secret: str | None
) -> Iterator[SparkSession]:
    """Yields a session on a master and stops it at the end; one that is active already is shared, and left.

    Args:
        master: Spark's.
        name: of the application.
        configuration: `spark.*`, without secrets; entered only if a session is started, and left after its end.
        secret: of the cluster, unless it needs none.

    Raises:
        SparkIsNeeded: inside `without_spark`.
    """
    if _forbidden.get():
        raise SparkIsNeeded
    import pyspark
    from pyspark.sql import SparkSession

    if (active := SparkSession.getActiveSession()) is not None:
        yield active
        return
    with configuration as chosen:
        with environment_defaults(PYSPARK_PYTHON=sys.executable):  # a session reads it once, for its workers
            open_context(pyspark, master=master, name=name, configuration=chosen, secret=secret)
            spark = SparkSession.builder.getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        try:
            yield spark
        finally:
            spark.stop()


_forbidden: ContextVar[bool] = ContextVar("forbidden", default=False)
