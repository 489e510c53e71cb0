"""What Spark is configured with, for each kind of master: who must prove itself, and what is shown to whom."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType, SimpleNamespace
from typing import ClassVar, cast

import pytest
from pydantic import SecretStr

from spark_runtime.configuration import open_context, spark_authentication, spark_configuration
from vitrine.settings import Settings

SECRET = "of the cluster"
CLUSTERS = ["spark://head:7077", "spark://127.0.0.1:7077", "local-cluster[2,1,1024]", "yarn", "k8s://https://api:443"]


def authentication(master: str, secret: str | None) -> dict[str, str]:
    settings = Settings(spark_master=master, spark_secret=SecretStr(secret) if secret else None)
    found = spark_configuration(settings, python="python3")
    return {name: value for name, value in found.items() if name.startswith(("spark.auth", "spark.network"))}


@pytest.mark.parametrize("master", ["local", "local[*]", "local[2]", "local[2,4]"])
@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_local_master_authenticates_by_a_secret_of_its_own(master: str, secret: str | None) -> None:
    assert authentication(master, secret) == {"spark.authenticate": "true"}


@pytest.mark.parametrize("master", CLUSTERS)
def test_a_cluster_whose_secret_is_set_authenticates_and_encrypts(master: str) -> None:
    assert authentication(master, SECRET) == {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}


@pytest.mark.parametrize("master", CLUSTERS)
def test_without_it_the_clusters_own_configuration_decides(master: str) -> None:
    assert authentication(master, None) == {}


@pytest.mark.parametrize("master", ["local[*]", *CLUSTERS])
def test_the_secret_is_not_in_what_stands_on_command_lines(master: str) -> None:
    settings = Settings(spark_master=master, spark_secret=SecretStr(SECRET))

    assert SECRET not in str(spark_configuration(settings, python="python3"))
    assert SECRET not in repr(settings)


class Conf(dict[str, str]):
    """Stands in for a `SparkConf`: what it holds at first is the cluster's own configuration."""

    defaults: ClassVar[dict[str, str]] = {}

    def __init__(self, loadDefaults: bool = True) -> None:
        super().__init__(self.defaults if loadDefaults else {})

    def setAll(self, pairs: Iterable[tuple[str, str]]) -> Conf:
        self.update(pairs)
        return self

    def set(self, name: str, value: str) -> None:
        self[name] = value


@pytest.mark.parametrize(
    ("master", "secret", "defaults", "warns"),
    [
        ("spark://head:7077", None, {}, True),
        ("spark://head:7077", SECRET, {}, False),
        ("spark://head:7077", None, {"spark.authenticate": "true"}, False),
        ("local[2]", None, {}, False),
        ("yarn", None, {}, False),
    ],
)
def test_a_session_on_a_standalone_cluster_without_a_secret_begins_with_a_warning(
    master: str,
    secret: str | None,
    defaults: dict[str, str],
    warns: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Conf, "defaults", defaults)
    context = SimpleNamespace(_ensure_initialized=lambda conf: None, getOrCreate=lambda conf: None)
    pyspark = cast(ModuleType, SimpleNamespace(SparkConf=Conf, SparkContext=context))
    configuration = spark_authentication(master, secret=secret)

    open_context(pyspark, master=master, name="tests", configuration=configuration, secret=secret)

    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.split(":7077")[0] for line in warned] == (["spark://head"] if warns else [])
    assert all("VITRINE_SPARK_SECRET" in line for line in warned)
