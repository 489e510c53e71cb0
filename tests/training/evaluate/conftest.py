"""A drawn catalog of 60 items, and encoders of the smallest kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.evaluate.catalogs.catalog import EvaluationCatalog, read_evaluation_catalog
from vitrine.settings import Settings


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo catalog with studio pictures, user photos, a scene and faults."""
    from examples.demo_catalog import generate_catalog

    folder = tmp_path_factory.mktemp("evaluate") / "demo"
    generate_catalog(str(folder), items=60, seed=5, days=2)
    return folder


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> EvaluationCatalog:
    """The same, read."""
    return read_evaluation_catalog(demo_folder, Settings())


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two encoder folders with random weights."""
    return _tiny(tmp_path_factory.mktemp("a") / "tiny", 0), _tiny(tmp_path_factory.mktemp("b") / "tiny", 1)


def _tiny(folder: Path, seed: int) -> Path:
    import torch
    from transformers import CLIPConfig, CLIPModel

    from examples.bootstrap_encoder.text_tokenizer import train_tokenizer
    from vitrine.images.preprocessing import Preprocessing

    folder.mkdir()
    tokens = train_tokenizer(["a red dress", "two wooden chairs"] * 5, folder, vocabulary_size=600, context_length=16)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": tokens, "max_position_embeddings": 16, "bos_token_id": tokens - 2, "eos_token_id": tokens - 1}
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config={**tower, **text, "pad_token_id": tokens - 1},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    content = Preprocessing(image_size=32, resize_shorter_side=32).to_huggingface()
    (folder / "preprocessor_config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
