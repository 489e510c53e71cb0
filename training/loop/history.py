"""The curves of a training: one row a step, in `history.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from vitrine.files.whole import replace_file

HISTORY_FILE = "history.json"


@dataclass(frozen=True)
class HistoryRow:
    """One step; parts of the loss that are off and validations that were not made are None.

    Attributes:
        step: how many steps were done, so from 1; 0 is the base model.
        epoch: the share of passes over the products that were done.
        loss: what was minimised; None at step 0.
        triplet, infonce, self_supervised: its parts before weighting.
        learning_rate: of the step.
        validation_recall_at_10: the mean over the validation's tasks.
        image_recall_at_10, text_recall_at_10, user_photo_recall_at_10: of each task.
    """

    step: int
    epoch: float
    loss: float | None = None
    triplet: float | None = None
    infonce: float | None = None
    self_supervised: float | None = None
    learning_rate: float | None = None
    validation_recall_at_10: float | None = None
    image_recall_at_10: float | None = None
    text_recall_at_10: float | None = None
    user_photo_recall_at_10: float | None = None


def best_validated(rows: Iterable[HistoryRow]) -> HistoryRow | None:
    """Returns the row of the weights that are kept; None when nothing was validated."""
    best: HistoryRow | None = None
    for row in rows:
        if row.validation_recall_at_10 is not None and (
            best is None or gains(row.validation_recall_at_10, over=best.validation_recall_at_10 or 0.0)
        ):
            best = row
    return best


def gains(recall: float, *, over: float) -> bool:
    """Says whether a validation is better than the best before it.

    Where everything was found already no step can be better: there the later one counts, as it does without a
    validation. Of a small split that is so from the base model on, and training would make nothing.
    """
    return recall > over or recall == over == 1.0


def write_history(rows: list[HistoryRow], path: Path) -> None:
    """Writes the rows as a JSON list, whole or not at all."""
    lines = [json.dumps({key: value for key, value in asdict(row).items() if value is not None}) for row in rows]
    replace_file(path, ("[\n" + ",\n".join(lines) + "\n]\n").encode(), durably=False)


def read_history(path: Path) -> list[HistoryRow]:
    """Reads what `write_history` wrote."""
    return [HistoryRow(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
