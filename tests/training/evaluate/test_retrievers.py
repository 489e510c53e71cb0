"""The baselines beside the encoder: what they answer, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.evaluate.catalogs.catalog import EvaluationCatalog
from training.evaluate.retrievers.colour_and_sift import ColourAndSiftRetriever
from training.evaluate.retrievers.resnet import ResnetRetriever
from training.evaluate.retrievers.tfidf import TfidfRetriever
from training.evaluate.scoring import answer
from training.evaluate.tasks.finding import find_tasks
from training.evaluate.tasks.task import Task
from vitrine.errors import EncoderError


@pytest.fixture(scope="module")
def tasks(demo: EvaluationCatalog) -> dict[str, Task]:
    return {task.name: task for task in find_tasks(demo, split="all")[0]}


def test_colour_and_sift_find_other_views_the_same_way_twice(tasks: dict[str, Task]) -> None:
    task = tasks["image_to_image"]
    first, second = ColourAndSiftRetriever(words=32), ColourAndSiftRetriever(words=32)
    for retriever in (first, second):
        retriever.prepare(task.entries)

    found = answer(task, first)

    assert found.values["recall_at_10"].mean() > 0.7
    assert np.array_equal(found.rankings, answer(task, second).rankings)
    assert first.refusal(tasks["text_to_image"]) == "it reads no text"
    scores = first.scores(task.queries[:3], task.entries)
    places = [entry.entry_id for entry in task.entries]
    own = [scores[row, places.index(task.queries[row].query_id)] for row in range(3)]
    assert own == pytest.approx([1, 1, 1], abs=1e-5)


def test_tfidf_finds_other_titles_of_the_product_and_reads_no_pictures(tasks: dict[str, Task]) -> None:
    retriever = TfidfRetriever()
    retriever.prepare(tasks["text_to_image"].entries)

    assert answer(tasks["text_to_image"], retriever).values["recall_at_10"].mean() > 0.8
    assert retriever.refusal(tasks["image_to_image"]) == "it reads no pictures"


def test_a_resnet_from_a_folder_answers_pictures(tasks: dict[str, Task], tmp_path: Path) -> None:
    import torch
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(tmp_path)
    processor = {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 0.875}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    retriever = ResnetRetriever(str(tmp_path))

    scores = retriever.scores(tasks["image_to_image"].queries[:4], tasks["image_to_image"].entries)

    assert scores.shape == (4, len(tasks["image_to_image"].entries))
    assert scores.max() == pytest.approx(1, abs=1e-5)
    assert retriever.refusal(tasks["text_to_image"]) == "it reads no text"


def test_a_resnet_that_is_none_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"model\.safetensors"):
        ResnetRetriever(str(tmp_path))
