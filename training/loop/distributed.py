"""Several processes on one training, started by Spark's TorchDistributor: gloo between CPUs, nccl between GPUs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from spark_runtime.configuration import spark_authentication
from spark_runtime.session import session_on
from training.loop.trainer import Place
from training.loop.worker import TrainingWork, device_of, train_in_process
from training.options import TrainingOptions
from vitrine import errors
from vitrine.errors import EncoderError, VitrineError
from vitrine.files.scratch import swept_folder
from vitrine.files.whole import replace_file
from vitrine.processes.state import environment

_LOOPBACK = "127.0.0.1"
_COLLECTIVE_TIMEOUT = timedelta(hours=1)  # the others wait while the first process validates
_SPARK = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.artifact.isolation.enabled": "false",
}


def train_distributed(work: TrainingWork, *, spark_master: str = "local[1]", spark_secret: str | None = None) -> None:
    """Trains with `options.processes` processes and waits for them.

    On a local master they run on this machine. On a cluster each is a barrier task of its own, and `work.folder` lies
    on a disk that all of them share.

    Raises:
        VitrineError: what a process raised, in its own words; that of the first one that failed.
    """
    words = work.folder / "processes"
    launch(run_process, work, options=work.options, words=words, spark_master=spark_master, spark_secret=spark_secret)


def run_process(work: TrainingWork) -> None:
    """One of the processes that TorchDistributor started."""
    with joined(work.options) as place:
        train_in_process(work, place)


def launch(
    function: Callable[..., None],
    *arguments: object,
    options: TrainingOptions,
    words: Path,
    spark_master: str = "local[1]",
    spark_secret: str | None = None,
) -> None:
    """Calls `function(*arguments)` in each process; both can be pickled.

    Args:
        words: a folder that all processes share, where each leaves word of how it ended. TorchDistributor reports
            success as soon as the first process has returned, whatever became of the others.

    Raises:
        VitrineError: a process failed, or was killed.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.ml.torch.distributor import TorchDistributor

    shutil.rmtree(words, ignore_errors=True)
    words.mkdir(parents=True)
    local = spark_master.startswith("local")
    configuration = _configuration(spark_master, spark_secret, scratch=words.parent / ".scratch")
    session = session_on(spark_master, name="train", configuration=configuration, secret=spark_secret)
    with _importable(), session:
        # On this machine each process takes the GPU of its own rank: Spark knows of none there.
        distributor = TorchDistributor(
            num_processes=options.processes, local_mode=local, use_gpu=not local and options.device != "cpu"
        )
        try:
            distributor.run(guarded, function, str(words), *arguments)
        except (RuntimeError, OSError, Py4JError, PySparkException) as error:
            raise _first_failure(words, str(error)) from error
    done = len(list(words.glob("rank-*.done")))
    if done < options.processes:
        raise _first_failure(words, f"{done} of {options.processes} processes came to their end")


def guarded(function: Callable[..., None], words: str, *arguments: object) -> None:
    """Calls `function` and leaves word of how it ended: logs of several processes hide the error that came first."""
    rank = int(os.environ.get("RANK", "0"))
    try:
        function(*arguments)
    except BaseException as error:
        traceback.print_exc(file=sys.stderr)
        _leave_word(Path(words), rank=rank, error=error)
        raise
    (Path(words) / f"rank-{rank}.done").touch()


@contextmanager
def joined(options: TrainingOptions) -> Iterator[Place]:
    """Joins the group of processes that the environment names, as torchrun sets it."""
    device = device_of(options, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_COLLECTIVE_TIMEOUT)
    try:
        yield Place(rank=dist.get_rank(), device=device)
    finally:
        dist.destroy_process_group()


def _leave_word(words: Path, *, rank: int, error: BaseException) -> None:
    words.mkdir(parents=True, exist_ok=True)
    said = {"rank": rank, "error": type(error).__name__, "message": str(error), "own": isinstance(error, VitrineError)}
    replace_file(words / f"rank-{rank}.json", json.dumps(said).encode(), durably=False)


def _first_failure(words: Path, error: str) -> VitrineError:
    """The error of a process that failed by itself: when one goes, the others fail because it is gone."""
    found = [
        (path.stat().st_mtime_ns, json.loads(path.read_text(encoding="utf-8"))) for path in words.glob("rank-*.json")
    ]
    if not found:
        lines = " ".join(error.split())
        return EncoderError(
            f"a training process ended without a word, as one does that is killed (for its memory?): …{lines[-1500:]}; "
            "start the training again: it goes on at its last checkpoint"
        )
    _, first = min(found, key=lambda word: (not word[1]["own"], word[0]))
    message = f"process {first['rank']}: {first['message']}"
    if not first["own"]:
        return EncoderError(
            f"process {first['rank']} failed with {first['error']}: {first['message']}; see its log above, and start "
            "the training again: it goes on at its last checkpoint"
        )
    kind = getattr(errors, first["error"], VitrineError)
    try:
        raised: VitrineError = kind(message)
    except TypeError:  # an error that takes more than a message
        raised = VitrineError(message)
    return raised


@contextmanager
def _configuration(spark_master: str, secret: str | None, *, scratch: Path) -> Iterator[dict[str, str]]:
    """What a session is started with; its driver keeps its temporary files below `scratch`."""
    local = {"spark.driver.bindAddress": _LOOPBACK, "spark.driver.host": _LOOPBACK}
    configuration = _SPARK | (local if spark_master.startswith("local") else {})
    configuration |= spark_authentication(spark_master, secret=secret)
    with swept_folder(scratch, "spark") as folder:
        if "PYSPARK_GATEWAY_PORT" not in os.environ:  # else spark-submit started the JVM, in a folder of its own
            configuration["spark.driver.extraJavaOptions"] = f'-XX:-UsePerfData "-Djava.io.tmpdir={folder}"'
        yield configuration


@contextmanager
def _importable() -> Iterator[None]:
    """Lets the processes import this checkout, also where it is not installed."""
    before = os.environ.get("PYTHONPATH")
    root = str(Path(__file__).resolve().parents[2])
    with environment(PYTHONPATH=os.pathsep.join([root, *([before] if before else [])])):
        yield
