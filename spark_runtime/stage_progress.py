"""Progress of a Spark job by its tasks: one plain line every few seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LINE_EVERY_S = 5.0


@contextmanager
def shown_stages(spark: SparkSession, *, label: str) -> Iterator[None]:
    """Says which stages run, and how many of their tasks are done, while the block runs."""
    tracker = spark.sparkContext.statusTracker()
    stop = threading.Event()
    began = time.monotonic()

    def show() -> None:
        while not stop.wait(_LINE_EVERY_S):
            running = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            tasks = [
                f"stage {info.stageId}: {info.numCompletedTasks} of {info.numTasks} tasks" for info in running if info
            ]
            text = ", ".join(tasks) or "planning"
            print(f"{label}: {text} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)

    thread = threading.Thread(target=show, name="stage-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
