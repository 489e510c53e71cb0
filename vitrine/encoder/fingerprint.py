"""The fingerprint of an encoder: what it computes, not how its files happen to be written.

It hashes the tensors in canonical form (sorted names, float32, shape, bytes), the numbers of the architecture, the
preprocessing, and the tokenizer. Saving the same model again, in shards or under another file name, changes nothing;
one changed weight, pixel or token changes it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vitrine.encoder.architecture import Architecture
from vitrine.encoder.tokenizer import TOKENIZER_FILE, TextTokenizer
from vitrine.errors import EncoderError
from vitrine.identity import ID_LENGTH, canonical_json
from vitrine.images.preprocessing import Preprocessing

# Buffers 0, 1, 2 … that older checkpoints carry and newer ones leave out.
_POSITION_BUFFERS = ("position_ids",)
# Libraries write one tokenizer in several ways, so what it does to these texts is hashed beside its vocabulary.
_PROBE_TEXTS = (
    "a red dress",
    "A Photo of a CAT!",
    "it's the shop's 2nd-hand lamp, isn't it?",
    "  two   spaces\tand a tab ",
    "12.50 EUR / 100%",
    "café naïve Ångström",
    "日本語のシャツ",
    "emoji 👗 and symbols ©®™",
    "supercalifragilisticexpialidocious",
    "a long text " * 40,
)


def encoder_fingerprint(folder: Path) -> str:
    """Returns the fingerprint (20 hex digits) of an encoder folder.

    Raises:
        EncoderError: the folder lacks a part, or its weights are not safetensors.
    """
    architecture = Architecture.from_folder(folder)
    parts = {
        "tensors": tensors_digest(folder),
        "architecture": [architecture.dimension, dict(architecture.text), dict(architecture.vision)],
        "preprocessing": Preprocessing.from_folder(folder).digest(),
        "tokenizer": tokenizer_digest(folder, context_length=architecture.context_length),
    }
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:ID_LENGTH]


def weight_files(folder: Path) -> list[Path]:
    """Returns the safetensors files of an encoder folder: one, or the shards.

    Raises:
        EncoderError: there are none; says so when there is a pickle instead.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
        if missing:
            raise EncoderError(f"{index}: names shards that are not there: {', '.join(missing)}")
        return [folder / name for name in names]
    pickles = sorted(
        path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt") for path in folder.glob(pattern)
    )
    if pickles:
        raise EncoderError(
            f"{folder}: expected model.safetensors, found the pickle {pickles[0]}, which could run any code and is "
            "refused; convert it once where you trust it: CLIPModel.from_pretrained(...).save_pretrained(folder)"
        )
    raise EncoderError(f"{folder}: expected model.safetensors (or its shards with an index), found no weights")


def tensors_digest(folder: Path) -> str:
    """Returns the SHA-256 over all tensors: sorted names, canonical dtype, shape, bytes.

    Raises:
        EncoderError: a file is not whole safetensors.
    """
    import torch  # safetensors' numpy reader has no bfloat16
    from safetensors import SafetensorError, safe_open

    where: dict[str, Any] = {}
    for path in weight_files(folder):
        try:
            opened = safe_open(str(path), framework="pt")
        except SafetensorError as error:
            raise EncoderError(f"{path.name} cannot be read as safetensors: {error}; upload the whole file") from error
        where.update(dict.fromkeys(opened.keys(), opened))
    digest = hashlib.sha256()
    for name in sorted(where):
        if name.rsplit(".", 1)[-1] in _POSITION_BUFFERS:
            continue
        tensor = where[name].get_tensor(name)
        canonical = tensor.to(torch.float32) if tensor.is_floating_point() else tensor.to(torch.int64)
        array = canonical.contiguous().numpy()
        digest.update(canonical_json([name, array.dtype.str, list(array.shape)]))
        digest.update(array.tobytes())
    return digest.hexdigest()


def tokenizer_digest(folder: Path, *, context_length: int) -> str:
    """Returns the SHA-256 over the vocabulary, the merges and the token ids of some probing texts."""
    tokenizer = TextTokenizer(folder, context_length=context_length)
    model = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))["model"]
    merges = [merge.split(" ") if isinstance(merge, str) else list(merge) for merge in model.get("merges", [])]
    parts = {
        "vocabulary": model.get("vocab", {}),
        "merges": merges,
        "probes": [tokenizer.token_ids([text]).tolist() for text in _PROBE_TEXTS],
    }
    return hashlib.sha256(canonical_json(parts)).hexdigest()
