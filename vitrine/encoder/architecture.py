"""What `config.json` says of a CLIP: the numbers that its tensors alone do not tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.errors import EncoderError

# The defaults of `transformers`' CLIP configurations, copied: a config.json leaves out what equals them, and a later
# version of that library must not change a fingerprint.
_TEXT_DEFAULTS = {
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "vocab_size": 49408,
    "eos_token_id": 49407,
}
_VISION_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


@dataclass(frozen=True)
class Architecture:
    """The shape of one dual tower.

    Attributes:
        dimension: of the shared embedding space.
        image_size: side of the square that the image tower reads, in pixels.
        context_length: the most tokens that the text tower reads, begin and end tokens included.
        text, vision: every number that changes what the towers compute from the same tensors.
    """

    dimension: int
    image_size: int
    context_length: int
    text: Mapping[str, Any]
    vision: Mapping[str, Any]

    @classmethod
    def from_folder(cls, folder: Path) -> Architecture:
        """Reads `config.json` of an encoder folder.

        Raises:
            EncoderError: there is no such file, or it describes another architecture than CLIP.
        """
        path = folder / "config.json"
        if not path.is_file():
            raise EncoderError(f"{folder}: expected an encoder folder with config.json, found none")
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("model_type") != "clip":
            raise EncoderError(
                f"{path}: expected model_type 'clip', found {config.get('model_type')!r}; "
                "an encoder is a dual tower that transformers' CLIPModel loads"
            )
        text = _resolved(config, tower="text", defaults=_TEXT_DEFAULTS)
        vision = _resolved(config, tower="vision", defaults=_VISION_DEFAULTS)
        return cls(
            dimension=int(config.get("projection_dim") or 512),
            image_size=int(vision["image_size"]),
            context_length=int(text["max_position_embeddings"]),
            text=text,
            vision=vision,
        )


def _resolved(config: Mapping[str, Any], *, tower: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    given = {**(config.get(f"{tower}_config") or {}), **(config.get(f"{tower}_config_dict") or {})}
    return {key: given.get(key, default) for key, default in defaults.items()}
