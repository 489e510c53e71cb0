"""A local driver asks everybody who connects for a secret that nobody else is told."""

from __future__ import annotations

import pytest

from spark_runtime.session import spark_session
from tests.spark_runtime.spark_stranger import command_lines, reaches, stranger
from vitrine.settings import Settings

pytestmark = pytest.mark.timeout(1800)  # two JVMs on a machine that may be busy


def test_a_local_driver_answers_whoever_knows_its_secret_and_listens_on_loopback_only(local_spark: None) -> None:
    with spark_session(Settings(), name="shared") as spark, stranger() as jvm:
        driver = spark.sparkContext._jvm.org.apache.spark.SparkEnv.get()
        own = driver.securityManager().getSecretKey()
        address = driver.rpcEnv().address()
        block_manager = driver.blockManager().blockManagerId()

        reached = {
            secret: reaches(jvm, host=address.host(), port=address.port(), what="driver", secret=secret)
            for secret in (None, "", "a guess", own)
        }
        work = spark.range(1000).repartition(3).selectExpr("sum(id)").collect()

    assert reached == {None: False, "": False, "a guess": False, own: True}
    assert (address.host(), block_manager.host()) == ("127.0.0.1", "127.0.0.1")
    assert work[0][0] == 499_500


def test_its_secret_is_in_no_configuration_and_on_no_command_line(local_spark: None) -> None:
    with spark_session(Settings(), name="shared") as spark:
        context = spark.sparkContext
        own = context._jvm.org.apache.spark.SparkEnv.get().securityManager().getSecretKey()
        shown = [
            *(value for _, value in context.getConf().getAll()),
            *(row.value for row in spark.sql("SET").collect()),
        ]
        lines = command_lines()

    assert len(own) >= 32
    assert not [value for value in [*shown, *lines] if own in value]
