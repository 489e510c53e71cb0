"""What dies or is suspended comes back by itself, under load, and no search fails but those in flight.

The drill of `make drill-services`, on the platform of the other tests and of a few services; `suspended_s` is long,
so that it is the keeper which lets them go on.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from benchmarks.service_drill.trials import ENDS_WITHOUT_POSTGRES, run_trial
from deploy.local.light_load import fetch_queries
from tests.end_to_end.conftest import CATALOG_ID, Released
from tests.platform_fixture import Platform

pytestmark = pytest.mark.timeout(3000)


@pytest.fixture(scope="module")
def bodies(platform: Platform, released: Released) -> list[dict[str, Any]]:
    """Searches of each kind, each answered once."""
    queries = fetch_queries(platform.search_url, CATALOG_ID)
    return [{"catalog": CATALOG_ID, "top_k": 10, **query} for query in queries]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["SIGKILL", "SIGSTOP"])
@pytest.mark.parametrize("target", ["search", "search worker", "mlflow", "postgres"])
def test_a_service_comes_back_by_itself_and_searches_do_not_notice(
    platform: Platform, bodies: list[dict[str, Any]], target: str, number: signal.Signals
) -> None:
    # Seconds are the drill's matter: here the machine may be busy.
    patience = {"limit_s": 600.0, "suspended_s": 600.0, "settled_s": 2.0, "timeout_s": 60.0}
    trial = run_trial(platform.configuration, target, number, bodies=bodies, **patience)

    assert trial.sent > 0
    assert trial.healthy_s is not None
    assert trial.failed <= trial.may_fail
    may_end = ENDS_WITHOUT_POSTGRES if target == "postgres" else set[str]()
    assert set(trial.restarted) <= may_end
