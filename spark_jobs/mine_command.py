"""`python -m spark_jobs mine`: plans a training set, and mines it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitrine.errors import SettingsError
from vitrine.settings import Settings


def add_mine_command(verbs: Any) -> argparse.ArgumentParser:
    """Adds the verb with an option for every parameter of mining; returns its parser."""
    mine: argparse.ArgumentParser = verbs.add_parser(
        "mine", help="make a training set of the head and the event log as of a day (Spark)"
    )
    mine.add_argument("--catalog", required=True)
    mine.add_argument("--training-set-id", help="one that was planned: mined as its plan says")
    mine.add_argument("--plan-only", action="store_true", help="write the plan and print its id; starts no Spark")
    mine.add_argument("--embedding-set", help="where hard negatives are looked for; none: only in categories")
    mine.add_argument("--as-of", help="the last day that counts, YYYY-MM-DD; none: that of the newest partition")
    mine.add_argument("--events-from", help="first day of the event log; none: 90 days up to the last")
    mine.add_argument("--events-until", help="last day of the event log; none: the as-of day")
    mine.add_argument("--grades", type=Path, help="CSV or Parquet with query_item_id, item_id, grade (0 to 5)")
    _add_mining_parameters(mine)
    return mine


def run_mine_command(settings: Settings, options: argparse.Namespace, *, provenance: Mapping[str, str]) -> None:
    """Plans or mines as the command line says, and prints the training set's id.

    Raises:
        VitrineError: the plan or the mining failed.
    """
    from spark_jobs.mining import plan_training_set, read_plan, run_mine_job
    from vitrine.contracts.training_sets import MiningParameters

    _check_mine(options)
    if options.training_set_id:
        plan = read_plan(settings, catalog_id=options.catalog, training_set_id=options.training_set_id)
    else:
        given = {name: getattr(options, name) for name in MiningParameters.model_fields}
        plan = plan_training_set(
            settings,
            catalog_id=options.catalog,
            as_of=options.as_of,
            events_from=options.events_from,
            events_until=options.events_until,
            embedding_set_id=options.embedding_set,
            grades=options.grades,
            parameters=MiningParameters.from_values({k: v for k, v in given.items() if v is not None}),
        )
    if not options.plan_only:
        run_mine_job(settings, plan, provenance=provenance)
    print(plan.training_set_id)


def _check_mine(options: argparse.Namespace) -> None:
    """Refuses options that would change nothing: of a planned set, and of a run that makes none.

    Raises:
        SettingsError: names them.
    """
    from vitrine.contracts.training_sets import MiningParameters

    planning = ("embedding_set", "as_of", "events_from", "events_until", "grades", "plan_only")
    idle = [
        name
        for name in (*planning, *MiningParameters.model_fields)
        if options.training_set_id and _given(options, name)
    ]
    idle += [name for name in ("dag_id", "dag_run_id") if options.plan_only and _given(options, name)]
    if idle:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        why = "a planned training set is mined as it was planned" if options.training_set_id else "a plan has no run"
        raise SettingsError(f"mine: {why}, so {named} would change nothing; leave it out")


def _given(options: argparse.Namespace, name: str) -> bool:
    return getattr(options, name) not in (None, False)


def _add_mining_parameters(parser: argparse.ArgumentParser) -> None:
    from vitrine.contracts.training_sets import MiningParameters

    for name, field in MiningParameters.model_fields.items():
        # The contract reads the text, and says what is wrong with it.
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"{field.description} Default: {field.default}.")
