"""What Spark is configured with, for each kind of master: who must prove itself, and what is shown to whom."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from vitrine.settings import Settings
from vitrine.spark_configuration import spark_configuration

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
