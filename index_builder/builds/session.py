"""The Spark session that encodes parts; one that is active already is shared."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from spark_runtime.configuration import driver_configuration, failed_job, open_context, spark_secret
from vitrine.processes.state import environment
from vitrine.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def spark_session(settings: Settings, *, name: str) -> Iterator[SparkSession]:
    """Yields a session on `settings.spark_master` and stops it at the end, unless it was there before.

    Raises:
        VitrineError: the job failed; of the class that a worker raised, where one did.
    """
    import pyspark
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    try:
        if (active := SparkSession.getActiveSession()) is not None:
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
    except (PySparkException, Py4JError) as error:
        raise failed_job(str(error)) from error
