"""Training a tiny CLIP on drawn pictures: the same curve after a kill, with a seed, and with two processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.process_work import fail_in_the_second, gradients, save_gradients
from tests.training.tiny_training import write_base_model, write_tiny_catalog
from training.data.samples import TrainingData
from training.loop.distributed import launch
from training.loop.history import HistoryRow
from training.loop.run import run_training
from training.loop.trainer import Place
from training.loop.worker import FolderSource, TrainingWork, train_in_process
from training.options import TrainingOptions
from vitrine.encoder import load_encoder
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.errors import ContractError
from vitrine.settings import Settings

OPTIONS = TrainingOptions(
    epochs=2,
    batch_size=12,
    views=2,
    hard_negatives=1,
    precision="fp32",
    threads=1,
    loader_threads=1,
    learning_rate=1e-3,
)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    write_tiny_catalog(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "encoder"
    write_base_model(folder)
    return folder


def train(catalog: Path, base: Path, into: Path, *, cache: Path | None = None, **changes: Any) -> Any:
    return run_training(
        FolderSource(catalog, Settings()),
        into=into,
        options=given(OPTIONS, **changes),
        base=str(base),
        cache=cache or into.parent / "cache",
    )


def curve(path: Path) -> list[Any]:
    return json.loads(path.read_text())


class TrainOnly(FolderSource):
    """A folder of which nothing is held out: the last step counts."""

    def read(self) -> TrainingData:
        data = super().read()
        return replace(data, samples=tuple(data.of_split("train")))


class HalfHeld(FolderSource):
    """A folder of which every other product validates: eighteen pictures, of which ten come back."""

    def read(self) -> TrainingData:
        data = super().read()
        held = {sample.parent_id for sample in data.samples if int(sample.parent_id[1:]) % 2}
        sides = (replace(s, split="validation" if s.parent_id in held else "train") for s in data.samples)
        return replace(data, samples=tuple(sides))


def work_for(
    catalog: Path, base: Path, folder: Path, source: type[FolderSource] = FolderSource, **changes: Any
) -> TrainingWork:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "base").exists():
        (folder / "base").symlink_to(base)
    return TrainingWork(source(catalog, Settings()), given(OPTIONS, **changes), "t", folder, folder / "cache")


def given(options: TrainingOptions, **changes: Any) -> TrainingOptions:
    return TrainingOptions.model_validate({**options.model_dump(exclude_unset=True), **changes})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


ALL_LOSSES = {"self_supervised_weight": 0.5, "projection_head": True}
ALONE = Place(rank=0, device=torch.device("cpu"))


def test_two_processes_have_the_gradients_of_one_under_the_whole_loss(
    catalog: Path, base: Path, tmp_path: Path
) -> None:
    one = gradients(work_for(catalog, base, tmp_path / "one", **ALL_LOSSES), ALONE)
    two = work_for(catalog, base, tmp_path / "two", processes=2, **ALL_LOSSES)

    launch(save_gradients, two, options=two.options, words=tmp_path / "words")

    found = torch.load(tmp_path / "two" / "gradients.pt", weights_only=True)
    assert found.keys() == one.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(found[name], gradient, atol=2e-5, rtol=1e-3, msg=name)


def test_a_failed_process_is_heard_in_its_own_words(tmp_path: Path) -> None:
    options = TrainingOptions(batch_size=12, processes=2, threads=1)

    with pytest.raises(ContractError, match="process 1: item i07 has no picture that can be read"):
        launch(fail_in_the_second, options=options, words=tmp_path / "words")


def test_a_seed_gives_the_same_encoder_twice(catalog: Path, base: Path, tmp_path: Path) -> None:
    first = train(catalog, base, tmp_path / "first", self_supervised_weight=0.5, other_backdrops=0.5)
    again = train(catalog, base, tmp_path / "again", self_supervised_weight=0.5, other_backdrops=0.5)

    assert curve(first.history) == curve(again.history)
    assert first.record == again.record
    assert first.record.fingerprint == load_encoder(first.folder, engine="torch").fingerprint


def test_a_killed_training_goes_on_with_the_same_curve(catalog: Path, base: Path, tmp_path: Path) -> None:
    whole = train(catalog, base, tmp_path / "whole", epochs=3)
    work = work_for(catalog, base, tmp_path / "killed", epochs=3, checkpoint_every=2)

    def kill(row: HistoryRow) -> None:
        if row.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_in_process(work, ALONE, on_step=kill)
    resumed = train_in_process(work, ALONE)

    assert [row.loss for row in resumed.history] == [row.get("loss") for row in curve(whole.history)]
    assert load_encoder(work.folder / "encoder", engine="torch").fingerprint == whole.record.fingerprint


def test_half_of_the_base_is_kept_of_weights_that_are_trained_as_ever(
    catalog: Path, base: Path, tmp_path: Path
) -> None:
    trained = train_in_process(work_for(catalog, base, tmp_path / "trained", TrainOnly, base_share=0.0), ALONE)
    mixed = train_in_process(work_for(catalog, base, tmp_path / "mixed", TrainOnly, base_share=0.5), ALONE)

    assert [row.loss for row in mixed.history] == [row.loss for row in trained.history]
    first, last, between = (weights(tmp_path / run) for run in ("mixed/base", "trained/encoder", "mixed/encoder"))
    for name, weight in between.items():
        torch.testing.assert_close(weight, (first[name] + last[name]) / 2, msg=name)
    assert any(not torch.equal(first[name], last[name]) for name in first)


def test_from_scratch_nothing_is_kept_unless_it_is_asked_for(catalog: Path, base: Path, tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"max_steps": 1})
    source, scratch = FolderSource(catalog, Settings()), f"scratch:{base}"

    trained = run_training(source, into=tmp_path / "run", options=options, base=scratch)
    asked = run_training(source, into=tmp_path / "asked", options=given(options, base_share=0.25), base=scratch)

    assert trained.record.options.base_share == 0.0
    assert asked.record.options.base_share == 0.25


def test_a_training_that_is_done_returns_at_once(catalog: Path, base: Path, tmp_path: Path) -> None:
    first = train(catalog, base, tmp_path / "run", max_steps=1)

    assert train(catalog, base, tmp_path / "run", max_steps=1) == first
    with pytest.raises(ContractError, match="other data, options or base model"):
        train(catalog, base, tmp_path / "run", max_steps=1, seed=5)


def test_gradient_checkpointing_changes_no_gradient(catalog: Path, base: Path, tmp_path: Path) -> None:
    plain = gradients(work_for(catalog, base, tmp_path / "plain"), ALONE)

    found = gradients(work_for(catalog, base, tmp_path / "other", gradient_checkpointing=True), ALONE)

    assert found.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("objective", "on", "off"), [("triplet", "triplet", "infonce"), ("infonce", "infonce", "triplet")]
)
def test_either_loss_can_be_switched_off(
    catalog: Path, base: Path, tmp_path: Path, objective: str, on: str, off: str
) -> None:
    trained = train(catalog, base, tmp_path / "run", objective=objective, max_steps=2)

    last = curve(trained.history)[-1]
    assert on in last
    assert off not in last


def test_bf16_trains(catalog: Path, base: Path, tmp_path: Path) -> None:
    trained = train(catalog, base, tmp_path / "run", precision="bf16", max_steps=2)

    assert np.isfinite(curve(trained.history)[-1]["loss"])


def test_a_training_that_gains_nothing_stops_and_keeps_the_base(catalog: Path, base: Path, tmp_path: Path) -> None:
    work = work_for(
        *(catalog, base, tmp_path / "run", HalfHeld),
        **{"learning_rate": 1e-30, "validate_every": 1, "early_stopping_patience": 2, "epochs": 5},
    )

    progress = train_in_process(work, ALONE)

    assert progress.best_recall < 1
    assert progress.step == 2
    assert progress.best_step == 0
    assert encoder_fingerprint(work.folder / "encoder") == encoder_fingerprint(base)


def test_a_validation_that_the_base_finds_whole_keeps_the_last_step(catalog: Path, base: Path, tmp_path: Path) -> None:
    trained = train(catalog, base, tmp_path / "run", validate_every=1, early_stopping_patience=1)

    assert trained.record.base_recall_at_10 == trained.record.best_recall_at_10 == 1.0
    assert trained.record.best_step == trained.record.steps > 1
    assert trained.record.fingerprint != trained.record.base_fingerprint
