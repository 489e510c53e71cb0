"""What a training may start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.tiny_training import write_base_model
from training.base_models import bring_base_model
from vitrine.encoder import load_encoder, publish_encoder
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.errors import ContractError, EncoderError, SettingsError
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "encoder"
    write_base_model(folder)
    return folder


def test_a_folder_is_taken_as_it_is(tiny: Path, tmp_path: Path) -> None:
    found = bring_base_model(str(tiny), tmp_path / "base")

    assert encoder_fingerprint(found) == encoder_fingerprint(tiny)


def test_a_published_encoder_is_fetched_by_its_fingerprint(
    tiny: Path, tmp_path: Path, settings: Settings, object_store: ObjectStore
) -> None:
    fingerprint = publish_encoder(tiny, object_store)

    found = bring_base_model(fingerprint, tmp_path / "base", settings=settings)

    assert encoder_fingerprint(found) == fingerprint


def test_scratch_has_the_architecture_and_the_tokenizer_and_weights_of_its_own(tiny: Path, tmp_path: Path) -> None:
    first, again, other = (
        bring_base_model(f"scratch:{tiny}", tmp_path / name, seed=seed)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )

    prints = [encoder_fingerprint(folder) for folder in (first, again, other, tiny)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    assert load_encoder(first, engine="torch").encode_texts(["red shoe"]).embeddings.shape == (1, 16)


def test_what_a_killed_training_began_is_brought_again(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / ".base.partial").mkdir()
    (tmp_path / ".base.partial" / "model.safetensors").write_bytes(b"half")

    found = bring_base_model(str(tiny), tmp_path / "base")

    assert encoder_fingerprint(found) == encoder_fingerprint(tiny)
    assert not (tmp_path / ".base.partial").exists()


def test_what_is_there_already_is_taken_also_by_its_fingerprint(tiny: Path, tmp_path: Path) -> None:
    bring_base_model(str(tiny), tmp_path / "base")
    (tmp_path / "base" / "mark").touch()

    for asked in (str(tiny), encoder_fingerprint(tiny)):
        found = bring_base_model(asked, tmp_path / "base", settings=Settings(state_dir=tmp_path / "state"))

        assert encoder_fingerprint(found) == encoder_fingerprint(tiny)
        assert (found / "mark").exists()


@pytest.mark.parametrize("asked", ["bootstrap", "0123456789abcdef0123", "{other}"])
def test_a_folder_that_holds_another_base_model_is_refused(asked: str, tiny: Path, tmp_path: Path) -> None:
    bring_base_model(str(tiny), tmp_path / "base")
    other = bring_base_model(f"scratch:{tiny}", tmp_path / "other", seed=9)
    asked = asked.format(tiny=tiny, other=other)

    with pytest.raises(ContractError, match=r"base holds another base model than .*; train into another folder"):
        bring_base_model(asked, tmp_path / "base", settings=Settings(state_dir=tmp_path / "state"))

    assert encoder_fingerprint(tmp_path / "base") == encoder_fingerprint(tiny)


def test_random_weights_of_another_seed_are_another_base_model(tiny: Path, tmp_path: Path) -> None:
    bring_base_model(f"scratch:{tiny}", tmp_path / "base", seed=1)

    again = bring_base_model(f"scratch:{tiny}", tmp_path / "base", seed=1)
    with pytest.raises(ContractError, match="holds another base model"):
        bring_base_model(f"scratch:{tiny}", tmp_path / "base", seed=2)

    assert again == tmp_path / "base"


@pytest.mark.parametrize("base", ["champion", "0123456789abcdef0123"])
def test_what_lies_in_the_platform_needs_its_settings(base: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is in the platform: expected its settings"):
        bring_base_model(base, tmp_path / "base")

    assert not (tmp_path / "base").exists()


def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(EncoderError):
        bring_base_model(str(tmp_path / "empty"), tmp_path / "base")

    assert not (tmp_path / "base").exists()
