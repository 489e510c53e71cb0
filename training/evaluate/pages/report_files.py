"""The report as files: Markdown and pictures first, `report.json` last, so that a report that has it is whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from training.evaluate.measurement import Measurement
from training.evaluate.pages.grids import draw_grid
from training.evaluate.pages.plots import plot_slices, plot_training
from training.evaluate.pages.rendering import to_markdown
from training.evaluate.report import EvaluationReport
from vitrine.errors import ContractError
from vitrine.files.whole import whole_file

REPORT_FILE, MARKDOWN_FILE = "report.json", "report.md"
_OURS = re.compile(r"report\.(json|md)|(grid|slices)-[a-z_]+\.png|training\.png")


def write_report(
    measurement: Measurement, into: Path, *, before: Sequence[str] = (), history: Path | None = None
) -> Path:
    """Writes a report; one that lies there already is replaced.

    Args:
        measurement: the report and its answers.
        into: a new or empty folder, or one with a report.
        before: names of retrievers to draw above the encoder in grids; the first that answered a task is.
        history: of the encoder's training, for its curves.

    Returns:
        `report.json`.

    Raises:
        ContractError: the folder holds other things, or the history cannot be read.
    """
    _empty(into)
    report = measurement.report
    pictures: list[str] = []
    if history is not None:
        pictures.append(plot_training(history, into / "training.png").name)
    for task in measurement.tasks:
        answers = measurement.answers[task.name]
        own = answers.get(report.encoder)
        if own is None:
            continue
        named = report.task(task.name)
        slices = plot_slices(report, named, into / f"slices-{task.name}.png") if named is not None else None
        other = next((answers[name] for name in before if name in answers), None)
        grid = draw_grid(task, own, into / f"grid-{task.name}.png", other=other)
        pictures += [path.name for path in (slices, grid) if path is not None]
    (into / MARKDOWN_FILE).write_text(to_markdown(report, pictures=pictures), encoding="utf-8")
    target = into / REPORT_FILE
    with whole_file(target) as partial:
        partial.write_bytes(report.to_bytes())
    return target


def read_report(folder: Path) -> EvaluationReport:
    """Reads a report that was written whole.

    Raises:
        ContractError: there is none.
    """
    path = folder / REPORT_FILE
    if not path.is_file():
        raise ContractError(f"{folder}: expected {REPORT_FILE}, found none; run: python -m training evaluate")
    return EvaluationReport.from_bytes(path.read_bytes())


def _empty(into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    found = [path.name for path in into.iterdir()]
    # What a killed evaluation was writing is ours, too.
    foreign = [name for name in found if not _OURS.fullmatch(name.removeprefix(".").removesuffix(".partial"))]
    if foreign:
        raise ContractError(f"{into}: expected an empty folder or a report, found {min(foreign)}; name another folder")
    (into / REPORT_FILE).unlink(missing_ok=True)  # first: what follows is not whole
    for path in into.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
