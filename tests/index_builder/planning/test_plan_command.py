"""The command that plans says what it cannot plan for."""

from __future__ import annotations

import pytest

from index_builder.__main__ import main


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--items", "0", "--items: expected 1 or more, found 0"),
        ("--items", "-5", "--items: expected 1 or more, found -5"),
        ("--dimension", "0", "--dimension: expected 1 or more, found 0"),
        ("--recall", "1.5", "--recall: expected a share above 0 and up to 1, e.g. 0.95, found 1.5"),
        ("--recall", "nan", "--recall: expected a share above 0 and up to 1, e.g. 0.95, found nan"),
        ("--latency-ms", "0", "--latency-ms: expected milliseconds above 0, found 0.0"),
        ("--core-hour-price", "-1", "--core-hour-price: expected 0 or more, found -1.0"),
    ],
)
def test_an_option_out_of_its_range_is_refused_with_what_was_expected(
    option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["plan", "--items", "1000", f"{option}={value}"])

    assert status == 1
    assert capsys.readouterr().err.strip() == f"error: {expected}"


def test_a_plan_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["plan", "--items", "1000000", "--memory", "8G", "--disk", "60G"])

    printed = capsys.readouterr().out
    assert status == 0
    assert all(name in printed for name in ("flat", "hnsw-sq8", "ivf-sq8", "ivf-rabitq", "ivf-pq", "opq-ivf-pq"))
