"""Text on the page can be read by people who see little: WCAG 2.2, success criterion 1.4.3."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STYLE = (Path(__file__).resolve().parents[2] / "serving" / "page" / "style.css").read_text(encoding="utf-8")
LIGHT, DARK = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in STYLE.split("@media")[:2])


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("behind", ["paper", "surface"])
@pytest.mark.parametrize("text", ["ink", "soft", "faint"])
def test_text_stands_out_from_what_is_behind_it(colors: dict[str, str], behind: str, text: str) -> None:
    darker, lighter = sorted((_luminance(colors[behind]), _luminance(colors[text])))

    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
