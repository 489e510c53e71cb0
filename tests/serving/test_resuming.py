"""What a replica finds on its disk: files that differ are broken, a system that cannot read just now is asked again."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from serving import resuming
from serving.resuming import Resuming
from tests.waiting import wait_for
from vitrine.errors import ReleaseError

KEY = ("shop", "release-1")


class Cache:
    """Answers each reading by what comes next."""

    def __init__(self, *readings: Exception | None) -> None:
        self.readings = list(readings)

    def check(self, *_: str, **__: Any) -> None:
        reading = self.readings.pop(0)
        if reading is not None:
            raise reading


def _broken(cache: Any) -> list[tuple[str, str]]:
    looking, broken = Resuming(cache, [KEY]), []
    wait_for(lambda: broken.extend(looking.broken()) or looking.is_done, what="the end of the reading")
    looking.stop()
    return broken


def _too_many_files() -> OSError:
    return OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    ("readings", "broken"),
    [
        ([None], []),
        ([_too_many_files(), _too_many_files(), None], []),
        ([OSError(errno.EIO, "Input/output error")] * 5, [KEY]),
        ([FileNotFoundError()], [KEY]),
        ([_too_many_files(), ReleaseError("differs")], [KEY]),
    ],
)
def test_only_what_differs_or_can_never_be_read_is_broken(
    readings: list[Exception | None], broken: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "_PAUSE_S", 0.0)
    cache = Cache(*readings)

    assert _broken(cache) == broken
    assert cache.readings == []
