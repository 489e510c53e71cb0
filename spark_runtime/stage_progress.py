"""Progress of a Spark job by its tasks: one plain line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vitrine.progress import told

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def shown_stages(spark: SparkSession, *, label: str) -> Iterator[None]:
    """Says which stages run, and how many of their tasks are done, while the block runs."""
    tracker = spark.sparkContext.statusTracker()
    began = time.monotonic()

    def line() -> str:
        running = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        tasks = [f"stage {info.stageId}: {info.numCompletedTasks} of {info.numTasks} tasks" for info in running if info]
        return f"{label}: {', '.join(tasks) or 'planning'} ({time.monotonic() - began:.0f} s)"

    with told(line):
        yield
