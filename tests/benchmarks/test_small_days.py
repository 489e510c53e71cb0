"""What small days may cost: each figure has its limit, and the median of all sittings counts."""

from __future__ import annotations

import pytest

from benchmarks.small_days import Measured, print_table


def demo(command_s: float, dags_s: float = 60.0) -> Measured:
    return Measured("demo", command_s, dags_s, ())


def test_the_median_of_several_demos_is_held_against_both_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_table([demo(100.0), demo(500.0), demo(110.0), Measured("a day of 300 rows", 20.0, 15.0, ())]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "demo: whole command: median 110.0 s of 100.0, 500.0, 110.0, limit 240 s: kept",
        "demo: DAG part: median 60.0 s of 60.0, 60.0, 60.0, limit 120 s: kept",
        "a day of 300 rows: median 20.0 s of 20.0, limit 45 s: kept",
    ]


@pytest.mark.parametrize("measured", [demo(240.1), demo(200.0, 120.1), Measured("a day of no change", 15.1, 9.0, ())])
def test_a_figure_beyond_its_limit_fails(measured: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_table([measured]) == 1
    assert "EXCEEDED" in capsys.readouterr().out
