"""Encoders by hand: train one, write its report, register it; and the steps of `train_encoder`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.evaluate.command import add_arguments, run
from training.registry.login import adopt_registry_login
from training.steps.commands import add_planned_commands, run_planned_command
from training.train_command import add_train_command, run_train_command
from vitrine.errors import VitrineError
from vitrine.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "register-bootstrap", help="register the configured checkpoint, or the bootstrap encoder, in MLflow"
    )
    commands.add_parser("champion", help="show the champion, importing it into the object store when it is new")
    evaluate = commands.add_parser("evaluate-bootstrap", help="measure the bootstrap encoder on a demo catalog")
    evaluate.add_argument("--catalog", type=Path, required=True, help="folder that examples.demo_catalog wrote")
    evaluate.add_argument("--encoder", type=Path, help="another encoder folder to measure")
    evaluate.add_argument("--into", type=Path, help="file for the figures as JSON")
    add_train_command(commands)
    report = commands.add_parser("evaluate", help="write an encoder's report on a catalog or a caption set")
    add_arguments(report)
    add_planned_commands(commands)
    options = parser.parse_args(arguments)
    try:
        if options.command != "evaluate-bootstrap":
            adopt_registry_login(Settings.from_environment())
        if options.command == "evaluate":
            run(options, Settings.from_environment())
        elif options.command == "evaluate-bootstrap":
            _evaluate(options.encoder, catalog=options.catalog, into=options.into)
        elif options.command == "train":
            run_train_command(options)
        elif "planned" in options:
            run_planned_command(options, Settings.from_environment())
        else:
            _show_version(options.command, Settings.from_environment())
    except VitrineError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _show_version(command: str, settings: Settings) -> None:
    from training.registry.versions import current_champion, register_bootstrap, resolve_champion

    version = register_bootstrap(settings) if command == "register-bootstrap" else resolve_champion(settings)
    print(
        f"{version.name} version {version.version}: fingerprint {version.fingerprint}, {version.dimension} dimensions"
    )
    champion = current_champion(settings)
    if champion == version.version:
        print(f"version {champion} is `champion`: searches are built under it")
    else:
        print(
            f"`champion` is version {champion}, and nothing changes by itself: to promote version {version.version}, "
            "move the alias to it in MLflow (docs/encoders.md, Promote)"
        )


def _evaluate(folder: Path | None, *, catalog: Path, into: Path | None) -> None:
    from training.bootstrap import ENCODER_FOLDER
    from training.evaluate.bootstrap import evaluate_encoder, known_items
    from vitrine.encoder import load_encoder
    from vitrine.progress import progress

    items = known_items(catalog)
    encoder = load_encoder(folder or ENCODER_FOLDER, engine="torch")
    with progress("pictures", total=len(items)) as advance:
        figures = evaluate_encoder(encoder, items, on_progress=advance).to_json()
    print(figures, end="")
    if into is not None:
        into.write_text(figures, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
