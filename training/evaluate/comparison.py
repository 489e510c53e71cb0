"""Whether a challenger beats the champion: what the alias `challenger` asks of an encoder."""

from __future__ import annotations

from dataclasses import dataclass

from training.evaluate.report import EvaluationReport, MetricInterval, TaskReport
from vitrine.settings import Settings


@dataclass(frozen=True)
class Thresholds:
    """What a challenger may cost.

    Attributes:
        max_slice_fall: of a slice's main metric, in absolute terms.
        max_text_fall: of recall@10 of text-to-image.
        min_slice_queries: a slice with fewer says too little to refuse an encoder.
    """

    max_slice_fall: float = 0.05
    max_text_fall: float = 0.02
    min_slice_queries: int = 30

    @classmethod
    def of(cls, settings: Settings) -> Thresholds:
        """Returns the thresholds of this platform."""
        return cls(
            max_slice_fall=settings.challenger_max_slice_fall,
            max_text_fall=settings.challenger_max_text_fall,
            min_slice_queries=settings.challenger_min_slice_queries,
        )


@dataclass(frozen=True)
class Decision:
    """A verdict and why, in sentences.

    Attributes:
        beats: the challenger may take the alias.
        reasons: what speaks for it when it does; else everything that speaks against it.
    """

    beats: bool
    reasons: tuple[str, ...]


def beats(report: EvaluationReport, champion: str, *, thresholds: Thresholds | None = None) -> Decision:
    """Judges a report's encoder against a champion that answered the same queries.

    It beats the champion when the paired bootstrap interval of the main task's difference lies above 0, no slice
    of any task with enough queries falls by more than `max_slice_fall`, and text-to-image as a whole falls by no more
    than `max_text_fall`. Falls are judged by their mean: wide intervals would excuse any fall of a small slice.

    Args:
        report: of the challenger.
        champion: its name in the report.
        thresholds: the defaults when None.
    """
    limits = thresholds or Thresholds()
    fingerprints = {note.name: note.fingerprint for note in report.retrievers}
    if champion not in fingerprints or champion == report.encoder:
        return Decision(
            False, (f"{champion} did not answer beside {report.encoder}: there is nothing to compare with.",)
        )
    if fingerprints[champion] is not None and fingerprints[champion] == fingerprints[report.encoder]:
        return Decision(False, (f"{report.encoder} is {champion}: they have one fingerprint.",))
    if not report.tasks or report.main_task.difference(champion) is None:
        return Decision(False, (f"The catalog {report.catalog} asked nothing that both could answer.",))
    gained, gain = _gain(report.main_task, champion)
    against = [] if gained else [gain]
    for task in report.tasks:
        against += _falls(task, champion, limits)
    if against:
        return Decision(False, tuple(against))
    return Decision(True, (gain, *_kept(report, champion, limits)))


def _gain(task: TaskReport, champion: str) -> tuple[bool, str]:
    difference = task.difference(champion)
    interval = difference.metrics[task.metric] if difference else None
    if interval is None:
        return False, f"{task.name}: {champion} did not answer."
    what = f"{task.name}: {task.metric} {_signed(interval)} against {champion} over {interval.queries} queries"
    if interval.groups < 2:
        return False, f"{what}, all of one product: that proves nothing."
    if interval.low > 0:
        return True, f"{what}; the interval lies above 0."
    return False, f"{what}; the interval does not lie above 0."


def _falls(task: TaskReport, champion: str, limits: Thresholds) -> list[str]:
    difference = task.difference(champion)
    if difference is None:
        return []
    found = []
    overall = difference.metrics[task.metric]
    if task.name == "text_to_image" and overall.mean < -limits.max_text_fall:
        found.append(
            f"{task.name}: {task.metric} falls by {-overall.mean:.3f} against {champion}, more than "
            f"{limits.max_text_fall:.3f}."
        )
    for one in difference.slices:
        if one.interval.queries >= limits.min_slice_queries and one.interval.mean < -limits.max_slice_fall:
            found.append(
                f"{task.name}, {one.column} {one.value}: {task.metric} falls by {-one.interval.mean:.3f} against "
                f"{champion} over {one.interval.queries} queries, more than {limits.max_slice_fall:.3f}."
            )
    return found


def _kept(report: EvaluationReport, champion: str, limits: Thresholds) -> list[str]:
    judged = [
        one.interval.mean
        for task in report.tasks
        if (difference := task.difference(champion)) is not None
        for one in difference.slices
        if one.interval.queries >= limits.min_slice_queries
    ]
    found = [f"None of {len(judged)} slices falls by more than {limits.max_slice_fall:.3f}."]
    text = report.task("text_to_image")
    difference = text.difference(champion) if text else None
    if text is not None and difference is not None:
        found.append(f"{text.name}: {text.metric} {_signed(difference.metrics[text.metric])} against {champion}.")
    return found


def _signed(interval: MetricInterval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
