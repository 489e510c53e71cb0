"""Image bytes on this machine's disk, from the step that judges them to the one that packs them.

A request to the object store costs more than decoding a picture, so what was fetched once is not fetched again. The
spool promises nothing: what it does not hold, or no longer holds as it was, is fetched.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from vitrine.identity import sha256_hex

log = logging.getLogger(__name__)

MAX_BYTES = 2_000_000_000
"""Of one profile: of a larger delivery the rest is fetched twice."""
_SHARE_OF_FREE = 4  # the disk is the platform's as well


@dataclass(frozen=True)
class Spool:
    """A folder that the processes of a profile share, and how many bytes each of them may put there."""

    folder: Path
    max_bytes: int

    @classmethod
    def within(cls, folder: Path, *, processes: int) -> Spool:
        """Returns a spool that takes at most a quarter of what is free."""
        room = min(MAX_BYTES, shutil.disk_usage(folder).free // _SHARE_OF_FREE)
        return cls(folder, room // processes)


class ImageSpool:
    """Holds images by their SHA-256; thread-safe."""

    def __init__(self, spool: Spool) -> None:
        self._folder = spool.folder
        self._left = spool.max_bytes
        self._lock = threading.Lock()

    def keep(self, image_sha256: str, data: bytes) -> None:
        """Keeps an image while there is room."""
        with self._lock:
            if self._left < len(data):
                return
            self._left -= len(data)
        try:
            (self._folder / image_sha256).write_bytes(data)
        except OSError as error:  # a full disk, as a rule
            log.warning("images are fetched again to be packed, since %s takes no more: %s", self._folder, error)
            with self._lock:
                self._left = 0

    def take(self, image_sha256: str) -> bytes | None:
        """Returns an image and lets go of it; None where it is not held whole."""
        path = self._folder / image_sha256
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            path.unlink()
        return data if sha256_hex(data) == image_sha256 else None


@functools.lru_cache(maxsize=2)
def process_spool(spool: Spool) -> ImageSpool:
    """Returns this process's side of a spool."""
    return ImageSpool(spool)
