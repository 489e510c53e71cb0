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


class Resuming:
    """Compares the files of releases with their recorded SHA-256."""

    def __init__(self, cache: ReleaseCache, releases: Iterable[ReleaseKey]) -> None:
        self._cache = cache
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="resume")
        self._checking: dict[ReleaseKey, Future[CachedRelease]] = {
            key: self._threads.submit(cache.check, *key, check=self._go_on) for key in releases
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

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise WithdrawnError("the replica ends")
