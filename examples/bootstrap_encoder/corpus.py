"""What the bootstrap encoder sees: drawn products, a few studio views of each, and texts about them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from examples.bootstrap_encoder.contrastive import ContrastiveBatch
from examples.demo_catalog import (
    COLORS,
    PATTERNS,
    PRODUCT_TYPES,
    Parent,
    render_view,
    sample_parents,
    title_and_description,
)
from training.data.augmentation import augment, replace_backdrops
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.images.preprocessing import Preprocessing

MATERIALS = tuple(sorted({material for kind in PRODUCT_TYPES.values() for material in kind.materials}))
# The colours change the shop's titles only here and there; people write queries in many more ways.
_QUERIES = (
    "{color} {type}",
    "{color} {type}",
    "a photo of a {color} {type}",
    "{type} in {color}",
    "{type} {color}",
    "{color} {synonym}",
    "{type}",
    "{synonym}",
    "{pattern} {type}",
    "{color} {pattern} {type}",
    "{color} {material} {type}",
    "{material} {type}",
    "{pattern} {color} {synonym}",
    "picture of {color} {type}s",
    "the {color} {type} made of {material}",
)
_PLAIN = ("plain", "solid", "simple")
# By which words a title shows that it speaks of the pattern.
_PATTERN_WORDS = {
    "plain": _PLAIN,
    "striped": ("striped", "stripes"),
    "dotted": ("dotted", "dots"),
    "checked": ("checked", "checks"),
    "color-block": ("color-block", "block"),
}


@dataclass(frozen=True)
class Corpus:
    """Rendered products.

    Attributes:
        parents: one for each product.
        squares: (products, views, side, side, 3), uint8.
    """

    parents: Sequence[Parent]
    squares: NDArray[np.uint8]


def render_corpus(*, seeds: Sequence[int], parents_per_seed: int, views: int, side: int) -> Corpus:
    """Draws the first `views` studio views of the products of some seeds."""
    parents = [parent for seed in seeds for parent in sample_parents(seed, parents_per_seed)]
    prepare = Preprocessing(image_size=side, resize_shorter_side=side)
    squares = np.empty((len(parents), views, side, side, 3), dtype=np.uint8)
    for row, parent in enumerate(track(parents, description="drawing")):
        for view in range(views):
            squares[row, view] = prepare.square(render_view(parent, view, "studio"))
    return Corpus(parents=parents, squares=squares)


def corpus_texts(parents: Sequence[Parent], *, seed: int) -> Iterator[str]:
    """Yields texts to train the tokenizer on: titles, descriptions and queries."""
    rng = np.random.default_rng(seed)
    for parent in parents:
        yield from title_and_description(parent, rng)
        yield query_text(parent, rng)


def query_text(parent: Parent, rng: np.random.Generator) -> str:
    """Returns what somebody might type who looks for `parent`."""
    synonyms = PRODUCT_TYPES[parent.product_type].synonyms
    pattern = parent.pattern if parent.pattern != "plain" else _PLAIN[int(rng.integers(len(_PLAIN)))]
    return _QUERIES[int(rng.integers(len(_QUERIES)))].format(
        color=parent.color,
        type=parent.product_type,
        synonym=synonyms[int(rng.integers(len(synonyms)))],
        pattern=pattern,
        material=parent.material,
    )


def batches(
    corpus: Corpus,
    tokenizer: TextTokenizer,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    seed: int,
    other_backdrops: float = 0.0,
    combinations: int = 0,
) -> Iterator[ContrastiveBatch]:
    """Yields augmented batches for ever; every product comes once in each round.

    Args:
        other_backdrops: share of the pictures that are put on other backdrops.
        combinations: texts that name any colour and type, beside one text for each product.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    attributes = np.array([_attributes(parent) for parent in corpus.parents])  # (products, 4)
    views = corpus.squares.shape[1]
    while True:
        order = rng.permutation(len(corpus.parents))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            pairs = np.stack([rng.permutation(views)[:2] for _ in rows])
            texts, named = zip(*(_text(corpus.parents[row], rng) for row in rows), strict=True)
            more_texts, more_named = _combinations(combinations, rng)
            shown = np.concatenate([corpus.squares[rows, pairs[:, 0]], corpus.squares[rows, pairs[:, 1]]])
            label_texts, label_named, label_groups = _labels(rng, start=len(texts) + len(more_texts))
            other = replace_backdrops(torch.from_numpy(shown), share=other_backdrops, generator=generator)
            pixels = augment(other, image_size=preprocessing.image_size, generator=generator)
            first, second = ((pixels - mean) / std).chunk(2)
            yield ContrastiveBatch(
                first=first,
                second=second,
                token_ids=torch.from_numpy(tokenizer.token_ids([*texts, *more_texts, *label_texts])),
                described=torch.from_numpy(_described(np.array([*named, *more_named, *label_named]), attributes[rows])),
                groups=((0, len(texts) + len(more_texts)), *label_groups),
            )


