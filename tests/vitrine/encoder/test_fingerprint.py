"""The fingerprint names what an encoder computes, not its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPModel

from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.errors import EncoderError


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def test_saving_the_same_model_again_keeps_its_fingerprint(checkpoint: Path, copy: Path) -> None:
    model = CLIPModel.from_pretrained(checkpoint, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    model.save_pretrained(copy)
    tokenizer.save_pretrained(copy)

    assert encoder_fingerprint(copy) == encoder_fingerprint(checkpoint)


def test_shards_have_the_fingerprint_of_the_whole(checkpoint: Path, copy: Path) -> None:
    (copy / "model.safetensors").unlink()

    CLIPModel.from_pretrained(checkpoint, dtype=torch.float32).save_pretrained(copy, max_shard_size="100KB")

    assert len(list(copy.glob("model-*.safetensors"))) > 1
    assert encoder_fingerprint(copy) == encoder_fingerprint(checkpoint)


def test_the_order_of_tensors_and_old_position_buffers_do_not_count(checkpoint: Path, copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors["text_model.embeddings.position_ids"] = torch.arange(24).unsqueeze(0)

    save_file(dict(reversed(tensors.items())), copy / "model.safetensors", metadata={"format": "pt", "note": "again"})

    assert encoder_fingerprint(copy) == encoder_fingerprint(checkpoint)


def _change_a_weight(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["visual_projection.weight"][0, 0] += 1e-3
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _change_the_preprocessing(folder: Path) -> None:
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_mean": [0.5, 0.5, 0.5]}))


def _change_the_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"]["normalizers"] = [
        step for step in content["normalizer"]["normalizers"] if step["type"] != "Lowercase"
    ]
    path.write_text(json.dumps(content))


def _change_the_heads(folder: Path) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["vision_config"]["num_attention_heads"] = 4
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change", [_change_a_weight, _change_the_preprocessing, _change_the_tokenizer, _change_the_heads]
)
def test_what_changes_embeddings_changes_the_fingerprint(
    checkpoint: Path, copy: Path, change: Callable[[Path], None]
) -> None:
    change(copy)

    assert encoder_fingerprint(copy) != encoder_fingerprint(checkpoint)


def test_a_pickle_is_refused_with_the_way_to_convert_it(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")

    with pytest.raises(EncoderError, match=r"pytorch_model\.bin.*refused.*save_pretrained"):
        encoder_fingerprint(copy)


def test_an_index_that_points_out_of_the_folder_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    index = {"weight_map": {"logit_scale": "../elsewhere.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(EncoderError, match="not there"):
        encoder_fingerprint(copy)
