"""A few steps of training, on something so easy that it must be learned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from examples.bootstrap_encoder.contrastive import ContrastiveBatch, TrainingPlan, project_images, train_dual_tower


@pytest.fixture
def model() -> CLIPModel:
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": 10, "max_position_embeddings": 6, "bos_token_id": 8, "eos_token_id": 9, "pad_token_id": 9}
    torch.manual_seed(0)
    return CLIPModel(
        CLIPConfig(
            text_config={**tower, **tokens},
            vision_config={**tower, "image_size": 32, "patch_size": 8},
            projection_dim=16,
        )
    )


def colored_batches(n: int = 6) -> Iterator[ContrastiveBatch]:
    """Product i is a plain colour, and its text is the token i."""
    generator = torch.Generator().manual_seed(1)
    colors = torch.randn(n, 3, 1, 1, generator=generator) * 2
    tokens = torch.stack([torch.tensor([8, row, 9]) for row in range(n)])
    for _ in itertools.count():
        noise = torch.randn(2, n, 3, 32, 32, generator=generator) * 0.2
        yield ContrastiveBatch(
            first=colors + noise[0],
            second=colors + noise[1],
            token_ids=tokens,
            described=torch.eye(n, dtype=torch.bool),
        )


def test_views_and_texts_of_one_product_come_together(model: CLIPModel) -> None:
    told: list[tuple[int, float]] = []
    plan = TrainingPlan(steps=60, learning_rate=3e-3, warmup_steps=5)

    train_dual_tower(model, colored_batches(), plan=plan, on_progress=lambda step, loss: told.append((step, loss)))

    batch = next(colored_batches())
    with torch.inference_mode():
        images = project_images(model, batch.first)
        texts = model.text_projection(model.text_model(input_ids=batch.token_ids).pooler_output)
    scores = torch.nn.functional.normalize(texts, dim=1) @ torch.nn.functional.normalize(images, dim=1).T
    assert scores.argmax(dim=1).tolist() == list(range(6))
    assert told[-1][0] == 60
    assert not model.training


def test_dropping_no_patch_is_the_tower_itself(model: CLIPModel) -> None:
    pixels = next(colored_batches()).first
    model.eval()

    with torch.inference_mode():
        whole = project_images(model, pixels)
        almost = project_images(model, pixels, dropped_patches=1e-6)  # all patches, by the other path

    torch.testing.assert_close(whole, almost, atol=1e-5, rtol=1e-4)
