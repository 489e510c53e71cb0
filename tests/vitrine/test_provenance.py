"""Who asked for what is made, as a command's options say it."""

from __future__ import annotations

import argparse

import pytest

from vitrine.dag_run_options import add_dag_run_options, dag_run_of
from vitrine.provenance import describe_run


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ([], {}),
        (["--dag-id", "train_encoder"], {"dag_id": "train_encoder"}),
        (["--dag-id", "train_encoder", "--dag-run-id", "r1"], {"dag_id": "train_encoder", "dag_run_id": "r1"}),
    ],
)
def test_options_name_the_run_that_asks(words: list[str], run: dict[str, str]) -> None:
    parser = argparse.ArgumentParser()
    add_dag_run_options(parser)

    found = dag_run_of(parser.parse_args(words))

    assert found == run
    made_by = describe_run(found)
    assert (made_by.dag_id, made_by.dag_run_id) == (run.get("dag_id"), run.get("dag_run_id"))


@pytest.mark.parametrize("shown", [True, False])
def test_the_options_can_stay_out_of_the_help(shown: bool) -> None:
    parser = argparse.ArgumentParser()

    add_dag_run_options(parser, shown=shown)

    assert ("--dag-run-id" in parser.format_help()) == shown
