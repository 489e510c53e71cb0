"""Training by DAG: when it runs by itself, what its form means, and in which order its tasks go."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from vitrine.catalogs import Catalog
from vitrine.errors import ContractError, SettingsError

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


def form(**given: Any) -> dict[str, Any]:
    """The form as a task sees it, with some fields filled in."""
    from vitrine_airflow.forms import TRAIN_FORM

    return {**{name: parameter.value for name, parameter in TRAIN_FORM.items()}, **given}


def next_run(catalog: Catalog) -> datetime.datetime | None:
    from airflow.timetables.base import TimeRestriction
    from vitrine_airflow.timetables import monthly_training

    timetable = monthly_training(catalog)
    if timetable is None:
        return None
    restriction = TimeRestriction(earliest=None, latest=None, catchup=False)
    info = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert info is not None
    return info.run_after


def test_a_new_platform_waits_for_the_next_month_before_it_trains() -> None:
    # A tick of the last hour counts, so that the scheduler cannot miss one.
    due = next_run(Catalog(catalog_id="demo"))

    assert due is not None
    assert due > datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1, minutes=10)
    assert (due.day, due.hour, due.minute) == (1, 3, 0)


def test_a_catalog_moves_its_training_or_switches_it_off() -> None:
    weekly = next_run(Catalog(catalog_id="demo", train_schedule="30 4 * * 1"))

    assert weekly is not None and (weekly.isoweekday(), weekly.hour, weekly.minute) == (1, 4, 30)
    assert next_run(Catalog(catalog_id="demo", train_schedule=None)) is None


def test_the_schedule_is_the_catalogs_and_the_dag_has_no_start_that_would_run_it_at_once(
    parse: Callable[[str], DagBag],
) -> None:
    dags = parse("catalogs:\n  demo: {}\n  shop: {train_schedule: null}\n").dags

    assert dags["demo.train_encoder"].timetable.summary == "0 3 1 * *"
    assert dags["demo.train_encoder"].start_date is None
    assert dags["shop.train_encoder"].schedule is None


def test_what_is_registered_was_mined_trained_and_evaluated_before(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["demo.train_encoder"]

    upstream = dag.get_task("register_encoder").get_flat_relative_ids(upstream=True)

    assert upstream == {"plan_training_set", "mine_training_set", "plan_training", "train", "evaluate_encoder"}
    assert "mine_training_set" in dag.get_task("plan_training").upstream_task_ids
    assert {dag.get_task(name).pool for name in ("train", "evaluate_encoder")} == {"gpu"}


def test_fields_of_the_form_and_its_further_options_are_taken_together() -> None:
    from vitrine_airflow.training_runs import training_options

    options = training_options(form(objective="triplet", epochs=3, options={"epochs": 3, "margin": 0.3}))

    assert options == {"objective": "triplet", "epochs": 3, "seed": 0, "margin": 0.3}


def test_an_option_that_the_form_says_otherwise_is_refused_and_not_dropped() -> None:
    from vitrine_airflow.training_runs import training_options

    with pytest.raises(SettingsError, match="a field of its own for epochs, and `options` says something else"):
        training_options(form(objective="triplet", epochs=3, options={"epochs": 9}))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"colour": "red"}, {"batch_size": 1}])
def test_options_that_make_no_training_are_refused_with_the_way_on(wrong: dict[str, Any]) -> None:
    from vitrine_airflow.training_runs import training_options

    from training.options import parse_options

    with pytest.raises(SettingsError, match="python -m training train --help"):
        parse_options(training_options(form(options=wrong)))


def test_a_parameter_that_mining_does_not_know_is_refused(settings: Any, catalog_id: str) -> None:
    from vitrine_airflow.training_runs import plan_training_set

    with pytest.raises(ContractError, match="mining parameter colour"):
        plan_training_set(settings, catalog_id=catalog_id, form=form(mining={"colour": "red"}))


@pytest.mark.parametrize(
    "field", [{"objective": "softmax"}, {"epochs": 0}, {"as_of": "yesterday"}, {"base": ""}, {"seed": -1}]
)
def test_the_form_refuses_what_no_training_can_mean(field: dict[str, Any]) -> None:
    from airflow.exceptions import ParamValidationError
    from vitrine_airflow.forms import TRAIN_FORM

    [(name, value)] = field.items()

    with pytest.raises(ParamValidationError):
        TRAIN_FORM[name].resolve(value)
