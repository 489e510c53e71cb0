"""Prepared pictures: decoded once, by the images' content, and finished after a kill."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data import prepared
from training.data.image_bytes import FileReader
from training.data.prepared import larger, prepare_pictures
from training.data.samples import Sample
from vitrine.errors import ContractError, ObjectCorruptError
from vitrine.identity import sha256_hex
from vitrine.images.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(image_size=16, resize_shorter_side=16)


class CountingReader(FileReader):
    """Counts what it reads, and is killed after some of it."""

    def __init__(self, *, killed_after: int | None = None) -> None:
        self.read_ids: list[str] = []
        self._killed_after = killed_after

    def read(self, samples: Sequence[Sample]) -> Iterator[bytes]:
        for sample, data in zip(samples, super().read(samples), strict=True):
            if len(self.read_ids) == self._killed_after:
                raise KeyboardInterrupt
            self.read_ids.append(sample.item_id)
            yield data


def write_samples(folder: Path, contents: list[bytes]) -> list[Sample]:
    samples = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.png"
        path.write_bytes(content)
        sha256 = sha256_hex(content)
        samples.append(Sample(f"i{number}", sha256, f"p{number}", "train", sha256, path=path))
    return samples


def picture(seed: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_a_square_is_what_the_encoder_would_see(tmp_path: Path) -> None:
    contents = [picture(seed) for seed in range(3)]
    samples = write_samples(tmp_path, contents)

    found = prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=FileReader())

    expected = [PREPROCESSING.square(PREPROCESSING.decode(content)) for content in contents]
    assert np.array_equal(found.of(samples), np.stack(expected))


def test_a_killed_preparation_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_CHUNK", 2)
    samples = write_samples(tmp_path, [picture(seed) for seed in range(7)])
    killed, resumed, third = CountingReader(killed_after=5), CountingReader(), CountingReader()

    with pytest.raises(KeyboardInterrupt):
        prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path / "a", reader=killed)
    found = prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path / "a", reader=resumed)
    prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path / "a", reader=third)

    whole = prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path / "b", reader=FileReader())
    assert len(resumed.read_ids) == 3  # two chunks of two were marked
    assert third.read_ids == []
    assert np.array_equal(found.of(samples), whole.of(samples))


def test_one_image_of_two_items_is_prepared_once(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [picture(0), picture(0), picture(1)])
    reader = CountingReader()

    found = prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=reader)

    assert len(reader.read_ids) == 2
    assert np.array_equal(found.of(samples[:1]), found.of(samples[1:2]))


def test_what_cannot_be_decoded_is_left_out_and_not_tried_again(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [picture(0), b"no picture"])
    again = CountingReader()

    prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=FileReader())
    found = prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=again)

    assert found.broken == 1
    assert found.usable(samples) == samples[:1]
    assert again.read_ids == []


def test_pictures_none_of_which_can_be_decoded_are_refused(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [b"no picture"])

    with pytest.raises(ContractError, match="none of them can be decoded"):
        prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=FileReader())


def test_an_image_that_was_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [picture(0)])
    (tmp_path / "0.png").write_bytes(picture(1))

    with pytest.raises(ObjectCorruptError, match="image of i0: expected sha256"):
        prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=FileReader())


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [picture(0)])
    (tmp_path / "0.png").unlink()

    with pytest.raises(ContractError, match=r"0\.png: the image of i0 cannot be read"):
        prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=FileReader())


def test_another_preparation_is_kept_apart(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [picture(0)])
    prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=FileReader())
    other = replace(PREPROCESSING, image_size=12, resize_shorter_side=12)

    found = prepare_pictures(samples, preprocessing=other, cache=tmp_path, reader=FileReader())

    assert found.of(samples).shape == (1, 12, 12, 3)


def test_a_larger_square_leaves_room_to_cut_from() -> None:
    found = larger(Preprocessing(image_size=224, resize_shorter_side=224))

    assert (found.image_size, found.resize_shorter_side) == (260, 260)
