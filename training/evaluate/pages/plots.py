"""Plots of a report: recall by slice, and the curves of a training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluate.pages.rendering import heading
from training.evaluate.report import EvaluationReport, SliceMetric, TaskReport
from vitrine.errors import ContractError

INK, FAINT, RULE = "#1b1b1f", "#6b6b76", "#e3e3e8"
ENCODER_COLOUR, OTHER_COLOURS = "#0b6e4f", ("#c4622d", "#5b5f97", "#9a8c1d", "#8a8a94")
_DPI = 144
_MAX_VALUES = 14  # of one column: more rows would not be read


def plot_slices(report: EvaluationReport, task: TaskReport, into: Path) -> Path | None:
    """Draws the main metric of each slice with its interval, all retrievers side by side.

    Returns:
        The file, or None when the task has no slices.
    """
    own = task.result(report.encoder)
    if own is None or not own.slices:
        return None
    rows = _rows(own.slices)
    figure, axes = _figure(9.0, 1.5 + 0.34 * len(rows))
    offset = 0.56 / max(len(task.results), 1)
    ordered = [own, *(result for result in task.results if result.retriever != own.retriever)]
    for number, result in enumerate(ordered):
        found = {(one.column, one.value): one.interval for one in result.slices}
        color = _colour(number)
        for place, row in enumerate(rows):
            if row is None or row not in found:
                continue
            interval = found[row]
            y = place + (number - (len(ordered) - 1) / 2) * offset
            axes.plot([interval.low, interval.high], [y, y], color=color, linewidth=1.4, alpha=0.55)
            axes.plot(
                interval.mean, y, "o", color=color, markersize=4.5, label=result.retriever if place == 0 else None
            )
    labels = ["" if row is None else f"{row[1]}  ({_queries(own.slices, row)})" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    for place, row in enumerate(rows):
        if row is not None and (place == 0 or rows[place - 1] is None):
            axes.text(
                -0.012,
                place - 0.62,
                row[0],
                transform=axes.get_yaxis_transform(),
                ha="right",
                va="bottom",
                fontsize=8,
                fontweight="bold",
                color=INK,
            )
    axes.set_ylim(len(rows) - 0.4, -1.1)
    axes.set_xlim(-0.01, 1.01)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{heading(task.metric)}, with the 95% interval; in brackets the queries")
    axes.set_title(f"{task.question}, by slice", loc="left", fontsize=12, color=INK, pad=30)
    handles = [
        axes.plot([], [], "o-", color=_colour(n), markersize=4.5, label=result.retriever)[0]
        for n, result in enumerate(ordered)
    ]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=len(ordered),
        frameon=False,
        borderaxespad=0.2,
        handlelength=1.4,
    )
    return _save(figure, into)


def plot_training(history: Path, into: Path) -> Path:
    """Draws the losses and the recall of the validation over the steps of a training.

    Args:
        history: a JSON list of rows with `step` and some of `loss`, `triplet`, `infonce`, `validation_recall_at_10`.
        into: the PNG.

    Raises:
        ContractError: the file is no such list.
    """
    rows = _history(history)
    figure, axes = _figure(9.0, 4.2)
    drawn = 0
    for name, color in (("loss", ENCODER_COLOUR), ("triplet", OTHER_COLOURS[0]), ("infonce", OTHER_COLOURS[1])):
        steps, values = _series(rows, name)
        if steps:
            axes.plot(
                steps,
                values,
                color=color,
                linewidth=1.8 if name == "loss" else 1.1,
                label=name,
                marker="o" if len(steps) == 1 else None,
            )
            drawn += 1
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    handles, labels = axes.get_legend_handles_labels()
    steps, values = _series(rows, "validation_recall_at_10")
    if steps:
        right = axes.twinx()
        right.plot(steps, values, color=INK, linewidth=1.4, linestyle="--", marker="o", markersize=4, label="recall@10")
        right.set_ylim(0, 1)
        right.set_ylabel("recall@10 of the validation")
        _quiet(right, keep="right")
        more = right.get_legend_handles_labels()
        handles, labels = handles + more[0], [*labels, "recall@10 of the validation"]
        drawn += 1
    if not drawn:
        raise ContractError(f"{history}: no row has loss, triplet, infonce or validation_recall_at_10")
    axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, frameon=False, borderaxespad=0.2)
    axes.set_title("Training", loc="left", fontsize=12, color=INK, pad=30)
    return _save(figure, into)


def _rows(slices: Sequence[SliceMetric]) -> list[tuple[str, str] | None]:
    """The slices from top to bottom, the largest of each column, with a gap between columns."""
    rows: list[tuple[str, str] | None] = []
    for column in dict.fromkeys(one.column for one in slices):
        values = sorted((one for one in slices if one.column == column), key=lambda one: -one.interval.queries)
        rows += [None] if rows else []
        rows += [(column, one.value) for one in values[:_MAX_VALUES]]
    return rows


def _queries(slices: Sequence[SliceMetric], row: tuple[str, str]) -> str:
    return f"{next(one.interval.queries for one in slices if (one.column, one.value) == row):,}"


def _colour(number: int) -> str:
    return ENCODER_COLOUR if number == 0 else OTHER_COLOURS[(number - 1) % len(OTHER_COLOURS)]


def _history(path: Path) -> list[Mapping[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractError(f"{path}: expected the JSON history of a training: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _number(row.get("step")) for row in rows):
        raise ContractError(f"{path}: expected a JSON list of objects with `step`; give the history.json of a training")
    return rows


def _series(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    found = [(row["step"], row[name]) for row in rows if _number(row.get(name))]
    return [step for step, _ in found], [value for _, value in found]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # no pyplot: it keeps figures, and asks for a display

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _quiet(axes, keep="left")
    return figure, axes


def _quiet(axes: Any, *, keep: str) -> None:
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(colors=FAINT, labelsize=8, length=0 if keep == "right" else 3)
    axes.xaxis.label.set_color(FAINT)
    axes.yaxis.label.set_color(FAINT)


def _save(figure: Any, into: Path) -> Path:
    figure.savefig(into, metadata={"Software": None})  # equal plots are equal bytes
    return into
