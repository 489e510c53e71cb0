"""`python -m training evaluate`, from folders to a report and its pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.training.evaluate.test_coco import captions_file
from training.__main__ import main
from training.evaluate.pages.plots import plot_training
from training.evaluate.pages.report_files import read_report
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.errors import ContractError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VITRINE_STATE_DIR", str(tmp_path / "state"))
    return lambda *arguments: main(["evaluate", *map(str, arguments)])


def test_a_report_is_printed_and_written_twice_the_same(
    run, demo_folder: Path, tiny_encoders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history.json"
    history.write_text(json.dumps([{"step": n, "loss": 1 / (n + 1), "triplet": 0.1} for n in range(5)]))
    into = tmp_path / "report"
    arguments = ["--encoder", tiny_encoders[0], "--against", tiny_encoders[1], "--catalog", demo_folder]
    arguments += ["--split", "all", "--into", into, "--history", history]

    assert run(*arguments) == 0
    said = capsys.readouterr().out
    first = {path.name: path.read_bytes() for path in into.iterdir()}
    assert run(*arguments) == 0

    assert "user_photo_to_studio" in said
    assert "tiny" in said and "TF-IDF" in said
    assert "category_of_neighbours is not asked" in said
    assert {path.name: path.read_bytes() for path in into.iterdir()} == first
    report = read_report(into)
    assert report.to_bytes() == first["report.json"]
    assert report.retrievers[0].fingerprint == encoder_fingerprint(tiny_encoders[0])
    assert [note.name for note in report.retrievers][2:] == ["colour + SIFT", "TF-IDF"]
    assert report.main_task.difference(report.retrievers[1].name) is not None
    assert report.flat_metrics()["image_to_image.recall_at_10"] > 0
    text = (into / "report.md").read_text()
    assert "### Exposure in the top 10 of image_to_image" in text
    for name in ("grid-image_to_image.png", "slices-image_to_image.png", "training.png"):
        assert f"({name})" in text
        assert min(Image.open(into / name).size) > 300


def test_a_caption_set_is_measured_in_both_directions(
    run, tiny_encoders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--encoder", tiny_encoders[0], "--coco", captions_file(tmp_path), "--images", tmp_path) == 0

    said = capsys.readouterr().out
    assert "text to image" in said and "image to text" in said
    assert "2 images are not there" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either --catalog"),
        (["--catalog", "x", "--coco", "y"], "give either --catalog"),
        (["--catalog", "."], "expected items.parquet"),
    ],
)
def test_what_cannot_be_measured_is_said(
    run, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run("--encoder", "bootstrap", *arguments) == 1
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_encoder_is_refused(run, demo_folder: Path, tmp_path: Path, capsys) -> None:
    assert run("--encoder", tmp_path, "--catalog", demo_folder) == 1
    assert "expected an encoder folder" in capsys.readouterr().err


def test_a_folder_that_holds_other_things_is_not_written_to(
    run, demo_folder: Path, tiny_encoders: tuple[Path, Path], tmp_path: Path, capsys
) -> None:
    (tmp_path / "thesis.docx").write_text("mine")

    status = run(
        *("--encoder", tiny_encoders[0], "--catalog", demo_folder, "--split", "all", "--no-baselines"),
        *("--into", tmp_path),
    )

    assert status == 1
    assert "expected an empty folder or a report" in capsys.readouterr().err
    assert (tmp_path / "thesis.docx").read_text() == "mine"


def test_a_history_without_figures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text('[{"step": 1}]')

    with pytest.raises(ContractError, match="no row has loss"):
        plot_training(tmp_path / "history.json", tmp_path / "training.png")
