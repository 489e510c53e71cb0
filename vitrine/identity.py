"""Content ids: short hashes over canonical JSON, so that equal inputs always get equal ids."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

ID_LENGTH = 20  # hex digits, 80 bits: a collision among 10^9 objects has odds below 10^-6


def canonical_json(value: Any) -> bytes:
    """Returns `value` as JSON bytes with sorted keys and no spaces; NaN is refused with ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_id(prefix: str, value: Any) -> str:
    """Returns `<prefix>-<20 hex digits>`, the SHA-256 of the canonical JSON of `value`."""
    return f"{prefix}-{hashlib.sha256(canonical_json(value)).hexdigest()[:ID_LENGTH]}"


def attempt_id() -> str:
    """Returns a random id for one attempt at a piece of work; it never enters a content id."""
    return secrets.token_hex(6)


def sha256_hex(data: bytes) -> str:
    """Returns the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()
