"""What a training starts from: the champion, a published encoder, any CLIP of `transformers`, or nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from training.bootstrap import ENCODER_FOLDER
from training.registry import resolve_champion
from vitrine.connections import open_object_store
from vitrine.encoder.checkpoint import load_checkpoint, materialise_checkpoint
from vitrine.encoder.publishing import fetch_encoder
from vitrine.errors import SettingsError
from vitrine.settings import Settings

CHAMPION, BOOTSTRAP, SCRATCH = "champion", "bootstrap", "scratch"
FINGERPRINT = re.compile(r"[0-9a-f]{20}")


def is_scratch(base: str) -> bool:
    """Says whether a training starts from random weights."""
    return base.partition(":")[0] == SCRATCH


def bring_base_model(base: str, into: Path, *, settings: Settings | None = None, seed: int = 0) -> Path:
    """Brings an encoder folder to start from; at once when it is there already.

    Args:
        base: `champion`; `bootstrap`; the fingerprint of a published encoder; a folder, or a name on a model hub; or
            `scratch`, `scratch:<folder or name>`: random weights in the architecture of the bootstrap encoder or of
            another one, with its preprocessing and its tokenizer.
        into: the folder that it becomes.
        settings: of the platform; needed for the champion and for fingerprints.
        seed: of random weights.

    Raises:
        EncoderError: there is no such encoder, or it cannot be used.
        SettingsError: the platform's settings are needed and were not given.
    """
    if into.is_dir():
        return into
    partial = into.with_name(f".{into.name}.part")
    shutil.rmtree(partial, ignore_errors=True)  # of a training that was killed
    if is_scratch(base):
        _, _, architecture = base.partition(":")
        _random_weights(materialise_checkpoint(architecture or ENCODER_FOLDER, partial), seed=seed)
    elif base == BOOTSTRAP:
        materialise_checkpoint(ENCODER_FOLDER, partial)
    elif base == CHAMPION or (FINGERPRINT.fullmatch(base) and not Path(base).is_dir()):
        materialise_checkpoint(_fetched(base, settings), partial)
    else:
        materialise_checkpoint(base, partial)
    partial.replace(into)
    return into


def _fetched(base: str, settings: Settings | None) -> Path:
    if settings is None:
        raise SettingsError(
            f"base model {base!r} is in the platform: expected its settings; or name a folder, or a model hub's name"
        )
    fingerprint = resolve_champion(settings).fingerprint if base == CHAMPION else base
    return fetch_encoder(fingerprint, open_object_store(settings), settings.state_dir / "encoders")


def _random_weights(folder: Path, *, seed: int) -> None:
    import torch
    from transformers import CLIPModel

    config = load_checkpoint(folder).config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(config)
    for path in folder.glob("model*.safetensors*"):
        path.unlink()
    model.save_pretrained(folder)
