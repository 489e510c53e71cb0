"""Encodes the parts of an index that are not encoded yet; starts no JVM for few of them, nor where there are none."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context

from vitrine_airflow import run
from vitrine_airflow.spark import StageJob


class EncodeParts(StageJob):
    """The encoding of a plan, by spark-submit where it is worth it; returns the plan's id.

    Args:
        catalog_id: whose plan.
        plan_id: as `plan_build` returned it (templated).
    """

    stage = "index_builder"
    template_fields = (*StageJob.template_fields, "plan_id")

    def __init__(self, *, catalog_id: str, plan_id: Any, **kwargs: Any) -> None:
        super().__init__(verb="encode", options={"catalog": catalog_id, "plan": plan_id}, **kwargs)
        self.catalog_id = catalog_id
        self.plan_id = plan_id

    def execute(self, context: Context) -> str:  # type: ignore[override]  # its operator returns nothing
        """Encodes here, or submits the job and waits for it."""
        from index_builder.builds import encode_parts, needs_spark

        plan = {"catalog_id": self.catalog_id, "plan_id": str(self.plan_id)}
        if needs_spark(run.settings(), **plan):
            super().execute(context)
        else:
            encode_parts(run.settings(), **plan)
        return plan["plan_id"]
