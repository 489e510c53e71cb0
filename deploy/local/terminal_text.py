"""Text on its way to a terminal, which acts on some characters instead of showing them."""

from __future__ import annotations

import unicodedata


def printable(text: str, *, keep: str = "\n") -> str:
    """Returns a text with its non-printable characters written out, e.g. the escape character as `\\x1b`.

    File names, rows and the errors of other programs may hold what recolours, overwrites or reorders the lines around
    them: ESC, the C1 controls, bidirectional overrides.

    Args:
        text: from anywhere.
        keep: characters that stay as they are.
    """
    return "".join(char if char in keep or is_printable(char) else _written_out(char) for char in text)


def is_printable(text: str) -> bool:
    """Tells whether a terminal shows a text as it is; spaces of any width count, line breaks do not."""
    return all(char.isprintable() or unicodedata.category(char) == "Zs" for char in text)


def _written_out(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
