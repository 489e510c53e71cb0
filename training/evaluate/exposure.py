"""Bias: whether colours and brands are shown as often as they are there."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from training.data.samples import Sample
from training.evaluate.report import Exposure
from training.evaluate.scoring import TaskAnswers
from training.evaluate.tasks.task import Task

_Column = Literal["color", "brand"]


def exposures(task: Task, answers: TaskAnswers) -> tuple[Exposure, ...]:
    """Returns each colour's and each brand's share of the top 10 against its share of the gallery.

    Items of which the column is not known count on neither side. A column with one value only is left out.
    """
    found: list[Exposure] = []
    columns: tuple[_Column, ...] = ("color", "brand")
    for column in columns:
        values = [_value(entry.item, column) for entry in task.entries]
        catalog = Counter(value for value in values if value)
        if len(catalog) < 2:
            continue
        asked = Counter(value for query in task.queries if (value := _value(query.item, column)))
        shown = Counter(value for place in answers.rankings[answers.rankings >= 0] if (value := values[place]))
        for value in sorted(catalog):
            share, top = catalog[value] / catalog.total(), shown[value] / max(shown.total(), 1)
            found.append(
                Exposure(
                    column=column,
                    value=value,
                    catalog_share=round(share, 6),
                    query_share=round(asked[value] / max(asked.total(), 1), 6),
                    top_10_share=round(top, 6),
                    ratio=round(top / share, 4),
                )
            )
    return tuple(found)


def _value(item: Sample, column: _Column) -> str | None:
    return item.color if column == "color" else item.brand
