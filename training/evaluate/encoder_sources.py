"""Where an encoder is when somebody names it: a folder, a version or an alias of the registry, or a fingerprint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.registry.client import MODEL_NAME
from training.registry.versions import resolve_version
from vitrine.errors import EncoderError
from vitrine.identity import ID_LENGTH
from vitrine.settings import Settings

_FINGERPRINT = re.compile(f"[0-9a-f]{{{ID_LENGTH}}}")


@dataclass(frozen=True)
class EncoderSource:
    """An encoder on this disk.

    Attributes:
        name: short and unique among those that were asked for together.
        folder: that `load_encoder` reads.
    """

    name: str
    folder: Path


@contextmanager
def open_sources(named: Sequence[str], settings: Settings) -> Iterator[list[EncoderSource]]:
    """Brings encoders to this disk for the duration of the block.

    Args:
        named: each a folder; `bootstrap`; an alias such as `champion`; `3` or `vitrine-encoder/3`; a fingerprint; the
            name of a CLIP on a model hub, such as `openai/clip-vit-base-patch16`.
        settings: of the registry and the object store; a folder and a hub's name ask neither.

    Raises:
        EncoderError: there is no such encoder.
    """
    from vitrine.files.scratch import scratch_folder

    with scratch_folder(settings, "evaluate") as scratch:
        found: list[EncoderSource] = []
        for number, name in enumerate(named):
            label, folder = _locate(name, settings, scratch / str(number))
            taken = {source.name for source in found}
            if label in taken:
                from vitrine.encoder.fingerprint import encoder_fingerprint

                label = f"{label} {encoder_fingerprint(folder)[:6]}"
            if label in taken:
                raise EncoderError(f"{name!r} is the encoder {label!r}, which is asked for already; name it once")
            found.append(EncoderSource(label, folder))
        yield found


def _locate(name: str, settings: Settings, scratch: Path) -> tuple[str, Path]:
    folder = Path(name)
    if (folder / "config.json").is_file():
        return folder.resolve().name, folder
    if name == "bootstrap":
        from training.bootstrap import ENCODER_FOLDER

        return name, ENCODER_FOLDER
    if folder.exists() or name.startswith((".", "/")):
        raise EncoderError(f"{name}: expected an encoder folder with config.json and model.safetensors, found none")
    if "/" in name and not name.startswith(f"{MODEL_NAME}/"):
        from vitrine.encoder.checkpoint import materialise_checkpoint

        return name.rpartition("/")[2], materialise_checkpoint(name, scratch)
    from vitrine.connections import open_object_store
    from vitrine.encoder import fetch_encoder

    object_store, fingerprint, label = open_object_store(settings), name, name[:8]
    if not _FINGERPRINT.fullmatch(name):
        version = resolve_version(settings, object_store, name)
        fingerprint, label = version.fingerprint, f"{version.name} v{version.version}"
    return label, fetch_encoder(fingerprint, object_store, scratch)
