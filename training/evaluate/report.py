"""The report as a document: what was asked, what each retriever got, and how the encoder stands to the others."""

from __future__ import annotations

from typing import Literal

from vitrine.contracts.document import Document
from vitrine.errors import ContractError
from vitrine.identity import content_id
from vitrine.retrieval.intervals import Interval

_DIGITS = 6  # enough for a share of a million queries; keeps equal reports equal bytes


class MetricInterval(Document):
    """A mean over queries, or a mean difference, with its bootstrap interval of 95%."""

    mean: float
    low: float
    high: float
    queries: int
    groups: int

    @classmethod
    def of(cls, interval: Interval) -> MetricInterval:
        """Rounds an interval."""
        return cls(
            mean=round(interval.mean, _DIGITS),
            low=round(interval.low, _DIGITS),
            high=round(interval.high, _DIGITS),
            queries=interval.queries,
            groups=interval.groups,
        )


class SliceMetric(Document):
    """The task's main metric on one slice, or its difference."""

    column: str
    value: str
    interval: MetricInterval


class Exposure(Document):
    """How often a brand or a colour is shown.

    Attributes:
        catalog_share: of the gallery's entries that have the column.
        query_share: of the queries that have it: a catalog that is asked for red things must show red things.
        top_10_share: of the answers that have it.
        ratio: top_10_share / catalog_share; 1 is as often as it is there.
    """

    column: Literal["color", "brand"]
    value: str
    catalog_share: float
    query_share: float
    top_10_share: float
    ratio: float


class RetrieverResult(Document):
    """What one retriever got in one task."""

    retriever: str
    metrics: dict[str, MetricInterval]
    slices: tuple[SliceMetric, ...] = ()
    exposures: tuple[Exposure, ...] = ()


class Difference(Document):
    """The encoder minus another retriever, query by query."""

    other: str
    metrics: dict[str, MetricInterval]
    slices: tuple[SliceMetric, ...] = ()


class TaskReport(Document):
    """One task, all retrievers.

    Attributes:
        refusals: retriever to why it cannot answer.
        differences: of the report's encoder to each other retriever that answered.
    """

    name: str
    question: str
    metric: str
    queries: int
    entries: int
    results: tuple[RetrieverResult, ...]
    differences: tuple[Difference, ...]
    refusals: dict[str, str]

    def result(self, retriever: str) -> RetrieverResult | None:
        """Returns what a retriever got; None when it could not answer."""
        return next((result for result in self.results if result.retriever == retriever), None)

    def difference(self, other: str) -> Difference | None:
        """Returns the encoder minus another; None when that one did not answer."""
        return next((difference for difference in self.differences if difference.other == other), None)


class RetrieverNote(Document):
    """Who answered; `fingerprint` of encoders."""

    name: str
    description: str
    fingerprint: str | None = None


class AbsentTaskNote(Document):
    """A task that the catalog cannot ask."""

    name: str
    reason: str


class EvaluationReport(Document):
    """The report of one encoder on one catalog.

    Attributes:
        catalog: its name.
        data_id: names its items.
        split: whose items asked.
        split_by: `column`, `time`, or `none` where there is no split.
        items: with a picture that can be decoded.
        unusable: rows left out.
        retrievers: the encoder first.
    """

    version: Literal[1] = 1
    catalog: str
    data_id: str
    split: str
    split_by: str
    items: int
    unusable: int
    retrievers: tuple[RetrieverNote, ...]
    tasks: tuple[TaskReport, ...]
    absent: tuple[AbsentTaskNote, ...] = ()

    @property
    def report_id(self) -> str:
        """Names the report by all that it says."""
        return content_id("report", self.model_dump(mode="json"))

    @property
    def encoder(self) -> str:
        """The name of the encoder that the report is about."""
        return self.retrievers[0].name

    @property
    def main_task(self) -> TaskReport:
        """The first task, which decides.

        Raises:
            ContractError: the catalog could ask nothing.
        """
        if not self.tasks:
            reasons = "; ".join(f"{task.name}: {task.reason}" for task in self.absent)
            raise ContractError(f"report on {self.catalog}: no task could be asked ({reasons})")
        return self.tasks[0]

    def task(self, name: str) -> TaskReport | None:
        """Returns a task by name; None when the catalog cannot ask it."""
        return next((task for task in self.tasks if task.name == name), None)

    def flat_metrics(self) -> dict[str, float]:
        """Returns the encoder's means under names that MLflow takes: `image_to_image.recall_at_10`."""
        return {
            f"{task.name}.{metric}": interval.mean
            for task in self.tasks
            if (result := task.result(self.encoder)) is not None
            for metric, interval in result.metrics.items()
        }
