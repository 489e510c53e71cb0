"""The build of one index version, in steps that can each be killed and run again: plan, encode, assemble.

What a step leaves is immutable: the plan and its rows, the quantizer, encoded parts, the version. Each names what it
was made of, so a build goes on from what is there, and the next build takes over what did not change.
"""

from __future__ import annotations

from collections.abc import Mapping

from index_builder.builds.assembly import assemble, assemble_index
from index_builder.builds.encoding import EncodeSummary, encode_missing, encode_parts, needs_encoding, needs_spark
from index_builder.builds.plans import plan_build, settle_plan
from index_builder.builds.versions import find_index_version, read_recall
from vitrine.connections import open_connections
from vitrine.settings import Settings

__all__ = [
    "EncodeSummary",
    "assemble_index",
    "build_index_version",
    "encode_parts",
    "find_index_version",
    "needs_encoding",
    "needs_spark",
    "plan_build",
    "read_recall",
]


def build_index_version(
    settings: Settings,
    *,
    catalog_id: str,
    embedding_set_id: str,
    retrain: bool = False,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Takes all steps of the build of an embedding set's index, one after the other; returns the index version.

    What exists is returned or taken over. Killed at any point, it goes on when run again and ends with the same items
    and recall.

    Args:
        retrain: train a quantizer even where the newest still fits.
        provenance: `dag_id` and `dag_run_id` of the run that asked.

    Raises:
        GateError: the index does not reach the recall target; the message names the best.
        ContractError: the head's rows or their vectors are not what the embedding set says.
    """
    with open_connections(settings) as (object_store, ledger):
        opened = settings, object_store, ledger
        plan_id = settle_plan(*opened, catalog_id=catalog_id, embedding_set_id=embedding_set_id, retrain=retrain)
        encode_missing(*opened, catalog_id=catalog_id, plan_id=plan_id)
        return assemble(*opened, catalog_id=catalog_id, plan_id=plan_id, provenance=provenance)
