"""What the shop says about a product: titles and descriptions in varied natural language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.demo_catalog.parents import Parent
from examples.demo_catalog.product_types import PRODUCT_TYPES

_TITLES: tuple[str, ...] = (
    "{Color} {pattern}{material} {type}",
    "{Color} {pattern}{type}",
    "{Brand} {pattern}{material} {type} in {color}",
    "{Brand} {color} {pattern}{type}",
    "{Material} {type}, {color}{with_pattern}",
    "{Color} {type}{with_pattern}",
    "{Brand} {type} – {color}, {material}",
    "{Type} in {color} {material}{with_pattern}",
)
_OPENINGS: tuple[str, ...] = (
    "A {color} {pattern}{type} made of {material}.",
    "This {pattern}{type} in {color} is made of soft-to-the-eye {material}.",
    "{Brand}'s {type} in {color}{with_pattern}.",
    "Our {color} {type}, cut from {material}{with_pattern}.",
    "{Article} {color} {synonym} that goes with everything: a {material} {type}{with_pattern}.",
    "Meet the {color} {type} by {brand}.",
)
_DETAILS: dict[str, tuple[str, ...]] = {
    "clothing": (
        "Regular fit, true to size.",
        "Machine wash at 30 degrees.",
        "A wardrobe staple for every season.",
        "Dress it up or wear it on a day off.",
    ),
    "footwear": (
        "Cushioned footbed and a sturdy sole.",
        "Fits true to size.",
        "Made for long walks in town.",
        "Break them in and keep them for years.",
    ),
    "accessories": (
        "The finishing touch to any outfit.",
        "Light, practical and made to last.",
        "A present that never fails.",
        "Comes in a dust bag.",
    ),
    "home": (
        "Brings a little colour to any room.",
        "Made to be used every day.",
        "Looks at home in a flat and in a farmhouse.",
        "Wipe clean with a damp cloth.",
    ),
}


def title_and_description(parent: Parent, rng: np.random.Generator) -> tuple[str, str]:
    """A title and a description; both always name the type and the colour."""
    words = _words(parent, rng)
    title = _one(_TITLES, rng).format(**words)
    details = _DETAILS[parent.category.split("/")[0]]
    sentences = [_one(_OPENINGS, rng).format(**words), _one(details, rng)]
    if parent.trim == "accent" and rng.random() < 0.6:
        sentences.insert(1, f"Finished with {parent.accent_color} details.")
    return title, " ".join(sentences)


def _words(parent: Parent, rng: np.random.Generator) -> dict[str, str]:
    pattern = "" if parent.pattern == "plain" else parent.pattern
    accented = rng.random() < 0.5
    with_pattern = ""
    if pattern:
        with_pattern = f" with {_pattern_noun(pattern)}" + (f" in {parent.accent_color}" if accented else "")
    product = PRODUCT_TYPES[parent.product_type]
    return {
        "type": parent.product_type,
        "Type": parent.product_type.capitalize(),
        "synonym": _one(product.synonyms, rng),
        "color": parent.color,
        "Color": parent.color.capitalize(),
        "Article": "An" if parent.color[0] in "aeiou" else "A",
        "pattern": f"{pattern} " if pattern else "",
        "with_pattern": with_pattern,
        "material": parent.material,
        "Material": parent.material.capitalize(),
        "Brand": parent.brand,
        "brand": parent.brand,
    }


def _pattern_noun(pattern: str) -> str:
    return {
        "striped": "stripes",
        "dotted": "dots",
        "checked": "checks",
        "floral": "a floral print",
        "chevron": "a chevron weave",
        "geometric": "a geometric print",
        "leopard": "leopard spots",
        "color-block": "a contrasting block of color",
    }[pattern]


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
