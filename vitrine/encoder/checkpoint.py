"""Checkpoints in the layout of `transformers`: a folder, or a name on a model hub.

    config.json  model.safetensors (or shards)  preprocessor_config.json  tokenizer.json

`openai/clip-vit-base-patch16` and a team's own fine-tuned folder work unchanged. Pickles are refused.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from vitrine.encoder.architecture import Architecture
from vitrine.encoder.fingerprint import weight_files
from vitrine.encoder.tokenizer import TOKENIZER_FILE
from vitrine.errors import EncoderError
from vitrine.images.preprocessing import Preprocessing

_JSON_FILES = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "model.safetensors.index.json",
)


def materialise_checkpoint(name_or_folder: str | Path, into: Path) -> Path:
    """Copies a checkpoint to `into` in canonical layout, and nothing else that lies beside it.

    Args:
        name_or_folder: a folder, or a name such as `openai/clip-vit-base-patch16` (fetched from the model hub).
        into: an empty or new folder.

    Raises:
        EncoderError: the checkpoint is not there, is no CLIP, or its weights are pickles.
    """
    source = Path(name_or_folder)
    into.mkdir(parents=True, exist_ok=True)
    if not source.is_dir():
        return _download(str(name_or_folder), into)
    Architecture.from_folder(source)
    for path in weight_files(source):
        shutil.copyfile(path, into / path.name)
    for name in (*_JSON_FILES, "merges.txt", TOKENIZER_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, into / name)
    preprocessing = Preprocessing.from_folder(source)
    _write_json(into / "preprocessor_config.json", preprocessing.to_huggingface())
    if not (into / TOKENIZER_FILE).is_file():
        _convert_tokenizer(into)
    _check(into)
    return into


def load_checkpoint(folder: Path) -> Any:
    """Returns the `transformers.CLIPModel` of an encoder folder: float32, evaluation mode, on the CPU.

    Raises:
        EncoderError: the folder cannot be loaded; no pickle is ever opened, nothing is downloaded.
    """
    weight_files(folder)
    Architecture.from_folder(folder)
    import torch
    from safetensors import SafetensorError
    from transformers import CLIPModel

    try:
        loaded: Any = CLIPModel.from_pretrained(
            str(folder),
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise EncoderError(f"{folder}: transformers cannot load the checkpoint: {error}") from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise EncoderError(
            f"{folder}: {len(missing)} tensors are missing, first {missing[0]}: random weights are not an encoder"
        )
    return model.eval()


def _download(name: str, into: Path) -> Path:
    import torch
    from huggingface_hub import hf_hub_download
    from transformers import AutoTokenizer, CLIPModel

    try:
        # from_pretrained, not a plain download: it finds the safetensors that the hub converts beside an old pickle.
        CLIPModel.from_pretrained(name, use_safetensors=True, dtype=torch.float32).save_pretrained(into)
        AutoTokenizer.from_pretrained(name).save_pretrained(into)
        config = Path(hf_hub_download(name, "preprocessor_config.json"))
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"{name!r} is not a folder here and could not be fetched from the model hub as safetensors: {error}; "
            "without a network give the path of an encoder folder (config.json, model.safetensors, "
            "preprocessor_config.json, tokenizer.json)"
        ) from error
    preprocessing = Preprocessing.from_huggingface(json.loads(config.read_text(encoding="utf-8")))
    _write_json(into / "preprocessor_config.json", preprocessing.to_huggingface())
    _check(into)
    return into


def _convert_tokenizer(folder: Path) -> None:
    from transformers import CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise EncoderError(f"{folder}: expected {TOKENIZER_FILE} or vocab.json with merges.txt: {error}") from error
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))


def _check(folder: Path) -> None:
    architecture, preprocessing = Architecture.from_folder(folder), Preprocessing.from_folder(folder)
    if architecture.image_size != preprocessing.image_size:
        raise EncoderError(
            f"{folder}: the image tower reads {architecture.image_size} pixels, the preprocessing makes "
            f"{preprocessing.image_size}; correct crop_size in preprocessor_config.json"
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
