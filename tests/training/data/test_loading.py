"""Batches as the towers get them: the same however many processes share them, and altered in training alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tiny_training import write_base_model, write_tiny_catalog
from training.data.batches import BatchSampler
from training.data.folder_samples import read_folder_samples
from training.data.image_bytes import FileReader
from training.data.loading import BatchLoader, LoadedBatch, tower_pixels
from training.data.prepared import PreparedPictures, larger, prepare_pictures
from training.data.samples import Sample
from training.loop.dual_tower import DualTower
from training.loop.validation import Validator
from training.options import TrainingOptions
from vitrine.encoder import load_encoder
from vitrine.encoder.checkpoint import load_checkpoint
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.images.preprocessing import Preprocessing
from vitrine.settings import Settings

OPTIONS = TrainingOptions(batch_size=12, self_supervised_weight=0.5, other_backdrops=0.5, precision="fp32")
PREPROCESSING = Preprocessing(image_size=32, resize_shorter_side=32)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "encoder"
    write_base_model(folder)
    return folder


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("catalog")
    write_tiny_catalog(folder)
    return list(read_folder_samples(folder, Settings()).samples)


@pytest.fixture(scope="module")
def tokenizer(encoder_folder: Path) -> TextTokenizer:
    return TextTokenizer(encoder_folder, context_length=16)


@pytest.fixture(scope="module")
def pictures(samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> PreparedPictures:
    return prepare_pictures(
        samples, preprocessing=larger(PREPROCESSING), cache=tmp_path_factory.mktemp("cache"), reader=FileReader()
    )


def load(
    samples: list[Sample],
    pictures: PreparedPictures,
    tokenizer: TextTokenizer,
    *,
    step: int = 0,
    processes: int = 1,
    rank: int = 0,
) -> LoadedBatch:
    options = OPTIONS.model_copy(update={"processes": processes})
    sampler = BatchSampler(samples, options=options)
    return BatchLoader(sampler, pictures=pictures, tokenizer=tokenizer, options=options, rank=rank).load(step)


def pixels_of(loaded: LoadedBatch, *, again: bool = False) -> torch.Tensor:
    alterations = loaded.second if again else loaded.first
    assert alterations is not None
    return tower_pixels(loaded.squares, alterations, preprocessing=PREPROCESSING, device=CPU)


def token_ids_of(loaded: LoadedBatch) -> torch.Tensor:
    assert loaded.token_ids is not None
    return loaded.token_ids


def test_the_parts_of_two_processes_join_to_the_whole_batch(
    samples: list[Sample], pictures: PreparedPictures, tokenizer: TextTokenizer
) -> None:
    whole = load(samples, pictures, tokenizer, step=3)

    parts = [load(samples, pictures, tokenizer, step=3, processes=2, rank=rank) for rank in range(2)]

    assert torch.equal(torch.cat([pixels_of(part) for part in parts]), pixels_of(whole))
    assert torch.equal(torch.cat([pixels_of(part, again=True) for part in parts]), pixels_of(whole, again=True))
    assert torch.equal(torch.cat([token_ids_of(part) for part in parts]), token_ids_of(whole))
    assert all(part.captions == whole.captions for part in parts)


def test_a_step_is_altered_the_same_way_again_and_another_step_is_not(
    samples: list[Sample], pictures: PreparedPictures, tokenizer: TextTokenizer
) -> None:
    first, same, other = (load(samples, pictures, tokenizer, step=step) for step in (1, 1, 2))

    assert torch.equal(pixels_of(first), pixels_of(same))
    assert not torch.equal(first.first.angle, other.first.angle)


def test_the_two_views_of_the_self_supervised_loss_are_altered_differently(
    samples: list[Sample], pictures: PreparedPictures, tokenizer: TextTokenizer
) -> None:
    loaded = load(samples, pictures, tokenizer)

    assert not torch.equal(pixels_of(loaded), pixels_of(loaded, again=True))


def test_a_stream_that_starts_in_the_middle_has_the_same_steps(
    samples: list[Sample], pictures: PreparedPictures, tokenizer: TextTokenizer
) -> None:
    loader = BatchLoader(
        BatchSampler(samples, options=OPTIONS), pictures=pictures, tokenizer=tokenizer, options=OPTIONS
    )

    whole, rest = list(loader.stream(0, 5)), list(loader.stream(3, 5))

    assert [loaded.batch.step for loaded in rest] == [3, 4]
    for expected, found in zip(whole[3:], rest, strict=True):
        assert torch.equal(pixels_of(found), pixels_of(expected))


def test_a_validation_alters_nothing_it_embeds_as_the_encoder_does(
    samples: list[Sample], tokenizer: TextTokenizer, encoder_folder: Path, tmp_path: Path
) -> None:
    exact = prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=FileReader())
    validator = Validator(
        samples, pictures=exact, preprocessing=PREPROCESSING, tokenizer=tokenizer, options=OPTIONS, device=CPU
    )
    tower = DualTower(load_checkpoint(encoder_folder), options=OPTIONS).eval()

    with torch.inference_mode():
        found = validator._embed_images(tower)

    ordered = sorted(samples, key=lambda sample: (sample.image_sha256, sample.item_id))
    contents = [sample.path.read_bytes() for sample in ordered if sample.path is not None]
    expected = load_encoder(encoder_folder, engine="torch", precision="fp32").encode_images(contents).embeddings
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_validation_gives_the_same_result_twice_and_leaves_the_tower_in_training(
    samples: list[Sample], tokenizer: TextTokenizer, encoder_folder: Path, tmp_path: Path
) -> None:
    exact = prepare_pictures(samples, preprocessing=PREPROCESSING, cache=tmp_path, reader=FileReader())
    validator = Validator(
        samples, pictures=exact, preprocessing=PREPROCESSING, tokenizer=tokenizer, options=OPTIONS, device=CPU
    )
    tower = DualTower(load_checkpoint(encoder_folder), options=OPTIONS).train()

    first, again = validator.validate(tower), validator.validate(tower)

    assert first == again
    assert tower.training
    assert first.mean == pytest.approx(np.mean([first.image, first.text, first.user_photo]))
