"""Image bytes on this machine's disk, from the step that judges them to the one that packs them.

A request to the object store costs more than decoding a picture, so what was fetched once is not fetched again. The
spool promises nothing: what it does not hold, or no longer holds as it was, is fetched.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from pathlib import Path

from vitrine.identity import sha256_hex

log = logging.getLogger(__name__)

MAX_BYTES = 2_000_000_000
"""Of one process: of a larger delivery the rest is fetched twice."""


class ImageSpool:
    """Holds images by their SHA-256 in a folder that several processes share; thread-safe."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._left = max_bytes
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
        """Returns an image and lets go of it; None where it is not held."""
        path = self._folder / image_sha256
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            path.unlink()
        return data if sha256_hex(data) == image_sha256 else None


@functools.lru_cache(maxsize=2)
def process_spool(folder: Path) -> ImageSpool:
    """Returns this process's spool in a folder."""
    return ImageSpool(folder)
