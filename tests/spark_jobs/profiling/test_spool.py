"""The spool of fetched images: it gives back what it was given, or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spark_jobs.profiling.spool import ImageSpool, Spool
from vitrine.identity import sha256_hex

IMAGE = b"\xff\xd8 a picture"
NAME = sha256_hex(IMAGE)


@pytest.fixture
def spool(tmp_path: Path) -> ImageSpool:
    """A spool of a thousand bytes."""
    return ImageSpool(Spool(tmp_path, 1_000))


def test_an_image_is_taken_once(spool: ImageSpool, tmp_path: Path) -> None:
    spool.keep(NAME, IMAGE)

    assert spool.take(NAME) == IMAGE
    assert spool.take(NAME) is None
    assert list(tmp_path.iterdir()) == []


def test_what_lies_there_in_part_or_changed_is_not_given_back(spool: ImageSpool, tmp_path: Path) -> None:
    for content in (IMAGE[:-1], b"", IMAGE + b"!"):
        (tmp_path / NAME).write_bytes(content)

        assert spool.take(NAME) is None


def test_beyond_its_room_nothing_is_kept(tmp_path: Path) -> None:
    spool = ImageSpool(Spool(tmp_path, len(IMAGE)))

    spool.keep(NAME, IMAGE)
    spool.keep("another", IMAGE)

    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_folder_that_takes_nothing_costs_no_image(tmp_path: Path) -> None:
    spool = ImageSpool(Spool(tmp_path / "gone", 1_000))

    spool.keep(NAME, IMAGE)

    assert spool.take(NAME) is None


def test_a_spool_leaves_most_of_the_disk_to_others(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free

    assert Spool.within(tmp_path, processes=4).max_bytes <= min(free // 4, 2_000_000_000) // 4 + 1
