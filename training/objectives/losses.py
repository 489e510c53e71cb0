"""Contrastive losses over unit vectors; scores are cosine similarities."""

from __future__ import annotations

import torch


def info_nce(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    *,
    positives: torch.Tensor,
    scale: torch.Tensor | float,
    ignored: torch.Tensor | None = None,
) -> torch.Tensor:
    """InfoNCE with one or more positives for each query: the mean of -log softmax over them.

    With one positive it is equation 4 of van den Oord et al. 2018 (arXiv:1807.03748); with several, L_out of Khosla
    et al. 2020 (arXiv:2004.11362), equation 2. Rows without a positive are left out.

    Args:
        queries: (n_queries, dimension), unit L2 norm.
        candidates: (n_candidates, dimension), unit L2 norm.
        positives: (n_queries, n_candidates), bool.
        scale: the inverse temperature.
        ignored: (n_queries, n_candidates), bool: neither positives nor negatives.

    Returns:
        A scalar; 0 when no row has a positive.
    """
    kept = positives.any(dim=1)  # left out first: a row of which all is ignored has no softmax, and NaN as its gradient
    positives = positives[kept]
    scores = queries[kept] @ candidates.T * scale  # (n_kept, n_candidates)
    if ignored is not None:
        scores = scores.masked_fill(ignored[kept] & ~positives, -torch.inf)
    log_shares = torch.log_softmax(scores, dim=1).masked_fill(~positives, 0.0)
    each = -log_shares.sum(dim=1) / positives.sum(dim=1)
    return each.sum() / max(1, len(each))


def symmetric_info_nce(
    first: torch.Tensor,
    second: torch.Tensor,
    *,
    positives: torch.Tensor,
    scale: torch.Tensor | float,
    ignored: torch.Tensor | None = None,
) -> torch.Tensor:
    """The mean of InfoNCE in both directions, as in CLIP (Radford et al. 2021, figure 3)."""
    ignored_back = None if ignored is None else ignored.T
    forth = info_nce(first, second, positives=positives, scale=scale, ignored=ignored)
    back = info_nce(second, first, positives=positives.T, scale=scale, ignored=ignored_back)
    return (forth + back) / 2
