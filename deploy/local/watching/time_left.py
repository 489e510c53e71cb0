"""Estimates how much longer the runs of a stage will take, if similar runs have ended before."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from deploy.local.airflow_api import DagRun
from deploy.local.watching.task_words import catalog_of_dag

_ALIKE = 2.0  # deliveries whose sizes differ by more than this factor are not compared
_MOST_FILES = 20_000  # that are counted, in at most 0.1 s

Size = tuple[str, int]


def source_size(source: str) -> Size | None:
    """Returns how much a delivery holds, and of what: pictures, or bytes of items files in one format.

    None if that is not known: the source is an s3:// prefix, cannot be read, is gone by now, or holds too many files.
    """
    try:
        return _size_on_disk(Path(source))
    except (OSError, ValueError):  # an earlier run may name anything, and no estimate is worth a failed `make ingest`
        return None


class TimeLeft:
    """Estimates from runs that succeeded.

    Args:
        earlier: runs of the same DAGs from before this command.
        size_of: returns the size of a source; None if it is not known.
    """

    def __init__(self, earlier: Iterable[DagRun] = (), *, size_of: Callable[[str], Size | None] = source_size) -> None:
        self._ended = {_name(run): run for run in earlier if run.state == "success"}
        self._size_of = size_of
        self._sizes: dict[str, Size | None] = {}

    def note(self, ended: Iterable[DagRun]) -> None:
        """Learns from runs that ended while this command watched."""
        for run in ended:
            if run.state == "success":
                self._ended[_name(run)] = run

    def ends_at(
        self, running: DagRun, queued: Sequence[DagRun] = (), *, begun: datetime.datetime
    ) -> datetime.datetime | None:
        """Returns when a run and those queued behind it will have ended; None if one of them resembles no earlier run.

        Args:
            running: the run under way.
            queued: runs that follow it, one after the other.
            begun: when its work began; a build starts by waiting.
        """
        total = 0.0
        for run in (running, *queued):
            seconds = self._seconds_of_one_like(run)
            if seconds is None:
                return None
            total += seconds
        return begun + datetime.timedelta(seconds=total)

    def _seconds_of_one_like(self, run: DagRun) -> float | None:
        """The seconds of the newest run that did about as much work."""
        like = [other for other in self._ended.values() if other.dag_id == run.dag_id]
        if "source" in run.conf:
            # Redoing a day is quick, since what it needs is there: how long it took at first says nothing.
            if any((o.partition_key, o.conf.get("source")) == (run.partition_key, run.conf["source"]) for o in like):
                return None
            like = [other for other in like if self._is_alike(run, other)]
        newest = max(like, key=lambda other: other.ended_at or _NEVER, default=None)
        return None if newest is None else self._seconds(newest)

    def _is_alike(self, run: DagRun, other: DagRun) -> bool:
        size, other_size = self._size(run), self._size(other)
        if size is None or other_size is None or size[0] != other_size[0]:
            return False
        return max(size[1], other_size[1]) <= _ALIKE * min(size[1], other_size[1])

    def _size(self, run: DagRun) -> Size | None:
        source = str(run.conf.get("source"))
        if source not in self._sizes:
            self._sizes[source] = self._size_of(source)
        return self._sizes[source]

    def _seconds(self, run: DagRun) -> float | None:
        """How long a run took, without the time a build spent waiting for ingests."""
        if run.started_at is None or run.ended_at is None:
            return None
        begun = run.started_at
        if run.dag_id.endswith(".build_index"):
            ingest = f"{catalog_of_dag(run.dag_id)}.ingest_catalog"
            ingested = [other.ended_at for other in self._ended.values() if other.dag_id == ingest and other.ended_at]
            if not ingested:  # so nobody knows how long it waited
                return None
            begun = max((moment for moment in ingested if begun < moment < run.ended_at), default=begun)
        return (run.ended_at - begun).total_seconds()


_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def _name(run: DagRun) -> tuple[str, str]:
    return run.dag_id, run.run_id


def _size_on_disk(path: Path) -> Size | None:
    if not path.is_dir():
        return (path.suffix, path.stat().st_size) if path.is_file() else None
    files = list(islice((entry for entry in path.rglob("*") if entry.is_file()), _MOST_FILES))
    items = [file for file in files if file.parent == path]
    if len(files) == _MOST_FILES or not items:
        return None
    if len(files) > len(items):
        return "pictures", len(files) - len(items)
    return "".join(sorted({file.suffix for file in items})), sum(file.stat().st_size for file in items)
