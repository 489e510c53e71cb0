"""Trainings by id: what was asked for, what came of it, and how the encoder stood in its evaluation.

`<c>/trainings/<training_id>/` holds `plan.json` first and `training.json` last; `<c>/evaluations/<id>/` holds the files
of a report and `evaluation.json` last. The encoder itself is published under its fingerprint, like every encoder.
"""

from __future__ import annotations

from typing import Any

from vitrine.contracts.document import Document, StoredFile
from vitrine.identity import content_id


class TrainingPlan(Document):
    """All inputs of a training, resolved once; `plan.json`. Equal inputs are equal plans, and so one training.

    Attributes:
        base: what was asked for, e.g. `champion`, which may name another encoder tomorrow.
        base_fingerprint: of the published encoder that the training starts from.
        options: of `training.options.TrainingOptions`: all that may change the result.
    """

    catalog_id: str
    training_set_id: str
    base: str
    base_fingerprint: str
    options: dict[str, Any]

    @property
    def training_id(self) -> str:
        """The id of what comes of it; how the base was named does not count."""
        return content_id("training-run", [self.training_set_id, self.base_fingerprint, self.options])


class Training(Document):
    """A training that is done; `training.json`, written last.

    Attributes:
        fingerprint: of the encoder, published; the base's where no step was better.
        steps: that were done; `best_step` is the one whose weights were kept.
        base_recall_at_10, best_recall_at_10: of the validation split; None without one.
        history: of each step, as JSON.
    """

    training_id: str
    catalog_id: str
    training_set_id: str
    base: str
    base_fingerprint: str
    fingerprint: str
    options: dict[str, Any]
    samples_by_split: dict[str, int]
    steps: int
    best_step: int | None
    base_recall_at_10: float | None
    best_recall_at_10: float | None
    history: StoredFile


class Evaluation(Document):
    """The report of a training's encoder on its held-out split, and the verdict; `evaluation.json`, written last.

    Attributes:
        champion_fingerprint: of the encoder that was the champion then.
        report_id: of the report, whose files lie beside this document.
        metrics: the encoder's means by `<task>.<metric>`.
        champion_metrics: the champion's.
        is_challenger: whether it beat the champion with confidence, and nothing fell too far.
        reasons: of the verdict, in sentences.
    """

    evaluation_id: str
    catalog_id: str
    training_id: str
    fingerprint: str
    champion_fingerprint: str
    base_fingerprint: str
    report_id: str
    metrics: dict[str, float]
    champion_metrics: dict[str, float]
    is_challenger: bool
    reasons: tuple[str, ...]
    files: tuple[StoredFile, ...]
