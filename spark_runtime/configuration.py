"""How Spark is configured on this machine and on a cluster: for the sessions of the stages and for spark-submit.

It must hold before the JVM starts, so spark-submit is handed the same on its command line; the secret is not, since
every user of a machine can read those. Nothing here imports Spark.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from vitrine import errors
from vitrine.files.scratch import scratch_folder
from vitrine.settings import Settings

log = logging.getLogger(__name__)

# One process profiles as fast as four of Spark's Python workers (benchmarks/profile_throughput.py), and on more cores
# 5,000 pictures take about as long as Spark needs to start.
_FEW_CORES, _ROWS_ON_FEW_CORES, _ROWS_ON_MANY = 4, 20_000, 5_000
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# What a Python worker raised, as Spark quotes it: the last line of its traceback.
_WORKER_ERROR = re.compile(r"^(?:vitrine\.errors\.)(\w+): (.*?)(?=^\s*at |^\s*$|\Z)", re.MULTILINE | re.DOTALL)


def spark_configuration(settings: Settings, *, python: str, scratch: Path | None = None) -> dict[str, str]:
    """Returns Spark's configuration, without any secret.

    Args:
        python: that runs the workers.
        scratch: folder of the driver's temporary files, and of the executors' where they run inside the driver; None
            for a driver that runs already.
    """
    java_options = ["-XX:-UsePerfData"]  # else it keeps a file under the system's temporary folder, whatever is set
    if scratch is not None:
        java_options.append(f'"-Djava.io.tmpdir={scratch}"')  # without `spark.local.dir` Spark's blocks lie there, too
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
        **spark_authentication(settings.spark_master, secret=spark_secret(settings)),
    }
    executors = scratch if settings.spark_master.startswith("local") else settings.spark_executor_tmp_dir
    if executors is not None:
        configuration["spark.executorEnv.TMPDIR"] = str(executors)
        configuration["spark.executor.extraJavaOptions"] = f'"-Djava.io.tmpdir={executors}"'
    if _on_this_machine(settings.spark_master):
        configuration |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
        }
        java_options += [
            # Jobs of a minute spend a good part of it compiling otherwise; on a cluster they run for hours.
            # One tier alone has 48 MB for its code, which mining twice in one process filled: the JVM then interprets.
            "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=192m -XX:+UseSerialGC -Xshare:auto",
        ]
    return configuration | {"spark.driver.extraJavaOptions": " ".join(java_options)}


@contextmanager
def driver_configuration(settings: Settings, *, python: str) -> Iterator[dict[str, str]]:
    """Yields the configuration of a session that this process starts, with a scratch folder for as long as it runs.

    Under spark-submit the JVM runs already, in the folder that whoever submitted it holds.
    """
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        found = spark_configuration(settings, python=python)
        yield {key: value for key, value in found.items() if key != "spark.driver.extraJavaOptions"}
        return
    with scratch_folder(settings, "spark") as scratch:
        yield spark_configuration(settings, python=python, scratch=scratch)


def spark_authentication(master: str, *, secret: str | None) -> dict[str, str]:
    """Returns what has Spark ask everybody who connects for a secret.

    A local master makes one of its own, which never leaves its process. A cluster has one already (`secret`), or makes
    one for each application (YARN, Kubernetes) where its own configuration says so: nothing is set for it then.
    """
    if is_local(master):
        return {"spark.authenticate": "true"}
    if secret is None:
        return {}
    return {"spark.authenticate": "true", "spark.network.crypto.enabled": "true"}


def spark_secret(settings: Settings) -> str | None:
    """Returns the secret of the cluster that the settings name; a local master needs none."""
    return settings.spark_secret.get_secret_value() if settings.spark_secret is not None else None


def open_context(
    pyspark: ModuleType, *, master: str, name: str, configuration: Mapping[str, str], secret: str | None
) -> None:
    """Starts Spark; `SparkSession.builder.getOrCreate()` then finds it. Warns of a standalone cluster without a secret.

    PySpark writes what it knows before its JVM runs on the command line of that JVM, so the secret comes after.

    Args:
        pyspark: the module.
        master: Spark's.
        name: of the application.
        configuration: `spark.*`, without secrets.
        secret: of the cluster, unless it needs none.
    """
    shown = [("spark.master", master), ("spark.app.name", name), *configuration.items()]
    pyspark.SparkContext._ensure_initialized(conf=pyspark.SparkConf(loadDefaults=False).setAll(shown))
    known = pyspark.SparkConf().setAll(shown)
    if secret is not None and not is_local(master):
        known.set("spark.authenticate.secret", secret)
    if master.startswith("spark://") and known.get("spark.authenticate", "false") != "true":
        log.warning(
            "%s: nobody who connects to this cluster's jobs has to prove anything: whoever reaches their ports can "
            "read what they send and run code in them; set spark.authenticate in the cluster's spark-defaults.conf, "
            "and its secret as VITRINE_SPARK_SECRET",
            master,
        )
    pyspark.SparkContext.getOrCreate(conf=known)


def is_local(master: str) -> bool:
    """Tells whether a master runs everything in one process; `local-cluster[…]` does not."""
    return master == "local" or master.startswith("local[")


def in_process_rows(settings: Settings) -> int:
    """Returns how many rows a job of Spark handles without Spark; on a cluster none unless the settings say so."""
    if settings.spark_in_process_rows is not None:
        return settings.spark_in_process_rows
    if not is_local(settings.spark_master):
        return 0
    return _ROWS_ON_FEW_CORES if local_threads(settings) <= _FEW_CORES else _ROWS_ON_MANY


def local_threads(settings: Settings) -> int:
    """Returns how many tasks Spark would run at once on this machine, which is how many run without it."""
    found = re.fullmatch(r"local\[(\d+)(?:,\d+)?\]", settings.spark_master)
    if found is not None:
        return max(1, int(found[1]))
    return 1 if settings.spark_master == "local" else len(os.sched_getaffinity(0))


def failed_job(text: str) -> errors.VitrineError:
    """Returns what a failed Spark job is raised as.

    Args:
        text: of Spark's own error.

    Returns:
        What a worker raised, of its own class, or a `VitrineError` that quotes Spark.
    """
    if (found := _WORKER_ERROR.search(text)) is not None:
        kind = getattr(errors, found[1], errors.VitrineError)
        message = " ".join(found[2].split())
        return kind(message) if kind is not errors.ImageError else errors.VitrineError(message)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return errors.VitrineError(
        f"the Spark job failed: {' '.join(lines[:3])[:2000]}; see the log above, and run it again: what was "
        "committed is kept"
    )


def _python_path() -> list[str]:
    root = str(Path(__file__).resolve().parent.parent)
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
    return [root, *others]


def _on_this_machine(master: str) -> bool:
    return master.startswith("local") or urlsplit(master).hostname in _LOOPBACK
