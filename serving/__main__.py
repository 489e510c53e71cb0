"""`python -m serving`: run and stop a replica, and release, promote, roll back, pin and look at what is live."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import sys

from vitrine.errors import VitrineError
from vitrine.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment()
        if options.command == "run":
            from serving.replica import run_replica

            run_replica(settings)
            return _leave()
        if options.command == "stop":
            from serving.stopping import stop_replica

            ended = stop_replica(settings)
            print(f"replica {settings.replica_id}: " + (f"{ended} processes ended" if ended else "nothing ran"))
            return 0
        if options.command == "status":
            from serving.status import print_status

            return print_status(settings, catalog_id=options.catalog, as_json=options.json)
        return _control(settings, options)
    except VitrineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _leave() -> int:
    """Ends the process at once, without waiting for downloads: the next life goes on with them."""
    logging.shutdown()
    os._exit(0)


def _control(settings: Settings, options: argparse.Namespace) -> int:
    from vitrine.releases import control

    catalog_id, actor, reason = options.catalog, options.actor, getattr(options, "reason", "")
    if options.command == "release":
        generation = control.release(settings, catalog_id=catalog_id, release_id=options.release_id, actor=actor)
        print(f"{catalog_id}: release {options.release_id} is live (generation {generation})")
    elif options.command == "promote":
        generation = control.promote(
            settings, catalog_id=catalog_id, release_id=options.release_id, actor=actor, reason=reason
        )
        print(f"{catalog_id}: release {options.release_id} is live by hand (generation {generation})")
        _say_pin(settings, catalog_id)
    elif options.command == "rollback":
        back = control.roll_back(settings, catalog_id=catalog_id, actor=actor, reason=reason, release_id=options.to)
        print(f"{catalog_id}: rolled back to {back.release_id} and pinned (generation {back.generation})")
    elif options.command == "pin":
        control.pin(settings, catalog_id=catalog_id, actor=actor, reason=reason)
        print(f"{catalog_id}: pinned; no release goes live by itself until `unpin` or `promote`")
    else:
        control.unpin(settings, catalog_id=catalog_id, actor=actor, reason=reason)
        print(f"{catalog_id}: unpinned")
    return 0


def _say_pin(settings: Settings, catalog_id: str) -> None:
    from contextlib import closing

    from vitrine.connections import open_ledger

    with closing(open_ledger(settings)) as ledger:
        live = ledger.releases.live(catalog_id)
    if live is not None and live.pinned:
        print(f"{catalog_id}: pinned, {live.pin_reason}; no release goes live by itself until `unpin`")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run a search replica until SIGTERM")
    commands.add_parser("stop", help="end this machine's search replica, also one that has lost its agent")
    status = commands.add_parser("status", help="what is live, on which replicas")
    status.add_argument("--catalog", help="one catalog instead of all")
    status.add_argument("--json", action="store_true", help="print JSON instead of lines")
    release = _command(commands, "release", "gate a candidate, stage it, make it live and verify it")
    release.add_argument("--release-id", required=True)
    promote = _command(
        commands, "promote", "make any release live by hand; unpins, or pins if it is older than the head"
    )
    promote.add_argument("--release-id", required=True)
    promote.add_argument("--reason", default="")
    rollback = _command(commands, "rollback", "go back to the release before this one; pins")
    rollback.add_argument("--to", help="a release instead of the one before")
    rollback.add_argument("--reason", default="")
    for name, help_text in (("pin", "keep what is live until unpinned"), ("unpin", "let releases go live again")):
        _command(commands, name, help_text).add_argument("--reason", default="")
    return parser


def _command(commands: argparse._SubParsersAction, name: str, help_text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help_text)
    command.add_argument("--catalog", required=True)
    command.add_argument("--actor", default=getpass.getuser(), help="who does it, for the history")
    return command


if __name__ == "__main__":
    sys.exit(main())
