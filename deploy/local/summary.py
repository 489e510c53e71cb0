"""What a person needs to know of the platform: what runs, what is live, and where to look with which login."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local.configuration import Configuration
from deploy.local.probes import get_json
from deploy.local.service_states import PlatformState, ServiceState
from deploy.local.services import KEEPERS
from deploy.local.terminal_text import printable
from vitrine.connections import open_ledger
from vitrine.errors import LedgerError
from vitrine.ledger import LivePointer

_COLOURS = {"ready": "green", "stopped": "dim", "gave up": "bold red", "not answering": "red", "suspended": "red"}
_MOMENT_S = 3.0  # for which a command may start or end services without being spoken of
_RELEASE_FIELDS = {
    "release_id", "slot", "activated_at", "index_version", "items", "dimension", "recall_at_10", "encoder_version",
    "encoder_fingerprint",
}  # fmt: skip


def print_places(configuration: Configuration, console: Console) -> None:
    """Prints every URL with its login."""
    console.print(f"search           {configuration.search_url}  (page, API: /openapi.json)")
    print_logins(configuration, console)


def print_logins(configuration: Configuration, console: Console) -> None:
    """Prints the URLs of what asks for a login."""
    credentials = configuration.credentials
    logins = {
        f"Airflow          {configuration.airflow_url}": (credentials.airflow_user, credentials.airflow_password),
        f"MLflow           {configuration.mlflow_url}": configuration.mlflow_login,
    }
    for place, (user, password) in logins.items():
        console.print(f"{place}  login {user} / {password}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"S3               {configuration.s3_url}  keys in {configuration.layout.env_file}", soft_wrap=True)


def print_change(
    before: Mapping[str, Any], after: Mapping[str, Any], *, version: str, requests: int, failed: int, console: Console
) -> None:
    """Prints what a promotion changed, and how many requests failed meanwhile."""
    table = Table(title="the release changed over", title_justify="left")
    for column in ("", "release", "encoder", "version", "index version"):
        table.add_column(column)
    for name, served in (("before", before), ("after", after)):
        table.add_row(
            name,
            served["release_id"],
            served["encoder_fingerprint"],
            str(served["encoder_version"]),
            served["index_version"],
        )
    console.print(table)
    console.print(f"champion         version {version} of vitrine-encoder")
    console.print(f"failed requests  {failed} of {requests:,} while it was trained, promoted and released")


def print_status(configuration: Configuration | None, state: PlatformState, console: Console) -> None:
    """Prints the services, and the live release of each catalog as the ledger and the search tier know it."""
    if configuration is None:
        console.print("nothing was set up here yet; `make up` starts the services, `make demo` fills them")
        return
    table = Table()
    for column in ("service", "state", "pid", "memory", "restarts", "where"):
        table.add_column(column, justify="right" if column in ("pid", "memory", "restarts") else "left")
    for service in state.services:
        table.add_row(
            service.name,
            f"[{_COLOURS.get(service.word, 'yellow')}]{service.word}[/]",
            str(service.pid or ""),
            f"{service.memory_bytes / 1e6:,.0f} MB" if service.process_count else "",
            str(service.history.restarts or ""),
            service.url or "",
        )
    console.print(table)
    for service in state.services:
        for line in _remarks(service):
            console.print(f"{service.name}: {line}", markup=False, highlight=False, soft_wrap=True)
    for line in advice(state):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not any(service.is_ready and service.name == "postgres" for service in state.services):
        console.print("live releases are unknown while PostgreSQL does not answer")
        return
    print_places(configuration, console)
    try:
        pointers = _live_pointers(configuration)
    except LedgerError as error:
        console.print(f"live releases are unknown: {str(error).splitlines()[0]}", markup=False, soft_wrap=True)
        return
    if not pointers:
        console.print("no catalog has a live release yet; `make demo` makes one")
    for catalog_id, pointer in sorted(pointers.items()):
        served = live_release(configuration, catalog_id)
        serving = "not served" if served is None else f"served by {served['slot']}, {served['items']:,} items"
        if served is not None and served["release_id"] != pointer.release_id:
            serving = f"the search tier still serves {served['release_id']}"
        pinned = f", pinned: {printable(pointer.pin_reason)}" if pointer.pinned else ""
        console.print(
            f"{catalog_id}: release {pointer.release_id} (generation {pointer.generation}, "
            f"since {pointer.activated_at:%Y-%m-%d %H:%M}{pinned}); {serving}",
            markup=False,
            soft_wrap=True,
        )


def _remarks(service: ServiceState) -> Iterator[str]:
    """What stands below the table: why a service is not ready, and what the keeper did for it last."""
    if not service.is_ready and service.detail:
        yield f"{service.word}, {service.detail}"
    if service.remark:
        yield service.remark
    history = service.history
    if history.last_at is not None:
        did = [
            f"{verb} {count} time{'s' if count > 1 else ''}"
            for verb, count in (("started again", history.restarts), ("told to go on", history.continued))
            if count
        ]
        at = datetime.datetime.fromtimestamp(history.last_at).strftime("%Y-%m-%d %H:%M:%S")
        yield f"{' and '.join(did)}, last at {at}: {history.last_reason}"


def advice(state: PlatformState) -> Iterator[str]:
    """Yields what a person may do now, or has to know before."""
    if state.turn is not None and (held_s := time.time() - state.turn.since) >= _MOMENT_S:
        yield f"nothing is restarted while another command is at work, for {held_s:,.0f} s so far: {state.turn}"
    if not state.is_wanted:
        if any(service.process_count for service in state.services):
            yield "`make down` did not finish; run it again"
        else:
            yield "nothing runs; `make up` starts the services"
        return
    words = {service.name: service.word for service in state.services}
    if all(words.get(name) in ("stopped", "gave up") for name in KEEPERS):
        yield "nobody brings back what dies: both keepers are down; `make up` starts them and restarts nothing else"
    if "stopped" in words.values():
        yield "`make up` starts what is stopped"


def live_release(configuration: Configuration, catalog_id: str) -> dict[str, Any] | None:
    """Returns what the search tier says that it serves for a catalog, or None when it serves nothing."""
    try:
        body = get_json(f"{configuration.search_url}/v1/release?catalog={catalog_id}")
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) and body.keys() >= _RELEASE_FIELDS else None


def _live_pointers(configuration: Configuration) -> dict[str, LivePointer]:
    with closing(open_ledger(configuration.settings)) as ledger:
        return ledger.releases.all_live()
