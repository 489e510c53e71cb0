"""What kind of photograph an item shows, as its attributes say it."""

from __future__ import annotations

import json
from typing import Literal

PhotoKind = Literal["studio", "user", "scene"]

_ATTRIBUTES = ("photo_kind", "kind")
_KINDS: dict[str, PhotoKind] = {
    "studio": "studio",
    "iconic": "studio",
    "user": "user",
    "user_photo": "user",
    "shop_photo": "user",
    "scene": "scene",
}


def photo_kind_of(attributes: str | None) -> PhotoKind | None:
    """Returns the kind that an item's attributes (a JSON object as text) name; None when they name none that is known.

    Read from `photo_kind`, or from `kind` where that is missing.
    """
    values = json.loads(attributes or "{}")
    for name in _ATTRIBUTES:
        if isinstance(named := values.get(name), str):
            return _KINDS.get(named.strip().lower())
    return None
