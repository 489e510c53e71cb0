"""`python -m deploy.local`: starts, ends and watches the platform on this machine, and runs catalogs through it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from rich.console import Console

from deploy.local import catalog_runs, catalog_summary, demo, lifecycle, loop, summary
from deploy.local.configuration import configure, direct_connections
from deploy.local.layout import Layout
from deploy.local.service_states import read_states
from deploy.local.terminal_text import printable
from vitrine.errors import VitrineError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = command_parser().parse_args(arguments)
    os.environ.update(direct_connections(os.environ))
    layout = Layout.from_environment(os.environ)
    try:
        return _COMMANDS[options.command](layout, options) or 0
    except VitrineError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "interrupted; what was started keeps running: `make status` shows it, `make down` ends it", file=sys.stderr
        )
        return 130


def command_parser() -> argparse.ArgumentParser:
    """Returns the parser of the commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start every service that is not running")
    commands.add_parser("down", help="end every process that was started, and only those")
    commands.add_parser("status", help="what answers, where, and the live releases; fails when a service is not ready")
    shown = commands.add_parser("demo", help="everything: services, the demo catalog, its DAGs, a live search")
    shown.add_argument("--items", type=int, default=demo.ITEMS, help="rows of the demo catalog (default: %(default)s)")
    commands.add_parser(
        "loop", help="train the demo's encoder, promote it, and wait for its release under a light load"
    )
    ingest = commands.add_parser("ingest", help="deliver a day to a catalog and wait for its live release")
    ingest.add_argument("--source", required=True, help="folder, items file or s3:// prefix")
    ingest.add_argument("--dt", required=True, help="the day, YYYY-MM-DD")
    ingest.add_argument("--catalog", help="id; by default made from the source's name")
    ingest.add_argument("--removal", choices=["meant"], help="what the delivery takes out of the head is meant")
    return parser


def _up(layout: Layout, _: argparse.Namespace) -> None:
    configuration = lifecycle.up(layout, os.environ, report=_say)
    if configuration.settings.encoder_checkpoint is not None:
        demo.register_encoder(configuration, _say)
    summary.print_places(configuration, _console())


def _down(layout: Layout, _: argparse.Namespace) -> None:
    lifecycle.down(layout, report=_say)


def _status(layout: Layout, _: argparse.Namespace) -> int:
    state = read_states(layout, os.environ)
    summary.print_status(configure(layout, os.environ) if state.services else None, state, _console())
    return 0 if state.is_as_wanted else 1


def _demo(layout: Layout, options: argparse.Namespace) -> None:
    configuration, state = demo.run_demo(layout, os.environ, items=options.items, report=_say)
    catalog_summary.print_catalog(
        configuration,
        demo.CATALOG_ID,
        state,
        days=state.manifests,
        words="red dress",
        try_next=("train an encoder on its shoppers and see the search change over, some minutes", "make loop"),
        console=_console(),
    )


def _loop(layout: Layout, _: argparse.Namespace) -> None:
    from training.evaluate.pages.rendering import print_report

    console = _console()
    result = loop.run_loop(
        layout, os.environ, report=_say, show_report=lambda measured: print_report(measured, console)
    )
    load = result.load
    summary.print_change(
        result.before,
        result.after,
        version=result.version.version,
        requests=load.requests,
        failed=len(load.failures),
        console=console,
    )


def _ingest(layout: Layout, options: argparse.Namespace) -> None:
    if not options.source or not options.dt:
        raise catalog_runs.CatalogError("make ingest needs SOURCE=<folder or s3://prefix> and DT=YYYY-MM-DD")
    catalog_runs.check_day(options.dt)
    source = catalog_runs.check_source(options.source)
    catalog_id = options.catalog or catalog_runs.catalog_id_of(source)
    configuration = lifecycle.up(layout, os.environ, report=_say)
    catalog = catalog_runs.catalog_of(configuration.settings, catalog_id, source=source)
    demo.register_encoder(configuration, _say)
    state = catalog_runs.ingest(
        configuration,
        catalog,
        sources={options.dt: source},
        removal_is_meant=options.removal == "meant",
        report=_say,
    )
    catalog_summary.print_catalog(configuration, catalog_id, state, days=[options.dt], console=_console())


def _say(line: str) -> None:
    # One write: services report from several threads at once.
    sys.stdout.write(printable(line) + "\n")
    sys.stdout.flush()


def _console() -> Console:
    # Elsewhere than on a terminal rich cuts at 80 columns, and ids would be lost.
    return Console() if sys.stdout.isatty() else Console(width=160)


_COMMANDS: dict[str, Callable[[Layout, argparse.Namespace], int | None]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "demo": _demo,
    "ingest": _ingest,
    "loop": _loop,
}


if __name__ == "__main__":
    sys.exit(main())
