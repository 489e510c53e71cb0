"""What a training starts from: the champion, a published encoder, any CLIP of `transformers`, or nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

from training.bootstrap import ENCODER_FOLDER
from training.registry.versions import ready_champion
from vitrine.connections import open_object_store
from vitrine.encoder.checkpoint import load_checkpoint, materialise_checkpoint
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.encoder.publishing import fetch_encoder
from vitrine.errors import ContractError, SettingsError
from vitrine.files.whole import beside, whole_folder
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

CHAMPION, BOOTSTRAP, SCRATCH = "champion", "bootstrap", "scratch"
FINGERPRINT = re.compile(r"[0-9a-f]{20}")
_ASKED_FILE = "asked.json"  # beside the weights: what the folder was asked for as


def is_scratch(base: str) -> bool:
    """Says whether a training starts from random weights."""
    return base.partition(":")[0] == SCRATCH


def bring_base_model(base: str, into: Path, *, settings: Settings | None = None, seed: int = 0) -> Path:
    """Brings an encoder folder to start from; one that is there already is taken when it is what is asked for.

    Args:
        base: `champion`; `bootstrap`; the fingerprint of a published encoder; a folder, or a name on a model hub; or
            `scratch`, `scratch:<folder or name>`: random weights in the architecture of the bootstrap encoder or of
            another one, with its preprocessing and its tokenizer.
        into: the folder that it becomes.
        settings: of the platform; needed for the champion and for fingerprints.
        seed: of random weights.

    Raises:
        ContractError: `into` holds another one.
        EncoderError: there is no such encoder, or it cannot be used.
        SettingsError: the platform's settings are needed and were not given.
    """
    if not into.is_dir():
        with whole_folder(into) as partial:
            _bring(base, partial, settings=settings, seed=seed)
    elif not _holds(into, base, settings=settings, seed=seed):
        raise ContractError(
            f"{into} holds another base model than {base!r}, fingerprint {encoder_fingerprint(into)}; train into "
            "another folder, remove this one, or name that fingerprint as the base to go on with it"
        )
    return into


def _holds(into: Path, base: str, *, settings: Settings | None, seed: int) -> bool:
    """Says whether a folder is the base model that is asked for now."""
    if _is_in_platform(base):
        given = _given(base, settings)
        return _wanted_fingerprint(base, given, open_object_store(given)) == encoder_fingerprint(into)
    asked = into / _ASKED_FILE
    may_have_changed = Path(base).is_dir()  # a name on a hub and random weights are what they were
    if not may_have_changed and asked.is_file() and json.loads(asked.read_bytes()) == _asked(base, seed):
        return True
    with beside(into) as brought:
        _bring(base, brought, settings=settings, seed=seed)
        return encoder_fingerprint(brought) == encoder_fingerprint(into)


def _asked(base: str, seed: int) -> dict[str, object]:
    return {"base": base, "seed": seed if is_scratch(base) else None}


def _bring(base: str, partial: Path, *, settings: Settings | None, seed: int) -> None:
    if is_scratch(base):
        _, _, architecture = base.partition(":")
        _random_weights(materialise_checkpoint(architecture or ENCODER_FOLDER, partial), seed=seed)
    elif base == BOOTSTRAP:
        materialise_checkpoint(ENCODER_FOLDER, partial)
    elif _is_in_platform(base):
        given = _given(base, settings)
        object_store = open_object_store(given)
        fingerprint = _wanted_fingerprint(base, given, object_store)
        materialise_checkpoint(fetch_encoder(fingerprint, object_store, given.state_dir / "encoders"), partial)
    else:
        materialise_checkpoint(base, partial)
    (partial / _ASKED_FILE).write_text(json.dumps(_asked(base, seed)), encoding="utf-8")


def _is_in_platform(base: str) -> bool:
    return base == CHAMPION or (bool(FINGERPRINT.fullmatch(base)) and not Path(base).is_dir())


def _wanted_fingerprint(base: str, settings: Settings, object_store: ObjectStore) -> str:
    return ready_champion(settings, object_store).fingerprint if base == CHAMPION else base


def _given(base: str, settings: Settings | None) -> Settings:
    if settings is None:
        raise SettingsError(
            f"base model {base!r} is in the platform: expected its settings; or name a folder, or a model hub's name"
        )
    return settings


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
