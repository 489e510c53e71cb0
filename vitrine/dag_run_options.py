"""`--dag-id` and `--dag-run-id` of commands: which run asks. Imported by every command line, so it imports little."""

from __future__ import annotations

import argparse


def add_dag_run_options(parser: argparse.ArgumentParser, *, shown: bool = True) -> None:
    """Adds `--dag-id` and `--dag-run-id` to a command; not `shown`, its help is silent about them."""
    parser.add_argument("--dag-id", help="the DAG that asks, for provenance" if shown else argparse.SUPPRESS)
    parser.add_argument("--dag-run-id", help="its run" if shown else argparse.SUPPRESS)


def dag_run_of(options: argparse.Namespace) -> dict[str, str]:
    """Returns what those options say, for `describe_run`; empty by hand."""
    named = {"dag_id": options.dag_id, "dag_run_id": options.dag_run_id}
    return {name: value for name, value in named.items() if value is not None}
