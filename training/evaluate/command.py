"""`python -m training evaluate`: an encoder's report on any catalog in the items format, or on a caption set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitrine.errors import ContractError
from vitrine.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from training.evaluate.catalogs.catalog import EvaluationCatalog
    from training.evaluate.encoder_sources import EncoderSource
    from training.evaluate.measurement import Measurement
    from vitrine.encoder import Encoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument(
        "--encoder",
        required=True,
        help="a folder, `bootstrap`, a CLIP's name on a hub, or of the registry: `vitrine-encoder` (the champion), a "
        "version's number, an alias, a fingerprint",
    )
    parser.add_argument("--catalog", type=Path, help="folder in the items format")
    parser.add_argument("--split", choices=["train", "validation", "test", "all"], help="who asks (default: test)")
    parser.add_argument(
        "--against", action="append", default=[], metavar="ENCODER", help="compare with it; may be given again"
    )
    parser.add_argument("--no-baselines", action="store_true", help="leave out colour + SIFT, TF-IDF and the ResNet")
    parser.add_argument("--history", type=Path, help="history.json of the encoder's training, for its curves")
    parser.add_argument("--into", type=Path, help="folder for the report (default: <state_dir>/reports/<report id>)")
    parser.add_argument("--coco", type=Path, help="captions_*.json in COCO's format, instead of a catalog")
    parser.add_argument("--images", type=Path, help="folder of its images")


_OF_A_REPORT = {
    "--split": "split",
    "--no-baselines": "no_baselines",
    "--history": "history",
    "--into": "into",
}


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Runs the command.

    Raises:
        ContractError: the options contradict each other, or what they name cannot be read.
        EncoderError: an encoder cannot be found or loaded.
    """
    from rich.console import Console

    from training.evaluate.encoder_sources import open_sources

    if (options.catalog is None) == (options.coco is None) or (options.coco is None) != (options.images is None):
        raise ContractError("give either --catalog FOLDER, or --coco captions.json with --images FOLDER")
    if options.coco is not None and (idle := [flag for flag, name in _OF_A_REPORT.items() if getattr(options, name)]):
        raise ContractError(f"--coco prints recalls and writes no report, so {', '.join(idle)} would change nothing")
    # Two columns of figures and their intervals need room also where no terminal says how wide it is.
    console = Console() if Console().is_terminal else Console(width=160)
    with open_sources([options.encoder, *options.against], settings) as sources:
        if options.coco is not None:
            _captions(options, sources, settings, console)
        else:
            _catalog(options, sources, settings, console)


def _catalog(
    options: argparse.Namespace, sources: Sequence[EncoderSource], settings: Settings, console: Console
) -> None:
    from training.evaluate.comparison import Thresholds, beats
    from training.evaluate.pages.rendering import print_report
    from training.evaluate.pages.report_files import write_report

    others = [source.name for source in sources[1:]]
    measured = measure_folder(
        options.catalog, sources, settings, split=options.split or "test", baselines=not options.no_baselines
    )
    report = measured.report
    into = options.into or settings.state_dir / "reports" / report.report_id
    written = write_report(
        measured, into, before=[*others, *(note.name for note in report.retrievers[1:])], history=options.history
    )
    print_report(report, console)
    for name in others:
        decision = beats(report, name, thresholds=Thresholds.of(settings))
        console.print(
            f"{report.encoder} {'beats' if decision.beats else 'does not beat'} {name}:", *decision.reasons, sep="\n  "
        )
    console.print(f"report: {written}", soft_wrap=True)


def measure_folder(
    folder: Path, sources: Sequence[EncoderSource], settings: Settings, *, split: str, baselines: bool = True
) -> Measurement:
    """Measures encoders, and the baselines, on a folder in the items format.

    Args:
        sources: the encoder that the report is about, then those that it is compared with.
        split: whose items ask.
    """
    from training.evaluate.catalogs.catalog import read_evaluation_catalog

    return measure_catalog(
        read_evaluation_catalog(folder, settings), sources, settings, split=split, baselines=baselines
    )


def measure_catalog(
    catalog: EvaluationCatalog,
    sources: Sequence[EncoderSource],
    settings: Settings,
    *,
    split: str,
    baselines: bool = True,
) -> Measurement:
    """Measures encoders, and the baselines, on a catalog whose pictures lie on this disk; see `measure_folder`."""
    from training.evaluate.measurement import measure
    from training.evaluate.retrievers.colour_and_sift import ColourAndSiftRetriever
    from training.evaluate.retrievers.encoder import EncoderRetriever
    from training.evaluate.retrievers.resnet import ResnetRetriever
    from training.evaluate.retrievers.tfidf import TfidfRetriever
    from vitrine.progress import progress

    with progress("pictures embedded") as advance:
        retrievers: list = [
            EncoderRetriever(_load(source, settings), name=source.name, on_progress=advance) for source in sources
        ]
        if baselines:
            retrievers += [ColourAndSiftRetriever(on_progress=advance), TfidfRetriever()]
            if settings.resnet_checkpoint:
                threads = settings.inference_threads
                retrievers.append(ResnetRetriever(settings.resnet_checkpoint, threads=threads, on_progress=advance))
        return measure(catalog, retrievers, split=split)  # type: ignore[arg-type]


def _captions(
    options: argparse.Namespace, sources: Sequence[EncoderSource], settings: Settings, console: Console
) -> None:
    from rich.table import Table

    from training.evaluate.coco import TOP_KS, caption_recall, read_captions

    captions = read_captions(options.coco, options.images)
    table = Table(title=f"{options.coco.name}: {len(captions.pictures):,} images, {len(captions.captions):,} captions")
    for column in ("encoder", "direction", *(f"recall@{k}" for k in TOP_KS)):
        table.add_column(column)
    for source in sources:
        recall = caption_recall(_load(source, settings), captions)
        for direction, found in (("text to image", recall.text_to_image), ("image to text", recall.image_to_text)):
            cells = [f"{found[k].mean:.3f} ({found[k].low:.3f}–{found[k].high:.3f})" for k in TOP_KS]
            table.add_row(source.name, direction, *cells)
    console.print(table)
    if captions.missing:
        console.print(f"{captions.missing:,} images are not there or cannot be decoded, and are left out")


def _load(source: EncoderSource, settings: Settings) -> Encoder:
    from vitrine.encoder import load_encoder

    # torch: a report is written once for each encoder, and reads its checkpoint itself.
    return load_encoder(
        source.folder, engine="torch", device=settings.inference_device, threads=settings.inference_threads
    )
