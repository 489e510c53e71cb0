"""Where a release begins, and when a candidate is superseded."""

from __future__ import annotations

import pytest

from tests.dags.test_encoders import make_live
from tests.replicas.tiny_release import publish_tiny_release
from vitrine.errors import ReleaseError, StaleGenerationError, UncoveredHeadError
from vitrine.ledger import Ledger
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


@pytest.mark.parametrize("action", ["release", "promote"])
def test_an_action_that_needs_a_release_says_so(action: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from vitrine_airflow.release_actions import first_task

    with pytest.raises(AirflowFailException, match="needs a release_id"):
        first_task(action, release_id=None)


@pytest.mark.parametrize("action", ["pin", "unpin"])
def test_an_action_that_takes_no_release_says_so(action: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from vitrine_airflow.release_actions import first_task

    with pytest.raises(AirflowFailException, match="found release_id release-1; leave it empty"):
        first_task(action, release_id="release-1")


def test_every_action_of_the_form_begins_with_a_task(dag_bag: object) -> None:
    from vitrine_airflow.forms import RELEASE_FORM
    from vitrine_airflow.release_actions import first_task

    dag = dag_bag.dags["demo.release_index"]  # type: ignore[attr-defined]
    begins = {
        first_task(action, release_id=None if action in ("pin", "unpin") else "release-1")
        for action in RELEASE_FORM["action"].schema["enum"]
    }

    assert begins == dag.get_task("choose_action").downstream_task_ids


def test_a_candidate_older_than_the_live_release_is_skipped_and_not_staged(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException
    from vitrine_airflow.release_actions import stage_or_skip

    make_live(ledger, object_store, catalog_id, fingerprint="enc-live")
    ledger.releases.offer(catalog_id=catalog_id, release_id="release-0", head_sequence=2)

    with pytest.raises(AirflowSkipException, match="never moves back"):
        stage_or_skip(settings, catalog_id=catalog_id, approved={"release_id": "release-0", "generation": 1})

    assert catalog_id not in ledger.releases.stagings()


def test_a_candidate_waits_while_the_catalog_is_pinned(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException
    from vitrine_airflow.release_actions import stage_or_skip

    make_live(ledger, object_store, catalog_id, fingerprint="enc-live")
    ledger.releases.set_pin(catalog_id=catalog_id, pinned=True, actor="test", reason="sale")
    ledger.releases.offer(catalog_id=catalog_id, release_id="release-2", head_sequence=9)

    with pytest.raises(AirflowSkipException, match=r"pinned to release-1 \(sale\)"):
        stage_or_skip(settings, catalog_id=catalog_id, approved={"release_id": "release-2", "generation": 1})

    assert catalog_id not in ledger.releases.stagings()


def test_a_release_that_is_live_is_neither_skipped_nor_moved(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    from vitrine_airflow.release_actions import activate_or_skip, stage_or_skip

    make_live(ledger, object_store, catalog_id, fingerprint="enc-live")

    approved = {"release_id": "release-1", "generation": 0}
    staged = stage_or_skip(settings, catalog_id=catalog_id, approved=approved)
    activated = activate_or_skip(settings, catalog_id=catalog_id, approved=staged, actor="test", reason="")

    live = ledger.releases.live(catalog_id)
    assert live is not None and live.generation == activated["generation"] == 1


def test_a_promotion_since_the_gate_fails_the_activation_and_says_what_to_clear(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    from vitrine_airflow.release_actions import activate_or_skip

    candidate = publish_tiny_release(object_store, ledger, catalog_id=catalog_id, head_sequence=9)
    make_live(ledger, object_store, catalog_id, fingerprint="enc-live")  # generation 1; the gate saw none

    with pytest.raises(StaleGenerationError, match=r"expected generation 0, found 1.*Clear gate_release"):
        activate_or_skip(
            settings,
            catalog_id=catalog_id,
            approved={"release_id": candidate.release_id, "generation": 0},
            actor="test",
            reason="",
        )

    assert ledger.releases.live(catalog_id).release_id == "release-1"


def test_clearing_a_failed_verification_releases_again_and_a_retry_does_not(
    settings: Settings, ledger: Ledger, object_store: ObjectStore, catalog_id: str
) -> None:
    from vitrine_airflow.release_actions import verify

    old, new = (publish_tiny_release(object_store, ledger, catalog_id=catalog_id, mark=mark) for mark in ("a", "bb"))
    activation = {"catalog_id": catalog_id, "head_sequence": 1, "actor": "test"}
    for generation, (tiny, action) in enumerate([(old, "release"), (new, "release"), (old, "restore")]):
        ledger.releases.activate(
            **activation, release_id=tiny.release_id, expected_generation=generation, action=action
        )
    ledger.releases.mark_verified(catalog_id=catalog_id, generation=3)
    call = {
        "catalog_id": catalog_id,
        "activated": {"release_id": new.release_id, "generation": 2},
        "actor": "test",
        "reason": "",
    }

    with pytest.raises(ReleaseError, match=f"{old.release_id} was put back, verified and is live"):
        verify(settings, **call, cleared=False)
    with pytest.raises(ReleaseError, match=f"cannot stage release {new.release_id}.*no search replica is alive"):
        verify(settings.model_copy(update={"stage_timeout_s": 0.3}), **call, cleared=True)
    ledger.releases.activate(**activation, release_id="release-z", expected_generation=3, action="promote")
    with pytest.raises(ReleaseError, match=r"live is release-z \(promote\); clear gate_release"):
        verify(settings, **call, cleared=True)

    assert ledger.releases.live(catalog_id).generation == 4


def test_a_partition_that_is_published_while_the_head_is_embedded_is_embedded_too() -> None:
    from vitrine_airflow.embed_head import resolve_covered

    lacking = ["day 1", "day 2"]

    def resolve() -> str:
        if lacking:
            raise UncoveredHeadError(f"{lacking[0]} has no vectors")
        return "set-1"

    embedding_set_id = resolve_covered(resolve, embed=lambda: lacking.pop(0))

    assert (embedding_set_id, lacking) == ("set-1", [])


def test_a_head_that_stays_uncovered_fails_with_what_is_missing() -> None:
    from vitrine_airflow.embed_head import resolve_covered

    def resolve() -> str:
        raise UncoveredHeadError("3 of 9 units have no vectors")

    with pytest.raises(UncoveredHeadError, match="3 of 9"):
        resolve_covered(resolve, embed=lambda: None)


def test_a_day_that_nobody_delivered_is_skipped_with_the_reason(settings: Settings, catalog_id: str) -> None:
    from airflow.sdk.exceptions import AirflowSkipException
    from vitrine_airflow.deliveries import record_or_skip

    from vitrine.catalogs import Catalog, declare_catalog

    declare_catalog(settings.catalogs_file, Catalog(catalog_id=catalog_id))

    with pytest.raises(AirflowSkipException, match="trigger the day again with a source"):
        record_or_skip(settings, catalog_id=catalog_id, dt="2026-11-01", source=None, full=False, provenance={})
