"""One run triggers the next by a run id made from what it works on, so that racing triggers are one run."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from vitrine_airflow import airflow_runs
from vitrine_airflow.turns import promoted_run_id

# A waiting build takes every head along that is published while it waits; it is looked for among this many before.
_HEADS_BACK = 100
_NOT_BEGUN = ["null", "scheduled", "queued", "running", "deferred", "up_for_retry", "up_for_reschedule"]


class _TriggerById(TriggerDagRunOperator):
    """Triggers a run unless it is there; one that is there and failed runs again."""

    def __init__(self, *, trigger_dag_id: str, **kwargs: Any) -> None:
        super().__init__(
            trigger_dag_id=trigger_dag_id,
            logical_date=None,
            skip_when_already_exists=True,
            openlineage_inject_parent_info=False,
            **kwargs,
        )

    def execute(self, context: Context) -> None:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        self.reset_dag_run = (
            RuntimeTaskInstance.get_dr_count(
                dag_id=self.trigger_dag_id, run_ids=[str(self.trigger_run_id)], states=["failed"]
            )
            > 0
        )
        super().execute(context)


class TriggerBuild(_TriggerById):
    """Asks for a build of the head, unless one that still waits for ingests will take the head along.

    Args:
        catalog_id: whose head.
        head_sequence: that this run has published (templated).
        fingerprint: that this run has embedded under; mapped over all of them, of which the first is the live
            encoder's, or the champion's, and another that of a promotion under way (templated).
    """

    template_fields = (*TriggerDagRunOperator.template_fields, "head_sequence", "fingerprint")

    def __init__(self, *, catalog_id: str, head_sequence: Any, fingerprint: Any, **kwargs: Any) -> None:
        super().__init__(trigger_dag_id=f"{catalog_id}.build_index", **kwargs)
        self.head_sequence = head_sequence
        self.fingerprint = fingerprint

    def execute(self, context: Context) -> None:
        """Triggers, or skips with the reason."""
        head_sequence, fingerprint = int(self.head_sequence), str(self.fingerprint)
        earlier = range(max(1, head_sequence - _HEADS_BACK), head_sequence)
        run_ids = [build_run_id(head, fingerprint) for head in earlier]
        if airflow_runs.count_tasks(self.trigger_dag_id, "wait_for_ingest", run_ids, states=_NOT_BEGUN):
            raise AirflowSkipException(
                f"a build of an earlier head still waits for ingests; it will take head {head_sequence} along"
            )
        self.trigger_run_id = build_run_id(head_sequence, fingerprint)
        # `live` and not the fingerprint: while the build waits, another encoder may become the live one.
        encoder = "live" if context["ti"].map_index in (-1, 0) else fingerprint
        self.conf = {"encoder": encoder, "reason": f"head {head_sequence}"}
        super().execute(context)


class TriggerPromotedBuild(_TriggerById):
    """Asks for the build of a catalog under an encoder that was promoted; one move of the alias asks once.

    Args:
        build: catalog_id, fingerprint and sequence, as `accept_promotion` returns them (templated).
    """

    template_fields = (*TriggerDagRunOperator.template_fields, "build")

    def __init__(self, *, build: Any, **kwargs: Any) -> None:
        super().__init__(trigger_dag_id="build_index", **kwargs)
        self.build = build

    def execute(self, context: Context) -> None:
        """Triggers, or skips when the move has asked for it before."""
        sequence, fingerprint = int(self.build["sequence"]), str(self.build["fingerprint"])
        self.trigger_dag_id = f"{self.build['catalog_id']}.build_index"
        self.trigger_run_id = promoted_run_id(sequence, fingerprint)
        self.conf = {"encoder": fingerprint, "reason": f"promotion {sequence}"}
        super().execute(context)


class TriggerRelease(_TriggerById):
    """Asks for the release of what this run has built.

    Args:
        catalog_id: whose release.
        release_id: of the candidate (templated).
    """

    template_fields = (*TriggerDagRunOperator.template_fields, "release_id")

    def __init__(self, *, catalog_id: str, release_id: Any, **kwargs: Any) -> None:
        super().__init__(trigger_dag_id=f"{catalog_id}.release_index", **kwargs)
        self.release_id = release_id

    def execute(self, context: Context) -> None:
        """Triggers, or skips when this build has triggered it before."""
        build = context["dag_run"].run_id
        self.trigger_run_id = f"{self.release_id}__{build}"
        self.conf = {"action": "release", "release_id": self.release_id, "reason": f"built by {build}"}
        super().execute(context)


def build_run_id(head_sequence: int, fingerprint: str) -> str:
    """Returns the run id of the build of a head under an encoder."""
    return f"head-{head_sequence}-{fingerprint[:40]}"
