"""The windows of a training set, counted back from its last day."""

from __future__ import annotations

from vitrine.contracts.training_sets import MiningParameters, training_window


def test_the_windows_are_counted_back_from_the_last_day() -> None:
    parameters = MiningParameters(validation_days=5, test_days=4, gap_days=2)

    window = training_window(
        events_from="2026-10-01", events_until="2026-11-20", as_of="2026-11-20", parameters=parameters
    )

    assert (window.test_from, window.test_until) == ("2026-11-17", "2026-11-21")
    assert (window.validation_from, window.validation_until) == ("2026-11-10", "2026-11-15")
    assert window.train_until == "2026-11-08"


def test_a_split_of_no_days_has_no_gap() -> None:
    parameters = MiningParameters(validation_days=0, test_days=0, gap_days=3)

    window = training_window(
        events_from="2026-11-01", events_until="2026-11-20", as_of="2026-11-20", parameters=parameters
    )

    assert window.train_until == "2026-11-21"
