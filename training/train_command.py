"""`python -m training train`: fine-tunes an encoder on a folder or on a training set."""

from __future__ import annotations

import argparse
import typing
from pathlib import Path
from typing import Any, Literal

from vitrine.errors import SettingsError

if typing.TYPE_CHECKING:
    from training.loop.run import TrainedEncoder


def add_train_command(commands: Any) -> None:
    """Adds the command with an option for every parameter of a training."""
    from training.options import TrainingOptions

    parser = commands.add_parser("train", help="fine-tune an encoder on a folder or on a training set")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--catalog", type=Path, help="a folder in the items format")
    source.add_argument("--training-set", metavar="ID", help="that was mined; with --catalog-id")
    parser.add_argument("--catalog-id", help="whose training set it is")
    parser.add_argument("--into", type=Path, required=True, help="folder of the training; its encoder is in encoder/")
    parser.add_argument(
        "--base",
        help="champion, bootstrap, a fingerprint, a CLIP's folder or name, or scratch (default: bootstrap for a "
        "folder, champion for a training set)",
    )
    parser.add_argument("--cache", type=Path, help="folder of prepared pictures (default: inside --into)")
    for name, field in TrainingOptions.model_fields.items():
        flag, about = f"--{name.replace('_', '-')}", f"{field.description or ''} (default: {field.default})".strip()
        if field.annotation is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=about)
        else:
            parser.add_argument(flag, choices=_choices(field.annotation), default=None, metavar="VALUE", help=about)


def run_train_command(arguments: argparse.Namespace) -> TrainedEncoder:
    """Trains as the command line says, and says where the encoder is.

    Raises:
        SettingsError: an option is out of its range, or it would change nothing beside the others.
        VitrineError: the training failed.
    """
    from training.loop.run import run_training
    from training.loop.worker import FolderSource, TrainingSetSource
    from training.options import TrainingOptions, parse_options
    from vitrine.connections import open_object_store
    from vitrine.settings import Settings

    options = parse_options({name: getattr(arguments, name) for name in TrainingOptions.model_fields})
    base = arguments.base or ("champion" if arguments.training_set else "bootstrap")
    platform = Settings.from_environment()
    settings = None  # a folder and a base model that lies in one need no platform
    source: FolderSource | TrainingSetSource
    if arguments.training_set:
        if not arguments.catalog_id:
            raise SettingsError("--training-set needs --catalog-id, the catalog that it was mined from")
        settings = platform
        source = TrainingSetSource(open_object_store(settings), arguments.catalog_id, arguments.training_set)
    else:
        if arguments.catalog_id:
            raise SettingsError("--catalog-id goes with --training-set; a folder, --catalog, is of no catalog")
        source = FolderSource(arguments.catalog, platform)
        if base == "champion" or _is_fingerprint(base):
            settings = platform
    trained = run_training(
        source, into=arguments.into, options=options, base=base, settings=settings, cache=arguments.cache
    )
    record = trained.record
    kept = f"step {record.best_step} of {record.steps} kept"
    print(f"{trained.folder}: fingerprint {record.fingerprint}, {kept}")
    if record.base_recall_at_10 is not None and record.best_recall_at_10 is not None:
        print(f"validation recall@10: {record.base_recall_at_10:.4f} before, {record.best_recall_at_10:.4f} after")
    return trained


def _choices(annotation: Any) -> tuple[str, ...] | None:
    if typing.get_origin(annotation) is Literal:
        return typing.get_args(annotation)
    return None


def _is_fingerprint(base: str) -> bool:
    from training.base_models import FINGERPRINT

    return bool(FINGERPRINT.fullmatch(base)) and not Path(base).is_dir()
