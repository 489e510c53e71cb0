"""What a training minimises: a weighted sum of a visual triplet loss, image-text InfoNCE and a self-supervised one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.reducers import DoNothingReducer

from training.data.batches import Batch
from training.objectives.losses import symmetric_info_nce
from training.objectives.triplet_mining import mine_triplets
from training.options import TrainingOptions


@dataclass(frozen=True)
class Relations:
    """What a batch says of its n rows, on the device; see `training.data.batches.Batch`.

    Attributes:
        positive_weights: (n, n), float32.
        labels: (n,), int64.
        described: (n, n), bool: the text of the row is true of the column's picture; rows without a text have none.
        unclear: (n, n), bool: whether it is true is not known.
        untold: (n,), bool: rows without a text.
    """

    positive_weights: torch.Tensor
    labels: torch.Tensor
    described: torch.Tensor
    unclear: torch.Tensor
    untold: torch.Tensor

    @classmethod
    def of(cls, batch: Batch, *, captions: list[str], device: torch.device) -> Relations:
        """Moves the relations of a batch; rows of one caption describe each other's pictures."""
        labels = torch.from_numpy(batch.labels).to(device)
        codes: dict[str, int] = {}
        texts = torch.tensor([codes.setdefault(caption, len(codes)) for caption in captions], device=device)
        untold = torch.tensor([not caption for caption in captions], device=device)
        described = torch.from_numpy(batch.same_product).to(device) | (texts[:, None] == texts[None, :])
        return cls(
            positive_weights=torch.from_numpy(batch.positive_weights).to(device),
            labels=labels,
            described=described & ~untold[:, None],
            unclear=labels[:, None] == labels[None, :],
            untold=untold,
        )


@dataclass(frozen=True)
class Embeddings:
    """The global batch, embedded: (n, dimension), float32, unit L2 norm each.

    Attributes:
        images: in the shared space.
        visual: what the visual losses see: the same, or what the projection head makes of it.
        texts: None when texts do not count.
        altered_again: like `visual`, of other augmentations; None when they do not count.
        scale: the inverse temperature of the image-text loss, a scalar.
    """

    images: torch.Tensor
    visual: torch.Tensor
    texts: torch.Tensor | None
    altered_again: torch.Tensor | None
    scale: torch.Tensor


@dataclass(frozen=True)
class Losses:
    """The sum that is minimised, and its parts before weighting; a part that is off is None."""

    total: torch.Tensor
    triplet: torch.Tensor | None
    infonce: torch.Tensor | None
    self_supervised: torch.Tensor | None


def losses_of(embeddings: Embeddings, relations: Relations, *, options: TrainingOptions) -> Losses:
    """Computes every loss that the options switch on, in float32."""
    triplet = infonce = self_supervised = None
    total = embeddings.images.new_zeros(())
    if options.uses_triplets:
        triplet = triplet_loss(embeddings.visual, relations, margin=options.margin, mining=options.mining)
        total = total + options.triplet_weight * triplet
    if options.uses_texts and embeddings.texts is not None:
        infonce = symmetric_info_nce(
            embeddings.texts,
            embeddings.images,
            positives=relations.described,
            # A row without a text is a picture of which no text is known: it may stand as a negative of others' texts.
            ignored=relations.unclear | relations.untold[:, None],
            scale=embeddings.scale,
        )
        total = total + options.infonce_weight * infonce
    if embeddings.altered_again is not None:
        self_supervised = self_supervised_loss(
            embeddings.visual, embeddings.altered_again, relations, temperature=options.self_supervised_temperature
        )
        total = total + options.self_supervised_weight * self_supervised
    return Losses(total=total, triplet=triplet, infonce=infonce, self_supervised=self_supervised)


def triplet_loss(visual: torch.Tensor, relations: Relations, *, margin: float, mining: str) -> torch.Tensor:
    """The mean of max(0, s(anchor, negative) - s(anchor, positive) + margin) over the mined triplets that cost.

    Equation 1 of Schroff et al. 2015 (arXiv:1503.03832) with cosine similarities in place of squared distances; each
    triplet counts by the weight of its pair. Triplets of which the pair is no positive are left out.

    Args:
        visual: (n, dimension), unit L2 norm.
        margin: in cosine similarity.

    Returns:
        A scalar; 0 when nothing costs.
    """
    anchors, positives, negatives = mine_triplets(visual, labels=relations.labels, margin=margin, mining=mining)
    weights = relations.positive_weights[anchors, positives]
    known = weights > 0
    triplets = (anchors[known], positives[known], negatives[known])
    if not len(triplets[0]):
        return visual.sum() * 0.0  # it keeps the graph whole: every process needs a gradient
    loss = TripletMarginLoss(margin=margin, distance=CosineSimilarity(), reducer=DoNothingReducer())
    each = loss(visual, indices_tuple=triplets)["loss"]["losses"]
    counted = weights[known] * (each > 0)
    return (each * counted).sum() / counted.sum().clamp(min=torch.finfo(torch.float32).tiny)


def self_supervised_loss(
    visual: torch.Tensor, altered_again: torch.Tensor, relations: Relations, *, temperature: float
) -> torch.Tensor:
    """InfoNCE between two augmentations of each picture (Chen et al. 2020, arXiv:2002.05709, equation 1, across views).

    Other pictures of one label are neither positives nor negatives.
    """
    itself = torch.eye(len(visual), dtype=torch.bool, device=visual.device)
    return symmetric_info_nce(
        visual, altered_again, positives=itself, ignored=relations.unclear, scale=1.0 / temperature
    )
