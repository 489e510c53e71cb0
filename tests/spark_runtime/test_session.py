"""One way to a session: an active one is shared and left, and nothing starts where Spark is ruled out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spark_runtime.session import SparkIsNeeded, session_on, spark_session, without_spark
from vitrine.errors import VitrineError
from vitrine.settings import Settings

pytestmark = pytest.mark.timeout(1800)  # a JVM on a machine that may be busy


def test_an_active_session_is_shared_and_left_running(local_spark: None) -> None:
    with spark_session(Settings(), name="first") as spark:
        pass

    with session_on("local[1]", name="second", configuration=_never_entered(), secret=None) as another:
        rows = another.range(3).count()

    assert another is spark
    assert rows == 3
    assert spark.sparkContext.appName == "tests"
    assert "PYSPARK_PYTHON" not in os.environ


def test_sparks_own_failures_are_errors_of_vitrine(local_spark: None) -> None:
    with (
        pytest.raises(VitrineError, match=r"the Spark job failed.*no_such_column"),
        spark_session(Settings(), name="failing") as spark,
    ):
        spark.range(1).select("no_such_column").collect()


def test_without_spark_holds_for_the_block_alone(local_spark: None) -> None:
    with without_spark(), pytest.raises(SparkIsNeeded), spark_session(Settings(), name="refused"):
        pass
    with pytest.raises(SparkIsNeeded), without_spark():
        raise SparkIsNeeded

    with spark_session(Settings(), name="allowed") as spark:
        assert spark.range(2).count() == 2


@contextmanager
def _never_entered() -> Iterator[dict[str, str]]:
    pytest.fail("an active session needs no configuration")
    yield {}
