"""What dies in one place is started again, later and later when it dies at its start, and no more in a crash loop."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, cast

from serving.pulse import HangWatch
from serving.worker_place import LIMITS, WorkerPlace
from vitrine.processes.table import ProcessIdentity


def _live(place: WorkerPlace, path: Path, *, began: float, gives_pulse: bool = True, status: int = 1) -> None:
    """Somebody stands in the place, and has been looked at."""
    place.identity, place.began, place.watch = ProcessIdentity(999_999, "nobody"), began, HangWatch(path)
    place.child = cast(Any, types.SimpleNamespace(returncode=status))
    path.unlink(missing_ok=True)
    if gives_pulse:
        path.touch()
    place.watch.look(place.identity)


def _pauses(path: Path, *, lived_s: float, deaths: int, gives_pulse: bool = True) -> tuple[WorkerPlace, list[float]]:
    place, now, pauses = WorkerPlace(HangWatch(path)), 0.0, []
    for _ in range(deaths):
        _live(place, path, began=now, gives_pulse=gives_pulse)
        now += lived_s
        pauses.append(place.count_death("ended with status 1", now=now))
        now += pauses[-1]
    return place, pauses


def test_the_fourth_worker_killed_by_hand_within_a_minute_is_back_within_seconds(tmp_path: Path) -> None:
    place, pauses = _pauses(tmp_path / "0.pulse", lived_s=11.0, deaths=4)

    assert max(pauses) <= 2.0
    assert not place.gave_up


def test_workers_that_live_for_eleven_seconds_wait_longer_each_time_and_are_given_up(tmp_path: Path) -> None:
    place, pauses = _pauses(tmp_path / "0.pulse", lived_s=11.0, deaths=LIMITS.short_lives)

    assert pauses == sorted(pauses)
    assert pauses[-1] == LIMITS.longest_pause_s
    assert place.gave_up == "it ended 10 times in a row within 60 s of its start, last it ended with status 1"


def test_workers_that_never_answer_are_given_up_however_long_they_load(tmp_path: Path) -> None:
    place, _ = _pauses(tmp_path / "0.pulse", lived_s=300.0, deaths=LIMITS.short_lives, gives_pulse=False)

    assert "10 times in a row" in place.gave_up


def test_a_worker_that_answered_for_a_minute_is_started_again_at_once_but_not_twenty_times_an_hour(
    tmp_path: Path,
) -> None:
    place, pauses = _pauses(tmp_path / "0.pulse", lived_s=61.0, deaths=LIMITS.deaths_an_hour)

    assert set(pauses) == {0.0}
    assert "20 times within an hour" in place.gave_up


def test_the_end_of_a_worker_is_told_by_its_signal_or_by_its_status_and_its_last_words(tmp_path: Path) -> None:
    place = WorkerPlace(HangWatch(tmp_path / "0.pulse"))

    _live(place, tmp_path / "0.pulse", began=0.0, status=-11)
    by_signal = place.end_of_life(last_words="", now=3.0)
    _live(place, tmp_path / "0.pulse", began=0.0, status=1)
    by_error = place.end_of_life(last_words="MemoryError: no room", now=3.0)

    assert by_signal == "ended by SIGSEGV after 3 s"
    assert by_error == "ended with status 1 after 3 s (MemoryError: no room)"
