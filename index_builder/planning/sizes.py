"""Sizes as people write them: `8G`, `512M`, `60GB`."""

from __future__ import annotations

import re

from vitrine.errors import SettingsError

_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?\s*$", re.IGNORECASE)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def read_size(text: str) -> int:
    """Returns a size in bytes; K, M, G and T are powers of 1,000.

    Raises:
        SettingsError: it is no size.
    """
    found = _SIZE.match(text)
    if not found:
        raise SettingsError(f"expected a size such as 8G or 512M, found {text!r}")
    return int(float(found[1]) * _FACTORS[found[2].lower()])
