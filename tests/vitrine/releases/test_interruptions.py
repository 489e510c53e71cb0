"""The release protocol stopped after each of its writes to the ledger, and run again: it ends in the same state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.replicas.tiny_release import TinyRelease
from vitrine.contracts.releases import Release
from vitrine.errors import ReleaseError
from vitrine.ledger.releases import Releases
from vitrine.releases.activation import activate_release, live_generation
from vitrine.releases.control import promote, release_or_restore
from vitrine.releases.staging import stage_release
from vitrine.releases.verification import verify_or_restore
from vitrine.storage import keys

Publish = Callable[..., TinyRelease]
READS = {"candidate", "live", "all_live", "history", "stagings", "refused_encoders"}
WRITES = sorted(name for name in vars(Releases) if not name.startswith("_") and name not in READS)
MOST_WRITES = 12


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the protocol may catch it."""


@dataclass(frozen=True)
class End:
    """What the ledger says at the end, and what the tier answers from."""

    live: str | None
    verified: bool
    pin: tuple[bool, str]
    staged: bool
    refused: tuple[str, ...]
    served: str
    actions: tuple[str, ...]


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Kills the protocol after its n-th write from now on; None lets it run."""
    left: list[int | None] = [None]

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def then_die(*arguments: Any, **values: Any) -> Any:
            written = write(*arguments, **values)
            if left[0] is not None:
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
            return written

        return then_die

    for name in WRITES:
        monkeypatch.setattr(Releases, name, counted(getattr(Releases, name)))

    def stop_after(writes: int | None) -> None:
        left[0] = writes

    return stop_after


def test_the_writes_are_those_that_the_protocol_makes() -> None:
    assert {"request_staging", "activate", "mark_verified", "clear_staging", "set_pin", "accept_encoder"} <= set(WRITES)


def test_a_promotion_stopped_after_any_write_ends_the_same(tier, catalog_id, publish: Publish, stop_after) -> None:
    def prepare() -> None:
        fingerprint = f"external-{catalog_id}-16"
        tier.ledger.releases.refuse_encoder(catalog_id=catalog_id, fingerprint=fingerprint, reason="worse")
        if tier.live(catalog_id):
            tier.ledger.releases.set_pin(catalog_id=catalog_id, pinned=True, actor="test", reason="before")

    ends = _ends(
        tier,
        publish,
        stop_after,
        lambda tiny: promote(tier.settings, catalog_id=catalog_id, release_id=tiny.release_id, actor="test"),
        prepare=prepare,
    )

    assert len(ends) >= 6
    for tiny, end in ends:
        assert end == End(tiny.release_id, True, (False, ""), False, (), tiny.release_id, ("promote",)), end


def test_a_restoration_stopped_after_any_write_ends_the_same(tier, catalog_id, publish: Publish, stop_after) -> None:
    good = publish("good")
    _go_live(tier, good, expected_generation=0)
    tier.ledger.releases.set_pin(catalog_id=catalog_id, pinned=True, actor="test", reason="sale day")
    stopped = True
    writes = 0
    while stopped:
        writes += 1
        assert writes < MOST_WRITES
        bad = publish(f"bad {writes}")
        stage_release(tier.settings, catalog_id=catalog_id, release_id=bad.release_id)
        generation = activate_release(
            tier.settings,
            catalog_id=catalog_id,
            release_id=bad.release_id,
            expected_generation=live_generation(tier.settings, catalog_id=catalog_id),
            action="promote",
            actor="test",
        )
        _break(tier, bad)
        verify = {
            "catalog_id": catalog_id,
            "release_id": bad.release_id,
            "generation": generation,
            "actor": "test",
            "timeout_s": 0.5,  # for what must fail; what is put back has as long as it takes
        }

        stop_after(writes)
        stopped = False
        try:
            verify_or_restore(tier.settings, **verify)
        except Killed:
            stopped = True
        except ReleaseError as error:
            assert f"{good.release_id} was put back, verified and is live" in str(error)
        stop_after(None)
        if stopped:
            with pytest.raises(ReleaseError, match=f"{good.release_id} was put back, verified and is live"):
                verify_or_restore(tier.settings, **verify)

        expected = ("restore", "promote")
        end = _end(tier, catalog_id, actions=2)
        assert end == End(good.release_id, True, (True, "sale day"), False, (), good.release_id, expected), end
    assert writes >= 4


def _ends(
    tier,
    publish: Publish,
    stop_after: Callable[[int | None], None],
    act: Callable[[TinyRelease], object],
    *,
    prepare: Callable[[], object] = lambda: None,
) -> list[tuple[TinyRelease, End]]:
    """Acts on release after release, stopped after one more write each time until it is not, and run again."""
    ends = []
    stopped = True
    while stopped:
        writes = len(ends) + 1
        assert writes < MOST_WRITES
        tiny = publish(f"release {writes}")
        prepare()
        stop_after(writes)
        stopped = False
        try:
            act(tiny)
        except Killed:
            stopped = True
        stop_after(None)
        if stopped:
            act(tiny)
        ends.append((tiny, _end(tier, tiny.catalog_id, actions=1)))
        before = len(tier.ledger.releases.history(tiny.catalog_id))
        assert before == len(ends), "an activation was made twice"
        if tier.ledger.releases.live(tiny.catalog_id).pinned:
            tier.ledger.releases.set_pin(catalog_id=tiny.catalog_id, pinned=False, actor="test", reason="")
    return ends


def _end(tier, catalog_id: str, *, actions: int) -> End:
    live = tier.ledger.releases.live(catalog_id)
    return End(
        live=live.release_id,
        verified=live.verified,
        pin=(live.pinned, live.pin_reason),
        staged=catalog_id in tier.ledger.releases.stagings(),
        refused=tuple(tier.ledger.releases.refused_encoders(catalog_id)),
        served=tier.served(catalog_id),
        actions=tuple(entry["action"] for entry in tier.ledger.releases.history(catalog_id, limit=actions)),
    )


def _go_live(tier, tiny: TinyRelease, *, expected_generation: int) -> None:
    release_or_restore(
        tier.store,
        tier.ledger,
        catalog_id=tiny.catalog_id,
        release_id=tiny.release_id,
        expected_generation=expected_generation,
        action="release",
        actor="test",
        stage_timeout_s=tier.settings.stage_timeout_s,
    )


def _break(tier, tiny: TinyRelease) -> None:
    """Makes the tier's answers differ from what the object store says of a release that it holds already."""
    key = keys.release(tiny.catalog_id, tiny.release_id)
    release = Release.from_bytes(tier.store.get_bytes(key))
    tier.store.put_bytes(key, release.model_copy(update={"items": release.items + 1}).to_bytes())
