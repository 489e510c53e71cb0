"""Files that are there whole or not at all, whoever is killed while they are written."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, data: bytes, *, private: bool = False, durably: bool = True) -> None:
    """Writes a file beside its place and moves it there.

    Args:
        path: its place.
        data: all that it holds.
        private: only its owner can read it.
        durably: also when the power fails, it is the old one or the new one.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
    with os.fdopen(handle, "wb") as file:
        if private:
            os.fchmod(handle, 0o600)
        file.write(data)
        if durably:  # a rename may reach the disk before what was written does
            file.flush()
            os.fsync(handle)
    scratch.replace(path)
