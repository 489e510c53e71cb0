"""Triplets of a batch: anchor, positive and a negative that is hard enough to teach something."""

from __future__ import annotations

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner

Triplets = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
# The miner compares all triplets of a block at once: one byte each, 128 MB.
_BLOCK_TRIPLETS = 1 << 27


def mine_triplets(embeddings: torch.Tensor, *, labels: torch.Tensor, margin: float, mining: str) -> Triplets:
    """Returns the rows of anchors, positives and negatives, (n_triplets,), int64 each.

    Semi-hard (Schroff et al. 2015, arXiv:1503.03832, section 3.2): negatives that are farther than the positive and
    within the margin. Hard (Hermans et al. 2017, arXiv:1703.07737, equation 5): for each anchor its farthest positive
    and its nearest negative.

    Args:
        embeddings: (n, dimension), unit L2 norm; gradients are not followed.
        labels: (n,), int64: rows of one label are positives.
        margin: in cosine similarity.
        mining: `semihard`, `hard` or `both`.
    """
    embeddings = embeddings.detach()
    found: list[Triplets] = []
    if mining in ("semihard", "both"):
        found += _semihard(embeddings, labels=labels, margin=margin)
    if mining in ("hard", "both"):
        found.append(BatchHardMiner(distance=CosineSimilarity())(embeddings, labels))
    anchors, positives, negatives = (torch.cat(parts).to(torch.int64) for parts in zip(*found, strict=True))
    return anchors, positives, negatives


def _semihard(embeddings: torch.Tensor, *, labels: torch.Tensor, margin: float) -> list[Triplets]:
    miner = TripletMarginMiner(margin=margin, type_of_triplets="semihard", distance=CosineSimilarity())
    n = len(embeddings)
    rows = max(1, _BLOCK_TRIPLETS // max(1, n * n))
    blocks: list[Triplets] = []
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        anchors, positives, negatives = miner(embeddings[block], labels[block], embeddings, labels)
        anchors = anchors + start
        others = anchors != positives  # with reference embeddings, an anchor is among its own positives
        blocks.append((anchors[others], positives[others], negatives[others]))
    return blocks
