"""The fixed figures of the bootstrap encoder, on embeddings drawn by hand and on a small drawn catalog."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.__main__ import main
from training.bootstrap import ENCODER_FOLDER
from training.data.samples import Sample
from training.evaluate.bootstrap import look_task, siblings_task
from training.evaluate.scoring import answer
from training.evaluate.tasks.task import Entry, Query, Task
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.images.photo_kinds import PhotoKind


class Plane:
    """Embeddings of items at an angle each, by the number in their name; a text lies at 0 degrees."""

    name, description = "plane", "drawn"

    def __init__(self, degrees: Sequence[float]) -> None:
        angles = np.radians(degrees)
        self.embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def refusal(self, task: Task) -> str | None:
        return None

    def prepare(self, entries: Sequence[Entry]) -> None:
        pass

    def scores(self, queries: Sequence[Query], entries: Sequence[Entry]) -> NDArray[np.float32]:
        asked = [np.array([1, 0]) if query.text else self.embeddings[int(query.query_id)] for query in queries]
        return np.stack(asked) @ self.embeddings.T


def items(*known: tuple[str, PhotoKind], color: str = "red") -> list[Sample]:
    return [
        Sample(
            item_id=str(number),
            image_sha256=str(number),
            parent_id=parent_id or f"item:{number}",
            split="test",
            near_duplicate_group=str(number),
            category="mug",
            color=color,
            photo_kind=kind,
            path=Path("unused"),
        )
        for number, (parent_id, kind) in enumerate(known)
    ]


def recalls(degrees: Sequence[float], catalog: list[Sample], *, asked: PhotoKind) -> list[float]:
    task = siblings_task(catalog, asked=asked)
    return list(answer(task, Plane(degrees), metrics=[task.metric]).values[task.metric])


def test_recall_counts_other_studio_views_of_the_parent_and_never_the_query() -> None:
    degrees = [0, 1, 90, 91, 2]
    catalog = items(("a", "studio"), ("a", "studio"), ("b", "studio"), ("c", "studio"), ("a", "user"))

    assert recalls(degrees, catalog, asked="studio") == [1.0, 1.0]  # b and c have no other view
    assert recalls(degrees, catalog, asked="user") == [1.0]


def test_recall_is_low_when_others_are_nearer() -> None:
    degrees = [0, 90, *range(1, 12)]
    catalog = items(("a", "studio"), ("a", "studio"), *[("", "studio")] * 11)

    assert recalls(degrees, catalog, asked="studio")[0] == 0.0


def test_a_look_is_asked_for_in_three_wordings_where_enough_items_have_it() -> None:
    red, blue = items(*[("a", "studio")] * 4), items(*[("b", "user")] * 2, color="blue")
    catalog = [*red, *(replace(item, item_id=f"b{item.item_id}") for item in blue)]

    task = look_task(catalog, least=3, most=9, metric="r_precision")

    assert [query.text for query in task.queries] == ["red mug", "a photo of a red mug", "mug in red"]
    found = answer(task, Plane([0, 1, 50, 60, 2, 3]), metrics=[task.metric])
    assert found.values["r_precision"].tolist() == [0.5] * 3  # of the four nearest, two are blue
    assert not look_task(catalog, least=10, metric="precision_at_10").queries


def test_a_folder_without_ground_truth_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["evaluate-bootstrap", "--catalog", str(tmp_path)])

    assert status == 1
    assert "expected ground_truth/views.parquet" in capsys.readouterr().err


def test_the_bootstrap_encoder_finds_drawn_products(tmp_path: Path) -> None:
    from examples.demo_catalog import generate_catalog

    generate_catalog(str(tmp_path / "catalog"), items=160, seed=23, days=1)
    figures = tmp_path / "figures.json"

    status = main(["evaluate-bootstrap", "--catalog", str(tmp_path / "catalog"), "--into", str(figures)])

    found = json.loads(figures.read_text())
    assert status == 0
    assert found["items"] > 100
    assert found["studio_recall_at_10"] >= 0.8
    assert found["encoder_fingerprint"] == encoder_fingerprint(ENCODER_FOLDER)


def test_the_committed_figures_are_of_the_committed_encoder_and_good_enough() -> None:
    figures = json.loads((ENCODER_FOLDER.parent / "evaluation.json").read_text())

    assert figures["encoder_fingerprint"] == encoder_fingerprint(ENCODER_FOLDER)
    assert figures["items"] > 1500
    assert figures["studio_recall_at_10"] >= 0.8
    assert figures["text_precision_at_10"] >= 0.8
