"""One batch over all processes: embeddings are gathered, and gradients go back to where they came from."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Joins the rows of all processes in the order of their ranks, with gradients.

    Every process then computes the same loss over the whole batch, so that the gradient of its own rows is already
    whole: nothing is sent back. It is multiplied by the number of processes, since DistributedDataParallel divides the
    sum of gradients by that number; parameters that are used after the gathering need no such correction.

    Args:
        rows: (n, dimension), the same shape in each process.

    Returns:
        (processes * n, dimension); `rows` itself when there is one process.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    return _Gathered.apply(rows)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        ctx.n = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        start = dist.get_rank() * ctx.n
        return gradients[0][start : start + ctx.n] * dist.get_world_size()
