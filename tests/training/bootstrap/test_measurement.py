"""The evaluation of an encoder on a small drawn catalog."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.__main__ import main
from training.bootstrap import ENCODER_FOLDER
from training.bootstrap.measurement import KnownItem, recall_of_siblings
from vitrine.encoder.fingerprint import encoder_fingerprint


def item(parent_id: str, kind: str = "studio") -> KnownItem:
    return KnownItem(path=Path("unused"), parent_id=parent_id, kind=kind, product_type="mug", color="red")


def test_recall_counts_other_studio_views_of_the_parent_and_never_the_query() -> None:
    angles = np.radians([0, 1, 90, 91, 2])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    items = [item("a"), item("a"), item("b"), item("c"), item("a", "user_photo")]

    assert recall_of_siblings(embeddings, items, query_kind="studio") == [1.0, 1.0]  # b and c have no other view
    assert recall_of_siblings(embeddings, items, query_kind="user_photo") == [1.0]


def test_recall_is_low_when_others_are_nearer() -> None:
    angles = np.radians([0, 90, *range(1, 12)])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    items = [item("a"), item("a"), *(item("") for _ in range(11))]

    assert recall_of_siblings(embeddings, items, query_kind="studio")[0] == 0.0


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
