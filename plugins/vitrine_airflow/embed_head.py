"""Embeds what a head lacks under an encoder, until an embedding set covers it; starts no JVM when it lacks nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk import Context

from vitrine.errors import UncoveredHeadError
from vitrine_airflow import run
from vitrine_airflow.spark import SparkJob

_MOST_JOBS = 5


class EmbedHead(SparkJob):
    """The `embed` job over the whole head, as often as partitions are published meanwhile; returns the embedding set.

    One task does both: read apart, the head that is resolved could be newer than the one that was embedded.
    """

    def __init__(self, *, catalog_id: str, fingerprint: Any, **kwargs: Any) -> None:
        super().__init__(verb="embed", options={"catalog": catalog_id, "head": True}, fingerprint=fingerprint, **kwargs)
        self.catalog_id = catalog_id

    def execute(self, context: Context) -> str:  # type: ignore[override]  # its operator returns nothing
        """Resolves the head, and submits the job as long as it has units without a block."""
        from index_builder.coverage import resolve_head

        return resolve_covered(
            lambda: resolve_head(run.settings(), catalog_id=self.catalog_id, fingerprint=str(self.fingerprint)),
            embed=lambda: super(EmbedHead, self).execute(context),
        )


def resolve_covered(resolve: Callable[[], str], *, embed: Callable[[], None]) -> str:
    """Returns what `resolve` returns; as long as it says that the head is not covered, embeds and asks again.

    Raises:
        UncoveredHeadError: partitions were published during each of several jobs, or a job left units out.
    """
    for _ in range(_MOST_JOBS):
        try:
            return resolve()
        except UncoveredHeadError:
            embed()
    return resolve()
