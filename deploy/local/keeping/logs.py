"""Bounds the size of the services' logs while they run; the keeper does it again and again.

The services append to their logs for as long as they live. A log above the limit is copied beside, to `.log.1`, and
emptied in place: its service goes on appending to the same file.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vitrine.files.whole import whole_file


def keep(folder: Path, *, limit_bytes: int) -> list[Path]:
    """Cuts every log of a folder that is above the limit; returns those that were cut.

    What is written between the copy and the cut is lost, which is milliseconds of a log of megabytes.
    """
    cut = []
    for log in sorted(folder.glob("*.log")):
        if log.stat().st_size > limit_bytes:
            with (
                whole_file(log.with_suffix(".log.1")) as partial,
                log.open("rb") as source,
                os.fdopen(_create(partial), "wb") as kept,
            ):
                source.seek(-limit_bytes, os.SEEK_END)  # however fast it grew, two limits are the most that is kept
                shutil.copyfileobj(source, kept)
            os.truncate(log, 0)
            cut.append(log)
    return cut


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