def _text(parent: Parent, rng: np.random.Generator) -> tuple[str, tuple[int, ...]]:
    """A text and the attributes that it names (-1 where it does not)."""
    choice = rng.random()
    if choice < 0.55:
        text = query_text(parent, rng)
    else:
        title, description = title_and_description(parent, rng)
        text = title if choice < 0.85 else description.split(". ")[0]
    lowered = text.lower()
    words = set(re.findall(r"[a-z-]+", lowered))
    kinds = (parent.product_type, *PRODUCT_TYPES[parent.product_type].synonyms)
    kind, color, pattern, material = _attributes(parent)
    return text, (
        kind if any(word in lowered for word in kinds) else -1,
        color if parent.color in words else -1,
        pattern if words & set(_PATTERN_WORDS.get(parent.pattern, (parent.pattern,))) else -1,
        material if parent.material in words else -1,
    )


def _combinations(n: int, rng: np.random.Generator) -> tuple[list[str], list[tuple[int, ...]]]:
    """Texts that name a colour and a type, whether or not the batch has such a product."""
    kinds = tuple(PRODUCT_TYPES.values())
    chosen = [(int(rng.integers(len(kinds))), int(rng.integers(len(COLORS)))) for _ in range(n)]
    forms = [form for form in _QUERIES if "{color}" in form and "{pattern}" not in form and "{material}" not in form]
    texts = [
        forms[int(rng.integers(len(forms)))].format(
            color=COLORS[color],
            type=kinds[kind].name,
            synonym=kinds[kind].synonyms[int(rng.integers(len(kinds[kind].synonyms)))],
        )
        for kind, color in chosen
    ]
    return texts, [(kind, color, -1, -1) for kind, color in chosen]


def _labels(rng: np.random.Generator, *, start: int) -> tuple[list[str], list[tuple[int, ...]], list[tuple[int, int]]]:
    """One text for each type, each colour and each pattern: what they name, and their three groups of rows."""
    kinds = [
        (kind.name, *kind.synonyms)[int(rng.integers(1 + len(kind.synonyms)))] if rng.random() < 0.4 else kind.name
        for kind in PRODUCT_TYPES.values()
    ]
    form = ("{}", "a {}", "a photo of a {}", "picture of {}s")[int(rng.integers(4))]
    colored = ("{}", "something {}", "a {} thing")[int(rng.integers(3))]
    texts = [form.format(kind) for kind in kinds]
    named: list[tuple[int, ...]] = [(kind, -1, -1, -1) for kind in range(len(kinds))]
    texts += [colored.format(color) for color in COLORS]
    named += [(-1, color, -1, -1) for color in range(len(COLORS))]
    texts += [colored.format(pattern) for pattern in PATTERNS]
    named += [(-1, -1, pattern, -1) for pattern in range(len(PATTERNS))]
    ends = np.cumsum([start, len(kinds), len(COLORS), len(PATTERNS)]).tolist()
    return texts, named, list(itertools.pairwise(ends))


def _attributes(parent: Parent) -> tuple[int, int, int, int]:
    return (
        tuple(PRODUCT_TYPES).index(parent.product_type),
        COLORS.index(parent.color),
        PATTERNS.index(parent.pattern),
        MATERIALS.index(parent.material),
    )


def _described(named: NDArray[np.int64], attributes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(texts, products): every attribute that the text names is the product's."""
    equal = named[:, None, :] == attributes[None, :, :]
    described: NDArray[np.bool_] = np.all(equal | (named[:, None, :] < 0), axis=2)
    return described
