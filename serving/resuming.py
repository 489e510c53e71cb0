"""What a replica's earlier life left on this disk, looked through in threads: nothing else waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from serving.downloads import ReleaseKey, WithdrawnError
from serving.release_cache import CachedRelease, ReleaseCache
from vitrine.errors import VitrineError

log = logging.getLogger("vitrine.serving")

_READS = 5
_PAUSE_S = 2.0


class Resuming:
    """Compares the files of releases with their recorded SHA-256."""

    def __init__(self, cache: ReleaseCache, releases: Iterable[ReleaseKey]) -> None:
        self._cache = cache
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="resume")
        self._checking: dict[ReleaseKey, Future[CachedRelease]] = {
            key: self._threads.submit(self._check, cache, key) for key in releases
        }

    def broken(self) -> list[ReleaseKey]:
        """Returns, once, which releases were found to be broken since it was last asked."""
        broken = []
        for key, checking in [one for one in self._checking.items() if one[1].done()]:
            del self._checking[key]
            try:
                checking.result()
            except (VitrineError, OSError) as error:
                log.error("%s", error)
                broken.append(key)
        return broken

    def is_checking(self, catalog_id: str) -> bool:
        """Whether nobody knows yet what of a catalog is whole."""
        return any(key[0] == catalog_id for key in self._checking)

    @property
    def is_done(self) -> bool:
        """Whether everything was looked through."""
        return not self._checking

    def stop(self) -> None:
        """Gives up."""
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check(self, cache: ReleaseCache, key: ReleaseKey) -> CachedRelease:
        """Reads again what a system short of files or memory could not read: the release may be whole, and live."""
        for _ in range(_READS - 1):
            try:
                return cache.check(*key, check=self._go_on)
            except FileNotFoundError:
                raise
            except OSError as error:
                log.warning("%s of %s cannot be read, and is read again: %s", key[1], key[0], error)
                self._stopped.wait(_PAUSE_S)
        return cache.check(*key, check=self._go_on)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise WithdrawnError("the replica ends")
