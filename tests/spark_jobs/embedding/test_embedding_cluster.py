"""Embedding on a standalone cluster with two workers: an executor or the driver is killed, and nothing is lost."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyspark
import pytest
from pydantic import SecretStr

from benchmarks.temporary_s3 import wait_for_port
from tests.evidence import evidence, tails
from tests.free_ports import free_port
from tests.spark_jobs.embedding_runs import held_unit, many_units, running_driver, stored_vectors, wait_for_blocks
from tests.spark_runtime.spark_stranger import command_lines, reaches, stranger
from vitrine.encoder import Encoder
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

UNITS = 60
END_S = 1500.0  # of a job
pytestmark = pytest.mark.timeout(3600)  # a cluster, and jobs that start a JVM each, on a machine that may be busy


@dataclass(frozen=True)
class Cluster:
    """A running master with two workers, and the secret of all of them."""

    url: str
    workers: tuple[int, ...]
    secret: str

    def executors(self) -> list[int]:
        """Returns the process ids of the executors that its workers run."""
        found = []
        for child in (child for worker in self.workers for child in psutil.Process(worker).children()):
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                if any("CoarseGrainedExecutorBackend" in word for word in child.cmdline()):
                    found.append(child.pid)
        return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone cluster on the loopback interface, with ports and a secret of its own."""
    folder = tmp_path_factory.mktemp("cluster")
    secret = secrets.token_hex(16)
    defaults = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secret,
        "spark.network.crypto.enabled": "true",
    }
    (folder / "spark-defaults.conf").touch(0o600)
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in defaults.items()))
    port = free_port()
    processes = [_daemon(folder, "master.Master", "--port", str(port))]
    try:
        wait_for_port(port, processes[0], log=folder / "cluster.log")
        url = f"spark://127.0.0.1:{port}"
        resources = ("--cores", "1", "--memory", "1g", "--work-dir", str(folder))
        processes += [_daemon(folder, "worker.Worker", *resources, url) for _ in range(2)]
        with evidence("cluster", lambda: tails([folder / "cluster.log", *sorted(folder.glob("app-*/*/stderr"))])):
            yield Cluster(url, tuple(process.pid for process in processes[1:]), secret)
    finally:
        for process in reversed(processes):
            with suppress(ProcessLookupError):  # one that failed by itself
                os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            process.wait(timeout=300)


@pytest.fixture
def on_cluster(settings: Settings, cluster: Cluster) -> Settings:
    """Settings that name the cluster."""
    changed = {
        "spark_master": cluster.url,
        "spark_secret": SecretStr(cluster.secret),
        "spark_executor_memory": "512m",
    }
    return settings.model_copy(update=changed)


def test_the_master_answers_who_knows_its_secret_and_nobody_else(cluster: Cluster) -> None:
    host, _, port = cluster.url.removeprefix("spark://").partition(":")

    with stranger() as jvm:
        reached = {
            secret: reaches(jvm, host=host, port=int(port), what="master", secret=secret)
            for secret in (None, "a guess", cluster.secret)
        }

    assert reached == {None: False, "a guess": False, cluster.secret: True}


def test_a_killed_executor_loses_no_unit_and_repeats_none(
    on_cluster: Settings,
    cluster: Cluster,
    object_store: ObjectStore,
    ledger: Ledger,
    catalog_id: str,
    fingerprint: str,
    encoder: Encoder,
) -> None:
    manifest_id, pack_id, images = many_units(on_cluster, catalog_id, units=UNITS)
    with running_driver(on_cluster, catalog_id, fingerprint, manifest_id) as driver:
        with held_unit(ledger, catalog_id, fingerprint, pack_id):
            wait_for_blocks(ledger, catalog_id, fingerprint, at_least=4, driver=driver)
            before = ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)
            shown = command_lines()

            os.kill(cluster.executors()[0], signal.SIGKILL)
        status = driver.wait(timeout=END_S)

    after = ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)
    assert (status, len(after)) == (0, UNITS)
    assert len(before) < UNITS
    assert before.items() <= after.items()
    _assert_vectors(stored_vectors(object_store, ledger, catalog_id, fingerprint), images, encoder)
    assert not [line for line in shown if cluster.secret in line]


def test_after_a_killed_driver_the_next_run_embeds_what_is_left(
    on_cluster: Settings,
    cluster: Cluster,
    object_store: ObjectStore,
    ledger: Ledger,
    catalog_id: str,
    fingerprint: str,
    encoder: Encoder,
) -> None:
    manifest_id, pack_id, images = many_units(on_cluster, catalog_id, units=UNITS)

    with held_unit(ledger, catalog_id, fingerprint, pack_id):
        with running_driver(on_cluster, catalog_id, fingerprint, manifest_id) as driver:
            wait_for_blocks(ledger, catalog_id, fingerprint, at_least=4, driver=driver)
            os.killpg(driver.pid, signal.SIGKILL)
        before = ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)
    with running_driver(on_cluster, catalog_id, fingerprint, manifest_id) as driver:
        status = driver.wait(timeout=END_S)

    after = ledger.blocks.committed(catalog_id=catalog_id, fingerprint=fingerprint)
    assert (status, len(after)) == (0, UNITS)
    assert len(before) < UNITS
    assert before.items() <= after.items()
    _assert_vectors(stored_vectors(object_store, ledger, catalog_id, fingerprint), images, encoder)


def _assert_vectors(stored: dict[str, tuple[np.ndarray, float]], images: dict[str, bytes], encoder: Encoder) -> None:
    assert stored.keys() == images.keys()
    expected = encoder.encode_images([images[name] for name in stored]).embeddings
    np.testing.assert_allclose(np.stack([vector for vector, _ in stored.values()]), expected, atol=1e-3)


def _daemon(folder: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    home = Path(pyspark.__file__).parent
    with (folder / "cluster.log").open("ab") as log:
        return subprocess.Popen(
            [
                home / "bin" / "spark-class",
                f"org.apache.spark.deploy.{name}",
                "--host",
                "127.0.0.1",
                "--webui-port",
                "0",
                *arguments,
            ],
            env={
                **os.environ,
                "SPARK_HOME": str(home),
                "SPARK_CONF_DIR": str(folder),
                "SPARK_LOCAL_IP": "127.0.0.1",
                "SPARK_DAEMON_MEMORY": "256m",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
