"""The steps of `train_encoder` by hand: plan a training, run it, evaluate it, register it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vitrine.dag_run_options import add_dag_run_options, dag_run_of
from vitrine.errors import SettingsError
from vitrine.settings import Settings


def add_planned_commands(commands: Any) -> None:
    """Adds `plan-training`, `run-training`, `evaluate-training` and `register-training`."""
    plan = _add(commands, "plan-training", "settle base model and options of a training on the platform")
    plan.add_argument("--training-set", required=True, metavar="ID", help="that was mined")
    plan.add_argument(
        "--base", default="champion", help="champion, bootstrap, scratch, a fingerprint, a CLIP's folder or name"
    )
    plan.add_argument("--options", default="{}", help='of the training as JSON, e.g. {"epochs": 4}')
    trained = _add(commands, "run-training", "train as planned, publish the encoder, and store the record")
    trained.add_argument("--training-id", required=True)
    add_dag_run_options(trained)
    evaluated = _add(commands, "evaluate-training", "compare a trained encoder with the champion on what was held out")
    evaluated.add_argument("--training-id", required=True)
    evaluated.add_argument("--no-baselines", action="store_true", help="leave out colour + SIFT and TF-IDF")
    add_dag_run_options(evaluated)
    registered = _add(commands, "register-training", "log and register a trained encoder in MLflow")
    registered.add_argument("--evaluation-id", required=True)
    add_dag_run_options(registered)


def run_planned_command(options: argparse.Namespace, settings: Settings) -> None:
    """Runs one step and prints its id.

    Raises:
        VitrineError: the step failed.
    """
    if options.planned == "plan-training":
        from training.steps.plan import plan_training

        print(
            plan_training(
                settings,
                catalog_id=options.catalog,
                training_set_id=options.training_set,
                base=options.base,
                options=_parsed(options.options),
            )
        )
    elif options.planned == "run-training":
        from training.steps.train import run_planned_training

        training = run_planned_training(
            settings, catalog_id=options.catalog, training_id=options.training_id, provenance=dag_run_of(options)
        )
        print(f"{training.training_id}: fingerprint {training.fingerprint}, step {training.best_step} kept")
    elif options.planned == "evaluate-training":
        from training.steps.evaluate import evaluate_training

        evaluation = evaluate_training(
            settings,
            catalog_id=options.catalog,
            training_id=options.training_id,
            baselines=not options.no_baselines,
            provenance=dag_run_of(options),
        )
        print(evaluation.evaluation_id)
    else:
        from training.steps.register import register_training

        print(
            register_training(
                settings,
                catalog_id=options.catalog,
                evaluation_id=options.evaluation_id,
                provenance=dag_run_of(options),
            )
        )


def _add(commands: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about)
    parser.set_defaults(planned=name)
    parser.add_argument("--catalog", required=True, metavar="ID", help="the catalog's id")
    return parser


def _parsed(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"--options: expected a JSON object, found {text[:80]!r}: {error}") from error
    if not isinstance(options, dict):
        raise SettingsError(f"--options: expected a JSON object, found {text[:80]!r}")
    return options
