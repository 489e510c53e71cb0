"""The report for people: Markdown for MLflow and pull requests, a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from training.evaluate.report import EvaluationReport, MetricInterval, RetrieverResult, TaskReport

_HEADINGS = {
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "precision_at_10": "precision@10",
    "mrr": "MRR",
    "map": "mAP",
    "ndcg_at_10": "nDCG@10",
}


def heading(metric: str) -> str:
    """Returns how a metric is written."""
    return _HEADINGS.get(metric, metric)


def to_markdown(report: EvaluationReport, *, pictures: Sequence[str] = ()) -> str:
    """Returns the whole report.

    Args:
        pictures: file names of its plots and grids, which lie beside it.
    """
    parts = [
        f"# {report.encoder} on {report.catalog}",
        _opening(report),
        "Each figure is a mean over queries with its 95% bootstrap interval; whole products are drawn, since "
        "queries of one product fail together. Differences are paired, query by query. **Bold**: an interval that does "
        "not hold 0.",
        _list(f"**{note.name}**: {note.description}." for note in report.retrievers),
    ]
    for task in report.tasks:
        parts += _task(report, task)
    if report.absent:
        parts += ["## What this catalog cannot ask", _list(f"`{task.name}`: {task.reason}." for task in report.absent)]
    if pictures:
        parts += ["## Pictures", *(f"![{_caption(name)}]({name})" for name in pictures)]
    return "\n\n".join(parts) + "\n"


def main_table(report: EvaluationReport) -> Table:
    """Returns the main metric of each task, a column for each retriever."""
    table = Table(title=f"{report.encoder} on {report.catalog} ({_asked(report)})")
    table.add_column("task")
    table.add_column("metric")
    table.add_column("queries", justify="right")
    for note in report.retrievers:
        table.add_column(note.name, justify="right", overflow="fold")
    for task in report.tasks:
        cells = [
            _mean(result.metrics[task.metric]) if (result := task.result(note.name)) else "–"
            for note in report.retrievers
        ]
        table.add_row(task.name, heading(task.metric), f"{task.queries:,}", *cells)
    return table


def print_report(report: EvaluationReport, console: Console) -> None:
    """Prints the main table, and the tasks that could not be asked."""
    console.print(main_table(report))
    for task in report.absent:
        console.print(f"{task.name} is not asked: {task.reason}", highlight=False)


def _opening(report: EvaluationReport) -> str:
    left_out = f"; {report.unusable:,} rows could not be used" if report.unusable else ""
    ids = f"`{report.data_id}`, `{report.report_id}`"
    return f"{report.items:,} items with a picture{left_out}. Asked: {_asked(report)}. {ids}."


def _asked(report: EvaluationReport) -> str:
    if report.split == "all":
        return "all items"
    return f"items of split {report.split}, {'as the items say' if report.split_by == 'column' else 'by time'}"


def _task(report: EvaluationReport, task: TaskReport) -> list[str]:
    parts = [
        f"## {task.name}",
        f"{task.question}: {task.queries:,} queries among {task.entries:,}. Main metric: {heading(task.metric)}.",
        _metrics_table(task),
    ]
    if task.refusals:
        parts.append(_list(f"{name} does not answer: {reason}." for name, reason in task.refusals.items()))
    if task.differences:
        parts += [f"{report.encoder} minus the others:", _differences_table(task)]
    own = task.result(report.encoder)
    if own is not None and own.slices:
        parts += [f"### Slices of {task.name}, {heading(task.metric)}", _slices_table(task, own)]
    if own is not None and own.exposures:
        parts += [f"### Exposure in the top 10 of {task.name}", _exposure_table(own)]
    return parts


def _metrics_table(task: TaskReport) -> str:
    metrics = list(task.results[0].metrics) if task.results else []
    rows = [[result.retriever, *(_mean(result.metrics[metric]) for metric in metrics)] for result in task.results]
    return _table(["", *map(heading, metrics)], rows)


def _differences_table(task: TaskReport) -> str:
    metrics = list(task.differences[0].metrics)
    rows = [[f"− {one.other}", *(_difference(one.metrics[metric]) for metric in metrics)] for one in task.differences]
    return _table(["", *map(heading, metrics)], rows)


def _slices_table(task: TaskReport, own: RetrieverResult) -> str:
    others = [result for result in task.results if result.retriever != own.retriever]
    rows = []
    for number, one in enumerate(own.slices):
        row = [one.column, one.value, f"{one.interval.queries:,}", _mean(one.interval)]
        rows.append(row + [_mean(other.slices[number].interval) for other in others])
    return _table(["slice", "", "queries", own.retriever, *(other.retriever for other in others)], rows)


def _exposure_table(own: RetrieverResult) -> str:
    rows = [
        [
            one.column,
            one.value,
            *map(_share, (one.catalog_share, one.query_share, one.top_10_share)),
            f"{one.ratio:.2f}",
        ]
        for one in own.exposures
    ]
    return _table(["", "", "of the catalog", "of the queries", "of the top 10", "ratio to the catalog"], rows)


def _mean(interval: MetricInterval) -> str:
    return f"{interval.mean:.3f} ({interval.low:.3f}–{interval.high:.3f})"


def _difference(interval: MetricInterval) -> str:
    text = f"{interval.mean:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"
    return f"**{text}**" if interval.groups > 1 and (interval.low > 0 or interval.high < 0) else text


def _share(value: float) -> str:
    return f"{100 * value:.1f}%"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _caption(name: str) -> str:
    return name.rsplit(".", 1)[0].replace("_", " ").replace("-", ": ", 1)
