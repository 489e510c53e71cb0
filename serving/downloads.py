"""Releases on their way to this disk: what is being fetched, and what could not be brought or loaded, and when."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from serving.release_cache import CachedRelease, ReleaseCache
from vitrine.errors import ReleaseError, VitrineError
from vitrine.storage import ObjectStore

log = logging.getLogger("vitrine.serving")

RETRY_S = 5.0  # a live release that cannot be loaded is tried again this often
_THREADS = 8  # they wait for the object store nearly all of the time

ReleaseKey = tuple[str, str]
"""(catalog_id, release_id)"""


class WithdrawnError(ReleaseError):
    """Nobody waits for this release any more."""


@dataclass(frozen=True)
class Failure:
    """Why a release could not be staged, when that was, and in answer to which request to stage it."""

    detail: str
    at: float
    requested_at: datetime.datetime | None

    @property
    def is_recent(self) -> bool:
        """Whether it is too early to try again."""
        return time.monotonic() - self.at <= RETRY_S


@dataclass(frozen=True)
class _Fetching:
    future: Future[CachedRelease]
    withdrawn: threading.Event


class Downloads:
    """Fetches releases in threads; `advance` is called until a release is there."""

    def __init__(self, cache: ReleaseCache, object_store: ObjectStore) -> None:
        self._cache = cache
        self._object_store = object_store
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="download")
        self._fetching: dict[ReleaseKey, _Fetching] = {}
        self._failures: dict[ReleaseKey, Failure] = {}

    def advance(self, key: ReleaseKey, requested_at: datetime.datetime | None) -> bool:
        """Begins or goes on fetching a release; tells, once, that it has arrived.

        What lies on this disk and is right is not fetched again, so this also mends a release.

        Args:
            key: which release.
            requested_at: of the request to stage it; None when it is live, and then a failure is tried again by itself.
        """
        fetching = self._fetching.get(key)
        if fetching is None:
            if self._may_try(key, requested_at):
                log.info("catalog %s: fetching release %s", *key)
                self._fetching[key] = self._begin(key)
            return False
        if not fetching.future.done():
            return False
        del self._fetching[key]
        try:
            fetching.future.result()
        except WithdrawnError:
            return False  # and asked for again meanwhile: the next call begins anew
        except (VitrineError, OSError) as error:
            self.fail(key, f"download: {error}", requested_at)
            return False
        self._failures.pop(key, None)
        return True

    def stop_withdrawn(self, wanted: Set[ReleaseKey]) -> bool:
        """Stops what nobody asks for any more; tells whether any of it has ended."""
        ended = False
        for key, fetching in list(self._fetching.items()):
            if key in wanted:
                continue
            fetching.withdrawn.set()
            if fetching.future.done():
                del self._fetching[key]
                log.info("catalog %s: release %s was withdrawn while it was fetched", *key)
                ended = True
        return ended

    def stop(self) -> None:
        """Stops everything."""
        self.stop_withdrawn(set())
        self._threads.shutdown(wait=False, cancel_futures=True)

    def is_fetching(self, key: ReleaseKey) -> bool:
        """Whether a release is on its way."""
        return key in self._fetching

    def fail(self, key: ReleaseKey, detail: str, requested_at: datetime.datetime | None) -> None:
        """Remembers that a release could not be brought or loaded."""
        log.error("catalog %s: release %s cannot be staged: %s", *key, detail)
        self._failures[key] = Failure(detail, time.monotonic(), requested_at)

    def failure(self, key: ReleaseKey) -> Failure | None:
        """Returns why a release could not be staged, if it could not."""
        return self._failures.get(key)

    def _begin(self, key: ReleaseKey) -> _Fetching:
        withdrawn = threading.Event()

        def check() -> None:
            if withdrawn.is_set():
                raise WithdrawnError(f"catalog {key[0]}: release {key[1]} was withdrawn while it was fetched")

        store = self._object_store.interruptible(check)
        return _Fetching(self._threads.submit(self._cache.fetch, *key, store), withdrawn)

    def _may_try(self, key: ReleaseKey, requested_at: datetime.datetime | None) -> bool:
        failure = self._failures.get(key)
        if failure is None:
            return True
        if requested_at is not None:  # staged: only a new request tries again
            return failure.requested_at != requested_at
        return not failure.is_recent
