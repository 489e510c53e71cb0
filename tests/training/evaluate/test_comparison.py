"""When a challenger beats the champion."""

from __future__ import annotations

import pytest

from training.evaluate.comparison import Thresholds, beats
from training.evaluate.report import (
    Difference,
    EvaluationReport,
    MetricInterval,
    RetrieverNote,
    RetrieverResult,
    SliceMetric,
    TaskReport,
)


def interval(mean: float, *, half: float = 0.01, queries: int = 100, groups: int = 50) -> MetricInterval:
    return MetricInterval(mean=mean, low=mean - half, high=mean + half, queries=queries, groups=groups)


def task(name: str, gain: MetricInterval, *slices: SliceMetric) -> TaskReport:
    return TaskReport(
        name=name,
        question="?",
        metric="recall_at_10",
        queries=gain.queries,
        entries=500,
        results=tuple(
            RetrieverResult(retriever=who, metrics={"recall_at_10": interval(0.5)}) for who in ("new", "old")
        ),
        differences=(Difference(other="old", metrics={"recall_at_10": gain}, slices=slices),),
        refusals={},
    )


def slice_of(mean: float, queries: int) -> SliceMetric:
    return SliceMetric(column="color", value="red", interval=interval(mean, queries=queries))


def report(*tasks: TaskReport, fingerprints: tuple[str, str] = ("aa", "bb")) -> EvaluationReport:
    return EvaluationReport(
        catalog="demo",
        data_id="samples-0",
        split="test",
        split_by="time",
        items=500,
        unusable=0,
        retrievers=tuple(
            RetrieverNote(name=name, description="an encoder", fingerprint=fingerprint)
            for name, fingerprint in zip(("new", "old"), fingerprints, strict=True)
        ),
        tasks=tasks,
    )


GAIN = task("user_photo_to_studio", interval(0.1), slice_of(0.05, 60))


def test_a_sure_gain_without_a_fall_beats_and_says_why() -> None:
    decision = beats(report(GAIN, task("text_to_image", interval(-0.02))), "old")

    assert decision.beats
    assert decision.reasons[0].startswith("user_photo_to_studio: recall_at_10 +0.100 [+0.090, +0.110] against old")
    assert "text_to_image" in decision.reasons[-1]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (report(task("user_photo_to_studio", interval(0.1, half=0.1))), "does not lie above 0"),
        (report(task("user_photo_to_studio", interval(-0.1))), "does not lie above 0"),
        (report(task("user_photo_to_studio", interval(0.1, half=0, groups=1))), "proves nothing"),
        (report(GAIN, task("image_to_image", interval(0.0), slice_of(-0.06, 30))), "color red: recall_at_10 falls"),
        (report(GAIN, task("text_to_image", interval(-0.021))), "text_to_image: recall_at_10 falls by 0.021"),
        (report(GAIN, fingerprints=("aa", "aa")), "one fingerprint"),
        (report(), "asked nothing"),
    ],
)
def test_what_speaks_against_a_challenger_is_said(found: EvaluationReport, said: str) -> None:
    decision = beats(found, "old")

    assert not decision.beats
    assert said in " ".join(decision.reasons)


def test_a_slice_with_few_queries_or_a_small_fall_refuses_nothing() -> None:
    fallen = task("image_to_image", interval(0.0), slice_of(-0.5, 29), slice_of(-0.05, 300))

    assert beats(report(GAIN, fallen), "old").beats
    assert not beats(report(GAIN, fallen), "old", thresholds=Thresholds(min_slice_queries=29)).beats
    assert not beats(report(GAIN, fallen), "old", thresholds=Thresholds(max_slice_fall=0.04)).beats


def test_a_champion_that_did_not_answer_is_beaten_by_nobody() -> None:
    assert not beats(report(GAIN), "somebody").beats


def test_every_fall_is_named() -> None:
    found = report(task("image_to_image", interval(-0.1), slice_of(-0.2, 50)), task("text_to_image", interval(-0.3)))

    assert len(beats(found, "old").reasons) == 3
