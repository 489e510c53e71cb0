"""Parts of the event log: of one day, named by their content, and named to readers."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest

from vitrine.contracts.events import event_schema
from vitrine.contracts.training_sets import MiningParameters, MiningPlan, training_window
from vitrine.errors import ContractError
from vitrine.event_log import event_parts, put_event_part
from vitrine.images.photo_kinds import photo_kind_of
from vitrine.storage import ObjectStore


def test_a_part_that_is_sent_again_is_the_same_object(object_store: ObjectStore) -> None:
    keys = [put_event_part(object_store, catalog_id="shop", dt="2026-11-02", events=_events(2)) for _ in range(2)]

    assert keys[0] == keys[1]
    assert [part.key for part in _parts(object_store)] == [keys[0]]


def test_only_parts_of_the_days_asked_for_are_named(object_store: ObjectStore) -> None:
    for day in (1, 2, 3, 4):
        put_event_part(object_store, catalog_id="shop", dt=f"2026-11-0{day}", events=_events(day))

    assert [part.dt for part in _parts(object_store)] == ["2026-11-02", "2026-11-03"]


def test_events_of_another_day_are_refused(object_store: ObjectStore) -> None:
    with pytest.raises(ContractError, match="expected events of that day in UTC"):
        put_event_part(object_store, catalog_id="shop", dt="2026-11-02", events=_events(3))


def test_other_columns_are_refused(object_store: ObjectStore) -> None:
    with pytest.raises(ContractError, match="expected the columns of the event log"):
        put_event_part(object_store, catalog_id="shop", dt="2026-11-02", events=_events(2).drop_columns(["position"]))


def test_the_id_of_a_plan_follows_from_all_of_its_inputs() -> None:
    ids = {_plan().training_set_id, _plan(parameters=MiningParameters(seed=1)).training_set_id}
    ids |= {_plan(manifests={"2026-11-01": "other"}).training_set_id, _plan(grades_sha256="0").training_set_id}

    assert len(ids) == 4
    assert MiningPlan.from_bytes(_plan().to_bytes()).training_set_id in ids


def test_parameters_are_read_from_text_and_refused_out_of_range() -> None:
    assert MiningParameters.from_values({"seed": "3"}) == MiningParameters(seed=3)
    with pytest.raises(ContractError, match="min_propensity='2'"):
        MiningParameters.from_values({"min_propensity": "2"})


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ('{"kind": "user_photo"}', "user"),
        ('{"photo_kind": "Studio", "kind": "scene"}', "studio"),
        ('{"kind": "iconic"}', "studio"),
        ('{"kind": 3}', None),
        (None, None),
    ],
)
def test_the_kind_of_a_photograph_is_read_from_the_attributes(attributes: str | None, kind: str | None) -> None:
    assert photo_kind_of(attributes) == kind


def _plan(**changed: Any) -> MiningPlan:
    given = {
        "catalog_id": "shop",
        "as_of": "2026-11-03",
        "parameters": MiningParameters(),
        "manifests": {"2026-11-01": "m"},
        "event_parts": (),
        "embedding_set_id": None,
        "grades_key": None,
        "grades_sha256": None,
    } | changed
    window = training_window(
        events_from="2026-10-01", events_until="2026-11-03", as_of="2026-11-03", parameters=given["parameters"]
    )
    return MiningPlan(window=window, **given)


def _parts(object_store: ObjectStore) -> list[Any]:
    return event_parts(object_store, catalog_id="shop", events_from="2026-11-02", events_until="2026-11-03")


def _events(day: int) -> pa.Table:
    row = {
        "event_id": "e",
        "occurred_at": datetime.datetime(2026, 11, day, 23, 59, tzinfo=datetime.UTC),
        "kind": "click",
        "query_id": "q",
        "session_id": "s",
        "query_kind": "text",
        "query_text": "a lamp",
        "item_id": "i",
        "position": 1,
    }
    return pa.Table.from_pylist([{name: row.get(name) for name in event_schema().names}], schema=event_schema())
