"""Which pictures stand in which step: products, some views of each, and their hard negatives.

A batch depends on the seed and the step alone: every process draws the whole batch and takes its part, and a training
that goes on at step k sees what it would have seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.samples import Pair, Sample
from training.options import TrainingOptions
from vitrine.errors import ContractError

# A user's photo beside a studio picture teaches more than a second studio picture.
_OTHER_KIND_FAVOUR = 3.0
_BATCH_DRAWS, _EPOCH_DRAWS = 1, 2


@dataclass(frozen=True)
class Batch:
    """One step's global batch of n rows.

    Attributes:
        step: from 0.
        samples: (n,) of them; each product's views and then its hard negatives, product after product.
        positive_weights: (n, n), float32: how much the columns are positives of the rows, 0 to 1; 0 on the diagonal.
        labels: (n,), int64: rows of different labels are negatives of each other; rows of one label that are no
            positives (near duplicates, two products that each go with a third) are neither.
        same_product: (n, n), bool: what may be said of one row's picture may be said of the other's.
        caption_draws: (n,), in [0, 1): which of a sample's captions is read.
    """

    step: int
    samples: tuple[Sample, ...]
    positive_weights: NDArray[np.float32]
    labels: NDArray[np.int64]
    same_product: NDArray[np.bool_]
    caption_draws: NDArray[np.float64]

    def captions(self) -> list[str]:
        """Returns one caption for each row, empty where nothing is said of it."""
        chosen = []
        for sample, draw in zip(self.samples, self.caption_draws, strict=True):
            captions = sample.captions()
            chosen.append(captions[int(draw * len(captions))] if captions else "")
        return chosen


class BatchSampler:
    """Draws the batches of a training; stateless but for what it was given.

    Args:
        samples: of the training split; scenes are left out, since they show several products.
        pairs: positives beyond the views of one product.
        hard_negatives: by anchor; a product without any gets another product of its category.
        options: batch_size, views, hard_negatives, positives and seed count here.

    Raises:
        ContractError: there are fewer than two products.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        pairs: Sequence[Pair] = (),
        hard_negatives: Sequence[tuple[str, Sequence[str]]] = (),
        options: TrainingOptions,
    ) -> None:
        self._options = options
        self._samples = [sample for sample in samples if sample.photo_kind != "scene"]
        row_of = {sample.item_id: row for row, sample in enumerate(self._samples)}
        self._products = [product_of(sample, positives=options.positives) for sample in self._samples]
        groups, categories = defaultdict(list), defaultdict(list)
        for row, (sample, product) in enumerate(zip(self._samples, self._products, strict=True)):
            groups[product].append(row)
            if sample.category is not None:
                categories[sample.category].append(row)
        if len(groups) < 2:
            raise ContractError(
                f"expected pictures of two products or more to train on, found {len(self._samples)} pictures of "
                f"{len(groups)} ({options.positives} makes a product); see parent_id and split"
            )
        self._groups = [groups[product] for product in sorted(groups)]
        self._siblings = groups
        self._categories = categories
        self._partners: dict[int, dict[int, float]] = defaultdict(dict)
        for pair in pairs:
            one, other = row_of.get(pair.anchor_item_id), row_of.get(pair.positive_item_id)
            if one is not None and other is not None and one != other:
                weight = max(pair.weight, self._partners[one].get(other, 0.0))
                self._partners[one][other] = self._partners[other][one] = weight
        self._negatives = {
            row_of[anchor]: [row_of[item_id] for item_id in item_ids if item_id in row_of]
            for anchor, item_ids in hard_negatives
            if anchor in row_of
        }
        self._products_a_batch = options.batch_size // (options.views + options.hard_negatives)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every product is an anchor once."""
        return -(-len(self._groups) // self._products_a_batch)

    def batch(self, step: int) -> Batch:
        """Draws the batch of a step, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._options.seed, epoch, _EPOCH_DRAWS]).permutation(len(self._groups))
        # The last batch of an epoch is filled from its beginning.
        places = np.arange(place * self._products_a_batch, (place + 1) * self._products_a_batch) % len(order)
        generator = np.random.default_rng([self._options.seed, step, _BATCH_DRAWS])
        rows: list[int] = []
        for group in order[places]:
            anchor = int(generator.choice(self._groups[group]))
            rows += self._views(anchor, generator)
            rows += self._hard_negatives(anchor, generator)
        weights, related, same_product = self._relations(rows)
        return Batch(
            step=step,
            samples=tuple(self._samples[row] for row in rows),
            positive_weights=weights,
            labels=_components(related),
            same_product=same_product,
            caption_draws=generator.random(len(rows)),
        )

    def _views(self, anchor: int, generator: np.random.Generator) -> list[int]:
        """The anchor and its positives; one that has too few comes again, to be altered in another way."""
        kind = self._samples[anchor].photo_kind
        weights = {
            row: 1.0 if self._samples[row].photo_kind == kind else _OTHER_KIND_FAVOUR
            for row in self._siblings[self._products[anchor]]
        }
        weights |= {row: weight for row, weight in self._partners.get(anchor, {}).items() if row not in weights}
        weights.pop(anchor)
        rows, shares = list(weights), np.array(list(weights.values()))
        wanted = self._options.views - 1
        if not rows:
            return [anchor] * self._options.views
        drawn = generator.choice(rows, size=min(wanted, len(rows)), replace=False, p=shares / shares.sum())
        views = [anchor, *(int(row) for row in drawn)]
        return [views[place % len(views)] for place in range(self._options.views)]

    def _hard_negatives(self, anchor: int, generator: np.random.Generator) -> list[int]:
        wanted = self._options.hard_negatives
        if not wanted:
            return []
        rows = [row for row in self._negatives.get(anchor, ()) if not self._related(anchor, row)]
        if not rows:
            category = self._samples[anchor].category
            others = self._categories[category] if category is not None else range(len(self._samples))
            drawn = generator.integers(len(others), size=8 * wanted)  # a try or two is enough, and a scan too slow
            rows = [others[place] for place in drawn if not self._related(anchor, others[place])]
        if not rows:
            rows = [row for row in range(len(self._samples)) if not self._related(anchor, row)]
        if not rows:
            return [anchor] * wanted  # everything goes with everything: no negative is better than a false one
        return [int(row) for row in generator.choice(rows, size=wanted, replace=len(rows) < wanted)]

    def _related(self, one: int, other: int) -> bool:
        return (
            self._products[one] == self._products[other]
            or self._samples[one].near_duplicate_group == self._samples[other].near_duplicate_group
            or other in self._partners.get(one, {})
        )

    def _relations(self, rows: list[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        products = _codes([self._products[row] for row in rows])
        twins = _codes([self._samples[row].near_duplicate_group for row in rows])
        same_product = products[:, None] == products[None, :]
        alike = same_product | (twins[:, None] == twins[None, :])
        weights = same_product.astype(np.float32)
        places: dict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            places[row].append(place)
        for place, row in enumerate(rows):
            for partner, weight in self._partners.get(row, {}).items():
                for other in places.get(partner, ()):
                    weights[place, other] = max(weights[place, other], weight)
        np.fill_diagonal(weights, 0.0)
        return weights, alike | (weights > 0), alike


def product_of(sample: Sample, *, positives: str) -> str:
    """The product of which a sample is a view: its parent, or its category where categories are what is alike."""
    if positives == "category":
        return sample.category or f"item:{sample.item_id}"
    return sample.parent_id


def _codes(names: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(names, return_inverse=True)[1]


def _components(related: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Labels of the connected components of a symmetric relation: the lowest row of each."""
    labels = np.arange(len(related))
    while True:
        lowest = np.where(related, labels[None, :], len(related)).min(axis=1)
        lowest = np.minimum(labels, lowest)
        if np.array_equal(lowest, labels):
            return labels
        labels = lowest
