"""`python -m training train`, from its options to an encoder folder."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.training.tiny_training import write_base_model, write_tiny_catalog
from training.__main__ import main
from training.options import TrainingOptions
from vitrine.encoder import load_encoder


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("command")
    (folder / "catalog").mkdir()
    write_tiny_catalog(folder / "catalog")
    write_base_model(folder / "base")
    sources = ["--catalog", str(folder / "catalog"), "--base", str(folder / "base"), "--cache", str(folder / "cache")]
    return ["train", *sources, "--batch-size", "12", "--threads", "1", "--precision", "fp32"]


def test_two_steps_make_an_encoder_that_the_platform_loads(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--max-steps", "2", "--projection-head", "--self-supervised-weight", "0.5", "--learning-rate", "0.001"]

    status = main([*command, "--into", str(tmp_path / "run"), *options])

    record = json.loads((tmp_path / "run" / "training.json").read_bytes())
    encoder = load_encoder(tmp_path / "run" / "encoder", engine="torch")
    assert status == 0
    assert record["steps"] == 2
    assert record["options"]["projection_head"] is True
    assert record["fingerprint"] == encoder.fingerprint
    assert f"fingerprint {encoder.fingerprint}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--batch-size", "13"], "batch_size is a multiple of"),
        (["--epochs", "0"], "epochs: "),
        (["--objective", "triplet", "--triplet-weight", "0"], "has no loss left"),
    ],
)
def test_what_cannot_be_trained_is_said_without_a_traceback(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    status = main([*command, "--into", str(tmp_path / "run"), *options])

    assert status == 1
    assert words in capsys.readouterr().err


def test_a_folder_is_read_by_the_limits_of_the_platform(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(command[command.index("--catalog") + 1]) / "items.jsonl"
    lines = path.read_text(encoding="utf-8").encode()
    (tmp_path / "items.jsonl.gz").write_bytes(gzip.compress(lines))
    monkeypatch.setenv("VITRINE_ITEMS_MAX_INFLATED_BYTES", str(len(lines) - 1))

    status = main(["train", *command[3:], "--catalog", str(tmp_path), "--into", str(tmp_path / "run")])

    assert status == 1
    assert "VITRINE_ITEMS_MAX_INFLATED_BYTES" in capsys.readouterr().err


def test_a_training_set_needs_its_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["train", "--training-set", "training-1", "--into", str(tmp_path / "run")])

    assert status == 1
    assert "--training-set needs --catalog-id" in capsys.readouterr().err


def test_every_option_of_a_training_is_an_option_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])

    shown = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in shown for name in TrainingOptions.model_fields)
