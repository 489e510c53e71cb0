"""What a run asks of the next DAG: which run id, under which encoder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def no_runs_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers for Airflow's API, which a task asks through its supervisor: there are no runs and none waits."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", staticmethod(lambda **_: 0))
    monkeypatch.setattr(RuntimeTaskInstance, "get_ti_count", staticmethod(lambda **_: 0))


def triggered(operator: Any, *, map_index: int) -> tuple[str, str, dict[str, str]]:
    from airflow.sdk.exceptions import DagRunTriggerException

    with pytest.raises(DagRunTriggerException) as asked:
        operator.execute({"ti": SimpleNamespace(map_index=map_index)})
    return asked.value.trigger_dag_id, asked.value.dag_run_id, asked.value.conf


@pytest.mark.usefixtures("no_runs_yet")
def test_an_ingest_asks_for_builds_under_the_live_encoder_and_under_the_promoted_one() -> None:
    from vitrine_airflow import TriggerBuild

    asked = [
        triggered(
            TriggerBuild(task_id="trigger_build", catalog_id="demo", head_sequence=7, fingerprint=fingerprint),
            map_index=map_index,
        )
        for map_index, fingerprint in enumerate(["enc-live", "enc-new"])
    ]

    assert asked == [
        ("demo.build_index", "head-7-enc-live", {"encoder": "live", "reason": "head 7"}),
        ("demo.build_index", "head-7-enc-new", {"encoder": "enc-new", "reason": "head 7"}),
    ]


@pytest.mark.usefixtures("no_runs_yet")
def test_each_move_of_the_alias_asks_each_catalog_for_one_build_also_when_it_leads_back() -> None:
    from vitrine_airflow import TriggerPromotedBuild

    asked = [
        triggered(
            TriggerPromotedBuild(
                task_id="trigger_build",
                build={"catalog_id": "demo", "fingerprint": fingerprint, "sequence": sequence},
            ),
            map_index=0,
        )
        for sequence, fingerprint in enumerate(["enc-a", "enc-b", "enc-a"], start=1)
    ]

    assert [run_id for _, run_id, _ in asked] == ["promotion-1-enc-a", "promotion-2-enc-b", "promotion-3-enc-a"]
    assert asked[1] == ("demo.build_index", "promotion-2-enc-b", {"encoder": "enc-b", "reason": "promotion 2"})
