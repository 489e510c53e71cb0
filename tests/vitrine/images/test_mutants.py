"""A tenth of `python -m benchmarks.attacks.pictures`: of whatever bytes come a picture or an ImageError."""

from __future__ import annotations

from benchmarks.attacks.pictures import attack_apart


def test_mutants_of_picture_files_are_pictures_or_image_errors() -> None:
    tally = attack_apart(30_000, first=1_000_000)

    assert tally.faults == []
    assert tally.outcomes.total() == 30_000
    assert tally.outcomes["pictures"] > 3_000
