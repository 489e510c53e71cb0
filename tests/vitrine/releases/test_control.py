"""Release, verify, restore, roll back, pin: each ends the same when it is killed and run again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete

from tests.free_ports import free_port
from tests.replicas.tiny_release import TinyRelease
from tests.waiting import wait_for
from vitrine.errors import LedgerError, ReleaseError, StaleCandidateError, StaleGenerationError, StorageError
from vitrine.ledger.database import Database
from vitrine.ledger.live_pointers import Action
from vitrine.ledger.tables import replicas
from vitrine.releases.activation import activate_release, live_generation, read_release
from vitrine.releases.control import (
    earlier_releases,
    pin,
    promote,
    release_or_restore,
    roll_back,
    rollback_target,
    unpin,
)
from vitrine.releases.staging import stage_release
from vitrine.releases.verification import verify_or_restore, verify_release

Publish = Callable[..., TinyRelease]
ROOT = Path(__file__).resolve().parents[3]


def _go_live(tier, tiny: TinyRelease) -> int:
    return release_or_restore(
        tier.store,
        tier.ledger,
        catalog_id=tiny.catalog_id,
        release_id=tiny.release_id,
        expected_generation=live_generation(tier.settings, catalog_id=tiny.catalog_id),
        action="release",
        actor="test",
        stage_timeout_s=tier.settings.stage_timeout_s,
    )


def _activate(tier, tiny: TinyRelease, *, generation: int | None = None, action: Action = "release") -> int:
    if generation is None:
        generation = live_generation(tier.settings, catalog_id=tiny.catalog_id)
    return activate_release(
        tier.settings,
        catalog_id=tiny.catalog_id,
        release_id=tiny.release_id,
        expected_generation=generation,
        action=action,
        actor="test",
    )


def test_releasing_again_changes_nothing(tier, catalog_id, publish: Publish) -> None:
    first = publish("first")
    generation = _go_live(tier, first)

    again = _go_live(tier, first)

    assert again == generation == 1
    assert len(tier.ledger.releases.history(catalog_id)) == 1


def test_an_entry_point_opens_the_ledger_once_however_often_it_asks(
    tier, catalog_id, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = publish("first"), publish("second")
    promote(tier.settings, catalog_id=catalog_id, release_id=first.release_id, actor="test")
    opened: list[Database] = []
    open_database = Database.__init__

    def counted(database: Database, *arguments: object, **values: object) -> None:
        opened.append(database)
        open_database(database, *arguments, **values)

    monkeypatch.setattr(Database, "__init__", counted)

    promote(tier.settings, catalog_id=catalog_id, release_id=second.release_id, actor="test")
    roll_back(tier.settings, catalog_id=catalog_id, actor="test")

    assert len(opened) == 2


def test_a_promotion_ends_when_a_release_of_its_encoder_is_verified(tier, catalog_id, publish: Publish) -> None:
    promoted = publish("promoted")
    fingerprint = read_release(tier.store, catalog_id, promoted.release_id).fingerprint
    promotion = tier.ledger.promotions.observe(model_version=f"of-{catalog_id}", observed_by="poll")
    tier.ledger.promotions.accept(promotion.sequence, fingerprint=fingerprint, catalog_ids=[catalog_id, "another"])

    _go_live(tier, promoted)

    assert tier.ledger.promotions.under_way(catalog_id) is None
    assert tier.ledger.promotions.under_way("another") is not None


def test_moving_the_alias_back_takes_the_same_release_live_again_and_none_of_the_encoder_it_left(
    tier, catalog_id, publish: Publish
) -> None:
    old, new = publish("old", dimension=16), publish("new", dimension=8)
    late = publish("late", dimension=8, head_sequence=1_000)
    for version, tiny in (("old", old), ("new", new), ("old", old)):
        fingerprint = read_release(tier.store, catalog_id, tiny.release_id).fingerprint
        promotion = tier.ledger.promotions.observe(model_version=f"{version}-{catalog_id}", observed_by="poll")
        tier.ledger.promotions.accept(promotion.sequence, fingerprint=fingerprint, catalog_ids=[catalog_id])
        tier.ledger.releases.offer(catalog_id=catalog_id, release_id=tiny.release_id, head_sequence=promotion.sequence)
        _go_live(tier, tiny)

    with pytest.raises(StaleCandidateError, match="neither the live one nor the last promoted"):
        activate_release(
            tier.settings,
            catalog_id=catalog_id,
            release_id=late.release_id,
            expected_generation=3,
            actor="a late build",
        )

    assert tier.live(catalog_id) == tier.served(catalog_id) == old.release_id
    assert [row.state for row in tier.ledger.promotions.catalogs_of(promotion.sequence)] == ["released"]


def test_a_release_cut_short_at_any_step_ends_the_same_when_run_again(tier, catalog_id, publish: Publish) -> None:
    steps = [publish(mark) for mark in ("after staging", "after activation")]
    stage_release(tier.settings, catalog_id=catalog_id, release_id=steps[0].release_id)

    _go_live(tier, steps[0])
    stage_release(tier.settings, catalog_id=catalog_id, release_id=steps[1].release_id)
    _activate(tier, steps[1])
    _go_live(tier, steps[1])

    assert tier.served(catalog_id) == steps[1].release_id
    assert len(tier.ledger.releases.history(catalog_id)) == 2
    assert catalog_id not in tier.ledger.releases.stagings()


def test_a_failed_verification_puts_the_old_release_back_and_fails(tier, catalog_id, publish: Publish) -> None:
    first, second = publish("first"), publish("second")
    _go_live(tier, first)
    pin(tier.settings, catalog_id=catalog_id, actor="test", reason="sale day")
    stage_release(tier.settings, catalog_id=catalog_id, release_id=second.release_id)
    generation = _activate(tier, second, action="promote")
    tier.ledger.releases.request_staging(catalog_id=catalog_id, release_id="another")  # hides nothing
    verify_release(tier.store, tier.ledger, catalog_id=catalog_id, release_id=second.release_id)
    ghost = f"http://127.0.0.1:{free_port()}"
    tier.ledger.replicas.heartbeat(replica_id="ghost", url=ghost)

    with pytest.raises(ReleaseError, match=f"{ghost}.*{first.release_id} was put back"):
        verify_or_restore(
            tier.settings,
            catalog_id=catalog_id,
            release_id=second.release_id,
            generation=generation,
            actor="test",
            timeout_s=0.5,
            restored_timeout_s=0.5,
        )

    with tier.ledger.database.transaction() as connection:
        connection.execute(delete(replicas).where(replicas.c.replica_id == "ghost"))
    assert tier.live(catalog_id) == first.release_id
    verify_release(tier.store, tier.ledger, catalog_id=catalog_id, release_id=first.release_id)
    assert tier.ledger.releases.history(catalog_id)[0]["action"] == "restore"
    assert tier.ledger.releases.live(catalog_id).pin_reason == "sale day"
    tier.ledger.releases.clear_staging(catalog_id, release_id="another")


def test_what_was_promoted_since_the_gate_is_not_overwritten(tier, catalog_id, publish: Publish) -> None:
    first, promoted, candidate = publish("first"), publish("promoted"), publish("candidate")
    judged_against = _activate(tier, first)
    _activate(tier, promoted, action="promote")

    with pytest.raises(StaleGenerationError, match="decide again"):
        _activate(tier, candidate, generation=judged_against)

    assert tier.live(catalog_id) == promoted.release_id


def test_only_the_activation_that_failed_is_taken_back(tier, catalog_id, publish: Publish) -> None:
    first, second, third = publish("first"), publish("second"), publish("third")
    _activate(tier, first)
    generation = _activate(tier, second)
    _activate(tier, third, action="promote")

    with pytest.raises(ReleaseError, match=f"live is {third.release_id}.*came after"):
        verify_or_restore(
            tier.settings, catalog_id=catalog_id, release_id=second.release_id, generation=generation, actor="test"
        )

    assert tier.live(catalog_id) == third.release_id


def test_only_what_the_gate_approved_is_released_and_never_something_older(tier, catalog_id, publish: Publish) -> None:
    newer, older = publish("newer", head_sequence=1_000), publish("older", head_sequence=4)
    unjudged = publish("unjudged", head_sequence=6, approved=False)
    _activate(tier, newer)

    with pytest.raises(StaleCandidateError):
        _activate(tier, older)
    with pytest.raises(ReleaseError, match="approved by the gate, found offered"):
        _activate(tier, unjudged)

    assert tier.live(catalog_id) == newer.release_id


def test_a_rollback_goes_back_pins_and_goes_further_back(tier, catalog_id, publish: Publish) -> None:
    releases = [publish(mark) for mark in ("one", "two", "three")]
    for tiny in releases:
        _go_live(tier, tiny)

    first_back = roll_back(tier.settings, catalog_id=catalog_id, actor="test", reason="worse")
    served = tier.served(catalog_id)
    second_back = roll_back(tier.settings, catalog_id=catalog_id, actor="test")

    assert (first_back.release_id, served) == (releases[1].release_id,) * 2
    assert second_back.release_id == tier.served(catalog_id) == releases[0].release_id
    assert tier.ledger.releases.live(catalog_id).pinned
    with pytest.raises(LedgerError, match="pinned"):
        _activate(tier, releases[2])
    with pytest.raises(ReleaseError, match="no release before"):
        roll_back(tier.settings, catalog_id=catalog_id, actor="test")


def test_a_store_that_is_away_during_verification_takes_nothing_back(tier, catalog_id, publish: Publish) -> None:
    first, second = publish("first"), publish("second")
    _go_live(tier, first)
    stage_release(tier.settings, catalog_id=catalog_id, release_id=second.release_id)
    generation = _activate(tier, second)
    away = tier.settings.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{free_port()}", "s3_timeout_s": 1.0})

    with pytest.raises(StorageError):
        verify_or_restore(
            away,
            catalog_id=catalog_id,
            release_id=second.release_id,
            generation=generation,
            actor="test",
            timeout_s=0.5,
        )

    live = tier.ledger.releases.live(catalog_id)
    assert (live.release_id, live.verified) == (second.release_id, False)


def test_a_rollback_whose_target_was_settled_goes_back_once_however_often_it_is_run(
    tier, catalog_id, publish: Publish
) -> None:
    first, second, third = publish("first"), publish("second"), publish("third")
    for tiny in (first, second, third):
        _go_live(tier, tiny)
    target = rollback_target(tier.settings, catalog_id=catalog_id)

    for _ in range(2):
        roll_back(tier.settings, catalog_id=catalog_id, actor="test", release_id=target)

    live = tier.ledger.releases.live(catalog_id)
    assert (live.release_id, live.pinned) == (second.release_id, True)


def test_a_rollback_cut_short_is_finished_not_repeated(tier, catalog_id, publish: Publish) -> None:
    first, second = publish("first"), publish("second")
    for tiny in (first, second):
        _go_live(tier, tiny)
    stage_release(tier.settings, catalog_id=catalog_id, release_id=first.release_id)
    generation = _activate(tier, first, action="rollback")

    finished = roll_back(tier.settings, catalog_id=catalog_id, actor="test")

    assert (finished.release_id, finished.generation) == (first.release_id, generation)
    assert tier.served(catalog_id) == first.release_id


def test_a_promotion_makes_anything_live_unpins_and_accepts_its_encoder(tier, catalog_id, publish: Publish) -> None:
    first, refused = publish("first"), publish("refused", approved=False)
    _go_live(tier, first)
    pin(tier.settings, catalog_id=catalog_id, actor="test", reason="a quiet weekend")
    fingerprint = f"external-{catalog_id}-16"
    tier.ledger.releases.refuse_encoder(catalog_id=catalog_id, fingerprint=fingerprint, reason="worse")

    promote(tier.settings, catalog_id=catalog_id, release_id=refused.release_id, actor="test")

    assert tier.served(catalog_id) == refused.release_id
    assert not tier.ledger.releases.live(catalog_id).pinned
    assert tier.ledger.releases.refused_encoders(catalog_id) == {}


def test_promoting_an_old_release_outlives_the_build_that_was_running_and_shows(
    tier, catalog_id, publish: Publish
) -> None:
    first, second = publish("first"), publish("second", head_sequence=2)
    for tiny in (first, second):
        _go_live(tier, tiny)
    built = publish("built while a person promoted", head_sequence=3)

    promote(tier.settings, catalog_id=catalog_id, release_id=first.release_id, actor="test", reason="wrong prices")

    with pytest.raises(LedgerError, match="is pinned"):
        _go_live(tier, built)
    assert tier.served(catalog_id) == first.release_id
    live = tier.ledger.releases.live(catalog_id)
    assert live.pin_reason == "promoted by hand though it was built at head 1, and the head is 3: wrong prices"
    _shows_pin(tier, catalog_id, pinned=True)
    unpin(tier.settings, catalog_id=catalog_id, actor="test")
    _shows_pin(tier, catalog_id, pinned=False)


def test_promoting_what_is_live_already_pins_once_the_head_has_moved_on(tier, catalog_id, publish: Publish) -> None:
    first = publish("first")
    _go_live(tier, first)
    publish("coming", head_sequence=2)

    promote(tier.settings, catalog_id=catalog_id, release_id=first.release_id, actor="test", reason="not today")

    assert tier.ledger.releases.live(catalog_id).pinned
    assert len(tier.ledger.releases.history(catalog_id)) == 1


def test_a_promotion_that_was_cut_short_keeps_the_pin_that_it_was_given(tier, catalog_id, publish: Publish) -> None:
    newest = publish("newest")
    stage_release(tier.settings, catalog_id=catalog_id, release_id=newest.release_id)
    _activate(tier, newest, action="promote")
    publish("of the next day", head_sequence=2)

    promote(tier.settings, catalog_id=catalog_id, release_id=newest.release_id, actor="test")

    assert not tier.ledger.releases.live(catalog_id).pinned


def _shows_pin(tier, catalog_id: str, *, pinned: bool) -> None:
    """Waits until both workers and the metrics say so."""

    def seen() -> tuple[bool, bool]:
        answers = {tier.replica.get("/v1/release", catalog=catalog_id).json()["pinned"] for _ in range(8)}
        line = f'vitrine_search_release_pinned{{catalog="{catalog_id}"}} {float(pinned)}'
        return answers == {pinned}, all(line in tier.replica.get("/metrics").text for _ in range(8))

    wait_for(lambda: seen() == (True, True), what=f"pinned: {pinned}")


def test_what_was_rolled_back_from_or_restored_over_is_never_gone_back_to() -> None:
    def history(*steps: tuple[str, str]) -> list[dict[str, str]]:
        return [{"action": action, "release_id": release_id} for action, release_id in reversed(steps)]

    released = [("release", "a"), ("release", "b"), ("release", "c")]

    assert earlier_releases(history(*released)) == ["a", "b"]
    assert earlier_releases(history(*released, ("rollback", "b"))) == ["a"]
    assert earlier_releases(history(*released, ("restore", "b"), ("release", "d"))) == ["a", "b"]
    assert earlier_releases(history(*released, ("rollback", "a"), ("promote", "c"))) == ["a"]
    assert earlier_releases(history(("release", "a"))) == []


def test_the_commands_pin_show_and_unpin(tier, catalog_id, publish: Publish) -> None:
    tiny = publish("first")
    _go_live(tier, tiny)

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "serving", *arguments],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", **tier.settings.to_environment()},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    promoted = command("promote", "--catalog", catalog_id, "--release-id", tiny.release_id, "--actor", "test")
    publish("of the next day", head_sequence=2)
    kept = command("promote", "--catalog", catalog_id, "--release-id", tiny.release_id, "--actor", "test")
    pinned = command("pin", "--catalog", catalog_id, "--reason", "sale day", "--actor", "test")
    status = command("status", "--catalog", catalog_id)

    assert "pinned" not in promoted
    assert "pinned, promoted by hand though it was built at head 1, and the head is 2; no release goes live" in kept
    assert "pinned" in pinned
    assert tiny.release_id in status
    assert "pinned: sale day" in status
    assert "serving" in status
    unpin(tier.settings, catalog_id=catalog_id, actor="test")
    assert not tier.ledger.releases.live(catalog_id).pinned
