"""What the shop sells: each product type with its category, materials, patterns, prices and words."""

from __future__ import annotations

from dataclasses import dataclass

PATTERNS: tuple[str, ...] = (
    "plain",
    "striped",
    "dotted",
    "checked",
    "floral",
    "chevron",
    "geometric",
    "leopard",
    "color-block",
)

_CLOTH = PATTERNS
_QUIET = ("plain", "striped", "checked", "color-block")
_GLAZE = ("plain", "striped", "dotted", "floral", "geometric", "chevron", "color-block")


@dataclass(frozen=True)
class ProductType:
    """One type of product.

    `plain_share` is the probability of no pattern; `standing` products rest on the floor and throw a contact shadow,
    the others are photographed from above.
    """

    name: str
    category: str
    materials: tuple[str, ...]
    patterns: tuple[str, ...]
    plain_share: float
    price: tuple[float, float]
    synonyms: tuple[str, ...]
    standing: bool = False
    mirrored_views: bool = False


PRODUCT_TYPES: dict[str, ProductType] = {
    kind.name: kind
    for kind in (
        ProductType("t-shirt", "clothing/tops", ("cotton", "linen", "jersey"), _CLOTH, 0.3, (12, 45), ("tee", "top")),
        ProductType(
            "shirt",
            "clothing/tops",
            ("cotton", "linen", "denim", "silk"),
            _CLOTH,
            0.25,
            (29, 110),
            ("button-up", "button-down"),
        ),
        ProductType(
            "sweater",
            "clothing/knitwear",
            ("wool", "cashmere", "cotton"),
            _CLOTH,
            0.3,
            (39, 160),
            ("jumper", "pullover"),
        ),
        ProductType(
            "dress",
            "clothing/dresses",
            ("cotton", "silk", "linen", "velvet", "denim"),
            _CLOTH,
            0.25,
            (45, 220),
            ("gown", "frock"),
        ),
        ProductType(
            "skirt",
            "clothing/skirts",
            ("cotton", "wool", "silk", "denim", "leather"),
            _CLOTH,
            0.25,
            (29, 120),
            ("midi",),
        ),
        ProductType(
            "trousers",
            "clothing/trousers",
            ("denim", "cotton", "wool", "linen", "corduroy"),
            _QUIET,
            0.6,
            (39, 140),
            ("pants", "slacks"),
        ),
        ProductType(
            "sneaker",
            "footwear/sneakers",
            ("canvas", "leather", "suede", "mesh"),
            _QUIET,
            0.6,
            (49, 160),
            ("trainer", "running shoe"),
            True,
            True,
        ),
        ProductType(
            "boot",
            "footwear/boots",
            ("leather", "suede", "rubber"),
            ("plain", "color-block"),
            0.75,
            (79, 260),
            ("ankle boot",),
            True,
            True,
        ),
        ProductType(
            "bag",
            "accessories/bags",
            ("leather", "canvas", "suede", "straw"),
            _CLOTH,
            0.45,
            (39, 320),
            ("handbag", "tote"),
            True,
            True,
        ),
        ProductType(
            "backpack",
            "accessories/bags",
            ("canvas", "nylon", "leather"),
            _CLOTH,
            0.45,
            (39, 180),
            ("rucksack", "daypack"),
            True,
        ),
        ProductType(
            "hat",
            "accessories/hats",
            ("wool", "cotton", "straw", "denim"),
            _CLOTH,
            0.4,
            (15, 70),
            ("headwear",),
            False,
            True,
        ),
        ProductType(
            "watch",
            "accessories/watches",
            ("leather", "metal", "rubber", "canvas"),
            ("plain", "striped"),
            0.7,
            (59, 480),
            ("wristwatch", "timepiece"),
        ),
        ProductType(
            "mug", "home/kitchen", ("ceramic", "stoneware", "enamel"), _GLAZE, 0.3, (9, 32), ("cup",), True, True
        ),
        ProductType(
            "vase", "home/decoration", ("ceramic", "glass", "stoneware"), _GLAZE, 0.3, (19, 140), ("vessel",), True
        ),
        ProductType(
            "lamp",
            "home/lighting",
            ("linen", "paper", "metal", "ceramic"),
            _GLAZE,
            0.45,
            (35, 240),
            ("table lamp", "light"),
            True,
        ),
        ProductType(
            "chair",
            "home/furniture",
            ("wood", "velvet", "leather", "linen"),
            ("plain", "striped", "checked", "floral", "geometric"),
            0.6,
            (69, 420),
            ("seat",),
            True,
            True,
        ),
        ProductType(
            "sofa",
            "home/furniture",
            ("velvet", "linen", "leather", "wool"),
            ("plain", "striped", "checked", "floral", "geometric"),
            0.65,
            (390, 2400),
            ("couch", "settee"),
            True,
        ),
        ProductType(
            "cushion",
            "home/textiles",
            ("linen", "velvet", "cotton", "wool"),
            _CLOTH,
            0.2,
            (12, 60),
            ("pillow", "throw pillow"),
        ),
    )
}

BRANDS: tuple[str, ...] = (
    "Halden",
    "Marlow & Finch",
    "Ostra",
    "Kesti",
    "Nordvik",
    "Bellacosta",
    "Tamsin Grey",
    "Ardent",
    "Lumo",
    "Fjell",
    "Casa Mira",
    "Pebble",
    "Juniper Lane",
    "Rook",
    "Solvei",
    "Atelier Nine",
)
