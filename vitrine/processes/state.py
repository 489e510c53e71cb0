"""What belongs to a whole process, changed for the length of a block and given back.

A library that sets such a thing for good sets it for everything else that its process does. Entry points may; all other
code comes here (`tests/vitrine/processes/test_state.py`).
"""

from __future__ import annotations

import csv
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """Lets faiss use so many threads."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Lets torch use so many threads within an operation; None leaves it as it is."""
    import torch

    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads is not None:
            torch.set_num_threads(before)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Sets environment variables: for libraries that are told in no other way, and for what is started in the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def environment_defaults(**variables: str) -> Iterator[None]:
    """Sets those environment variables that are not set."""
    with environment(**{name: value for name, value in variables.items() if name not in os.environ}):
        yield


@contextmanager
def csv_field_limit(characters: int) -> Iterator[None]:
    """Lets the `csv` module read fields of so many characters."""
    before = csv.field_size_limit(characters)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Has libraries that take no folder make their temporary files in this one, of `vitrine.files.scratch`."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def logger_level(name: str, level: int) -> Iterator[None]:
    """Has a logger, and those below it that have no level of their own, drop what is less than `level`."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def modules_left_out(*names: str) -> Iterator[None]:
    """Makes modules that are not imported yet look as if they were not installed, to a library that can do without."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: importing it raises ModuleNotFoundError
    try:
        yield
    finally:
        for name in absent:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Looks for no garbage in cycles, where very many objects are made that all stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def present_objects_frozen() -> Iterator[None]:
    """Has the garbage collector look only at what is made within the block: large libraries are a million objects."""
    frozen_before = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen_before:
            gc.unfreeze()
