"""All tasks by all retrievers: the report, and the answers that its pictures are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluate.catalogs.catalog import EvaluationCatalog
from training.evaluate.exposure import exposures
from training.evaluate.report import (
    AbsentTaskNote,
    Difference,
    EvaluationReport,
    MetricInterval,
    RetrieverNote,
    RetrieverResult,
    SliceMetric,
    TaskReport,
)
from training.evaluate.retrievers import Retriever
from training.evaluate.scoring import TaskAnswers, answer
from training.evaluate.tasks.finding import QuerySplit, find_tasks
from training.evaluate.tasks.slices import Slice, slices_of
from training.evaluate.tasks.task import Entry, Task
from vitrine.errors import ContractError
from vitrine.retrieval.intervals import difference_interval, mean_interval

SLICE_RESAMPLES = 500  # a slice is a hint, and there are many


@dataclass(frozen=True)
class Measurement:
    """A report and what it was made from.

    Attributes:
        report: of the first retriever.
        tasks: in the report's order.
        answers: task name to retriever name to answers.
    """

    report: EvaluationReport
    tasks: tuple[Task, ...]
    answers: Mapping[str, Mapping[str, TaskAnswers]]


def measure(
    catalog: EvaluationCatalog,
    retrievers: Sequence[Retriever],
    *,
    split: QuerySplit = "test",
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Measurement:
    """Asks a catalog's tasks of every retriever.

    Args:
        catalog: that is searched.
        retrievers: the encoder that the report is about, then what it is compared with.
        split: whose items ask.
        seed: of the intervals.
        on_progress: called with how many answers were given since the last call.

    Raises:
        ContractError: two retrievers have one name, or there is none.
    """
    names = [retriever.name for retriever in retrievers]
    if not names or len(set(names)) < len(names):
        raise ContractError(f"a report needs retrievers with names of their own, found {names}")
    tasks, absent = find_tasks(catalog, split=split)
    answers: dict[str, dict[str, TaskAnswers]] = {task.name: {} for task in tasks}
    for retriever in retrievers:
        possible = [task for task in tasks if retriever.refusal(task) is None]
        if not possible:
            continue
        retriever.prepare(_galleries(possible))
        for task in possible:
            answers[task.name][retriever.name] = answer(task, retriever, on_progress=on_progress)
    report = EvaluationReport(
        catalog=catalog.name,
        data_id=catalog.data_id,
        split=split,
        split_by="none" if split == "all" else catalog.split_by,
        items=len(catalog.samples),
        unusable=catalog.unusable,
        retrievers=tuple(
            RetrieverNote(
                name=retriever.name,
                description=retriever.description,
                fingerprint=getattr(retriever, "fingerprint", None),
            )
            for retriever in retrievers
        ),
        tasks=tuple(_task_report(task, retrievers, answers[task.name], catalog, seed=seed) for task in tasks),
        absent=tuple(AbsentTaskNote(name=task.name, reason=task.reason) for task in absent),
    )
    return Measurement(report=report, tasks=tuple(tasks), answers=answers)


def _galleries(tasks: Sequence[Task]) -> list[Entry]:
    """The entries of all tasks, each once."""
    return list({(entry.entry_id, task.entry_kind): entry for task in tasks for entry in task.entries}.values())


def _task_report(
    task: Task,
    retrievers: Sequence[Retriever],
    answers: Mapping[str, TaskAnswers],
    catalog: EvaluationCatalog,
    *,
    seed: int,
) -> TaskReport:
    groups = [query.item.parent_id for query in task.queries]
    slices = slices_of(task.queries, catalog.samples)
    own = answers.get(retrievers[0].name)
    return TaskReport(
        name=task.name,
        question=task.question,
        metric=task.metric,
        queries=len(task.queries),
        entries=len(task.entries),
        results=tuple(
            RetrieverResult(
                retriever=name,
                metrics={
                    metric: MetricInterval.of(mean_interval(values, groups=groups, seed=seed))
                    for metric, values in found.values.items()
                },
                slices=_slice_metrics(found.values[task.metric], groups, slices, seed=seed),
                exposures=exposures(task, found),
            )
            for name, found in answers.items()
        ),
        differences=tuple(
            Difference(
                other=name,
                metrics={
                    metric: MetricInterval.of(difference_interval(own.values[metric], values, groups=groups, seed=seed))
                    for metric, values in found.values.items()
                },
                slices=_slice_metrics(own.values[task.metric] - found.values[task.metric], groups, slices, seed=seed),
            )
            for name, found in answers.items()
            if own is not None and name != own.retriever
        ),
        refusals={
            retriever.name: reason for retriever in retrievers if (reason := retriever.refusal(task)) is not None
        },
    )


def _slice_metrics(
    values: NDArray[np.float64], groups: Sequence[str], slices: Mapping[Slice, NDArray[np.int64]], *, seed: int
) -> tuple[SliceMetric, ...]:
    return tuple(
        SliceMetric(
            column=column,
            value=value,
            interval=MetricInterval.of(
                mean_interval(
                    values[places],
                    groups=[groups[place] for place in places],
                    resamples=SLICE_RESAMPLES,
                    seed=seed,
                )
            ),
        )
        for (column, value), places in slices.items()
    )
