"""Promotions in the ledger: each move of the alias is recorded once, and only the newest counts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from tests.conftest import new_database
from vitrine.errors import LedgerError, StaleCandidateError
from vitrine.ledger import Ledger, tables

SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]  # the function clears it for each example


@pytest.fixture(scope="module")
def own_ledger(postgres_uri: str) -> Iterator[Ledger]:
    """A ledger of this module's own, since promotions belong to no catalog."""
    ledger = Ledger(new_database(postgres_uri))
    ledger.migrate()
    yield ledger
    ledger.close()


@pytest.fixture
def unpromoted(own_ledger: Ledger) -> Ledger:
    """The ledger before the alias was first seen."""
    clear(own_ledger)
    return own_ledger


def clear(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        connection.execute(delete(tables.catalog_promotions))
        connection.execute(delete(tables.promotions))
        connection.execute(delete(tables.promotion_signals))


def recorded(ledger: Ledger) -> list[tuple[str, str]]:
    table = tables.promotions
    with ledger.database.transaction() as connection:
        query = select(table.c.model_version, table.c.state).order_by(table.c.sequence)
        return [(row.model_version, row.state) for row in connection.execute(query)]


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=SHARED)
@given(seen=st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=8))
def test_each_change_that_was_seen_is_one_promotion_and_the_last_counts(own_ledger: Ledger, seen: list[str]) -> None:
    clear(own_ledger)

    for version in seen:
        own_ledger.promotions.observe(model_version=version, observed_by="poll")

    changes = [version for before, version in zip([None, *seen], seen, strict=False) if version != before]
    assert recorded(own_ledger) == [(version, "superseded") for version in changes[:-1]] + [(changes[-1], "observed")]


def test_observers_that_race_record_a_move_once(unpromoted: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        seen = list(
            pool.map(lambda _: unpromoted.promotions.observe(model_version="2", observed_by="webhook"), range(6))
        )

    assert len({promotion.sequence for promotion in seen}) == 1
    assert recorded(unpromoted) == [("2", "observed")]


def test_a_promotion_that_was_superseded_during_its_import_is_not_accepted(unpromoted: Ledger) -> None:
    first = unpromoted.promotions.observe(model_version="1", observed_by="poll")
    unpromoted.promotions.observe(model_version="2", observed_by="poll")

    accepted = unpromoted.promotions.accept(first.sequence, fingerprint="enc-1", catalog_ids=["demo"])
    refused = unpromoted.promotions.refuse(first.sequence, reason="pickle")

    assert (accepted, refused) == (False, False)
    assert unpromoted.promotions.under_way("demo") is None


def test_moving_the_alias_back_stops_the_builds_under_the_encoder_that_it_left(unpromoted: Ledger) -> None:
    for version in ("1", "2", "1"):
        promotion = unpromoted.promotions.observe(model_version=version, observed_by="poll")
        unpromoted.promotions.accept(promotion.sequence, fingerprint=f"enc-{version}", catalog_ids=["demo"])

    under_way = unpromoted.promotions.under_way("demo")

    assert under_way is not None and (under_way.sequence, under_way.fingerprint) == (promotion.sequence, "enc-1")
    assert not unpromoted.promotions.close(catalog_id="demo", fingerprint="enc-2", outcome="released")


def test_accepting_again_after_a_kill_reopens_no_catalog_that_has_come_further(unpromoted: Ledger) -> None:
    promotion = unpromoted.promotions.observe(model_version="1", observed_by="poll")
    accept = {"fingerprint": "enc-1", "catalog_ids": ["demo", "shop"]}
    unpromoted.promotions.accept(promotion.sequence, **accept)
    unpromoted.promotions.close(catalog_id="demo", fingerprint="enc-1", outcome="released")

    again = unpromoted.promotions.accept(promotion.sequence, **accept)

    assert again
    assert unpromoted.promotions.under_way("demo") is None
    assert unpromoted.promotions.under_way("shop") is not None


def test_a_refused_version_is_not_taken_up_by_the_next_poll(unpromoted: Ledger) -> None:
    promotion = unpromoted.promotions.observe(model_version="1", observed_by="poll")
    unpromoted.promotions.refuse(promotion.sequence, reason="no safetensors")

    seen = unpromoted.promotions.observe(model_version="1", observed_by="poll")

    assert (seen.sequence, seen.state, seen.reason) == (promotion.sequence, "refused", "no safetensors")


def test_a_version_whose_artifacts_changed_after_it_was_accepted_is_an_error(unpromoted: Ledger) -> None:
    promotion = unpromoted.promotions.observe(model_version="1", observed_by="poll")
    unpromoted.promotions.accept(promotion.sequence, fingerprint="enc-1", catalog_ids=[])

    with pytest.raises(LedgerError, match=r"expected fingerprint enc-1.*found enc-9"):
        unpromoted.promotions.accept(promotion.sequence, fingerprint="enc-9", catalog_ids=[])


def test_moving_the_alias_back_to_a_refused_encoder_tries_it_again_once(unpromoted: Ledger) -> None:
    for version in ("1", "2", "1"):
        promotion = unpromoted.promotions.observe(model_version=version, observed_by="poll")
        unpromoted.releases.refuse_encoder(catalog_id="demo", fingerprint="enc-1", reason="worse")
        unpromoted.promotions.accept(promotion.sequence, fingerprint=f"enc-{version}", catalog_ids=["demo"])
    tried_again = unpromoted.releases.refused_encoders("demo")
    unpromoted.releases.refuse_encoder(catalog_id="demo", fingerprint="enc-1", reason="worse again")

    unpromoted.promotions.accept(promotion.sequence, fingerprint="enc-1", catalog_ids=["demo"])

    assert tried_again == {}
    assert unpromoted.releases.refused_encoders("demo") == {"enc-1": "worse again"}


def test_signals_are_counted_and_hold_nothing_else(unpromoted: Ledger) -> None:
    before = unpromoted.promotions.signals()
    for _ in range(3):
        unpromoted.promotions.signal("webhook")

    assert unpromoted.promotions.signals() - before == 3


def test_the_first_encoder_is_told_from_those_that_follow(unpromoted: Ledger) -> None:
    told = []
    for version in ("1", "2", "1"):
        promotion = unpromoted.promotions.observe(model_version=version, observed_by="poll")
        unpromoted.promotions.accept(promotion.sequence, fingerprint=f"enc-{version}", catalog_ids=[])
        newest = unpromoted.promotions.newest()
        assert newest is not None
        told.append(unpromoted.promotions.is_first_encoder(newest))

    assert told == [True, False, False]


def test_a_build_that_was_under_way_when_the_alias_moved_back_cannot_go_live(unpromoted: Ledger) -> None:
    catalog_id = "moved-back"
    go_live = {"catalog_id": catalog_id, "head_sequence": 1, "action": "release", "actor": "test"}
    if unpromoted.releases.live(catalog_id) is None:
        unpromoted.releases.activate(**go_live, release_id="of-1", expected_generation=0)
    generation = unpromoted.releases.live(catalog_id).generation
    for version in ("1", "2", "1"):
        promotion = unpromoted.promotions.observe(model_version=version, observed_by="poll")
        unpromoted.promotions.accept(promotion.sequence, fingerprint=f"enc-{version}", catalog_ids=[catalog_id])
    closed = unpromoted.promotions.close(
        catalog_id=catalog_id, fingerprint="enc-1", outcome="released", generation=generation
    )

    with pytest.raises(StaleCandidateError, match=r"of encoder enc-2, which is neither.*enc-1, released"):
        unpromoted.releases.activate(**go_live, release_id="of-2", expected_generation=generation, new_encoder="enc-2")

    assert closed
    assert unpromoted.releases.live(catalog_id).release_id == "of-1"


def test_a_promotion_is_not_closed_by_a_release_that_is_live_no_more(unpromoted: Ledger) -> None:
    promotion = unpromoted.promotions.observe(model_version="1", observed_by="poll")
    unpromoted.promotions.accept(promotion.sequence, fingerprint="enc-1", catalog_ids=["demo"])

    closed = unpromoted.promotions.close(catalog_id="demo", fingerprint="enc-1", outcome="released", generation=7)

    assert not closed
    assert [row.state for row in unpromoted.promotions.catalogs_of(promotion.sequence)] == ["building"]
