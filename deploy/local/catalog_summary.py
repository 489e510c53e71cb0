"""Prints the end of `make demo` and `make ingest`: what came in, where to see it, and what to try next."""

from __future__ import annotations

import datetime
import json
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any
from urllib.parse import urlencode

import httpx
from rich import box
from rich.console import Console
from rich.table import Table

from deploy.local.catalog_runs import CatalogState
from deploy.local.configuration import Configuration
from deploy.local.probes import get_json
from deploy.local.summary import live_release, print_logins
from deploy.local.terminal_text import is_printable
from vitrine.contracts.datasets import Manifest

_TITLE_WORDS = 6  # of an item's title that make a query
_TIMEOUT_S = 10.0
_LABEL_WIDTH = 16


def print_catalog(
    configuration: Configuration,
    catalog_id: str,
    state: CatalogState,
    *,
    days: Collection[str],
    words: str | None = None,
    try_next: tuple[str, str] | None = None,
    console: Console,
) -> None:
    """Prints what became of some days' rows, the catalog's search page, its live release, and commands to try.

    Args:
        configuration: of the platform.
        catalog_id, state: of the catalog.
        days: that the command ingested; the catalog's other days are only counted.
        words: to search for; by default the category of an item.
        try_next: what the last command does, and the command itself; by default the ingest of the next day.
        console: to print to.
    """
    shown = {dt: state.manifests[dt] for dt in sorted(days) if dt in state.manifests}
    is_whole = len(state.manifests) == len(state.head.manifests)
    console.print(_table(catalog_id, shown, state.manifests if is_whole else {}))
    if reasons := _why_rejected(shown):
        # Wrapped here, so that the reasons stay beside their label on a narrow terminal.
        beside = f"\n{'':<{_LABEL_WIDTH}} ".join(wrap(reasons, console.width - _LABEL_WIDTH - 1))
        _line(console, "why rejected", beside + "\n")
    release = live_release(configuration, catalog_id)
    if release is not None:
        _line(console, "search page", page_url(configuration, catalog_id))
        _line(console, "live release", f"{release['release_id']}, {release['items']:,} items")
        _line(console, "recall@10", f"{_recall(release['recall_at_10'])} (the index against exact search)")
    pages = [configuration.layout.data_docs / catalog_id / dt / "index.html" for dt in shown]
    for label, page in zip(["Data Docs", *[""] * len(pages)], filter(Path.is_file, pages), strict=False):
        _line(console, label, str(page))
    if release is not None and shown:
        takes_words = all(manifest.space == "encoder" for manifest in state.manifests.values())
        questions = _questions(configuration, catalog_id, takes_words=takes_words, words=words)
        last = try_next or next_delivery(state, catalog_id, max(shown)) or _LOOK_AROUND
        _print_next([*questions, last], console)
    console.print()
    print_logins(configuration, console)


_LOOK_AROUND = ("see all services, and what is live in each catalog", "make status")


def page_url(configuration: Configuration, catalog_id: str) -> str:
    """Returns the URL of a catalog's search page."""
    if catalog_id == configuration.settings.default_catalog:
        return configuration.search_url
    return f"{configuration.search_url}/?{urlencode({'catalog': catalog_id})}"


def next_delivery(state: CatalogState, catalog_id: str, dt: str) -> tuple[str, str] | None:
    """Returns the command that ingests the first missing day after `dt`, with what it does before it.

    None where there is no folder of that day beside the folder of `dt`.
    """
    source, day = state.sources.get(dt), datetime.date.fromisoformat(dt)
    if source is None:
        return None
    while str(day) in state.head.manifests:
        day += datetime.timedelta(days=1)
    beside = Path(source).with_name(f"dt={day}")
    if Path(source).name != f"dt={dt}" or not beside.is_dir():
        return None
    return "ingest the next day", shlex.join(
        ["make", "ingest", f"SOURCE={beside}", f"DT={day}", f"CATALOG={catalog_id}"]
    )


def _table(catalog_id: str, shown: Mapping[str, Manifest], manifests: Mapping[str, Manifest]) -> Table:
    table = Table(title=f"catalog {catalog_id}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in ("day", "rows", "accepted", "rejected"):
        table.add_column(column, justify="left" if column == "day" else "right", no_wrap=True)
    for dt, manifest in shown.items():
        table.add_row(dt, *_counts([manifest]))
    if len(manifests) > 1:
        table.add_section()
        table.add_row(f"all {len(manifests)} days", *_counts(manifests.values()))
    return table


def _counts(manifests: Collection[Manifest]) -> Iterator[str]:
    yield f"{sum(manifest.rows_in for manifest in manifests):,}"
    yield f"{sum(manifest.rows_accepted for manifest in manifests):,}"
    yield f"{sum(manifest.rows_rejected for manifest in manifests):,}"


def _why_rejected(shown: Mapping[str, Manifest]) -> str:
    """Why rows of some days were rejected, the most frequent reason first."""
    reasons: Counter[str] = Counter()
    for manifest in shown.values():
        reasons.update(manifest.rejected_by_reason)
    return ", ".join(
        f"{reason} {count}" for reason, count in sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
    )


def _print_next(commands: Sequence[tuple[str, str]], console: Console) -> None:
    console.print("\ntry next", style="bold")
    # They quote ids and sources: a command that the terminal cannot show exactly cannot be copied from it.
    for what, command in filter(lambda one: is_printable(one[1]), commands):
        console.print(f"  # {what}", style="dim", markup=False, highlight=False, soft_wrap=True)
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _questions(
    configuration: Configuration, catalog_id: str, *, takes_words: bool, words: str | None
) -> Iterator[tuple[str, str]]:
    """A search that finds something, and the lineage of its first result; nothing if the search tier is silent."""
    named = {} if catalog_id == configuration.settings.default_catalog else {"catalog": catalog_id}
    try:
        shown = get_json(f"{configuration.search_url}/v1/items?{urlencode({'limit': 1, **named})}")
        body = {**_query(shown["items"][0], takes_words=takes_words, words=words), "top_k": 3, **named}
        address = f"{configuration.search_url}/v1/search"
        # The server is on this machine, so proxies from the environment do not apply.
        found = httpx.post(address, json=body, timeout=_TIMEOUT_S, trust_env=False).raise_for_status().json()
        first = found["results"][0]["item_id"]
    except (httpx.HTTPError, OSError, ValueError, KeyError, IndexError, TypeError):
        return
    sent = ["-H", "content-type: application/json", "-d", _as_json(body)]
    yield "search it", shlex.join(["curl", "-s", address, *sent])
    lineage = ["make", "lineage", f"ITEM={first}", *(f"CATALOG={name}" for name in named.values())]
    yield "trace the first result back to its delivery", shlex.join(lineage)


def _as_json(body: Mapping[str, Any]) -> str:
    """Keeps letters of any script as they are, and escapes what a terminal would act on."""
    text = json.dumps(body, ensure_ascii=False)
    return "".join(char if is_printable(char) else json.dumps(char)[1:-1] for char in text)


def _query(item: Mapping[str, Any], *, takes_words: bool, words: str | None) -> dict[str, str]:
    """A query for an item's category or title; without words or an encoder that reads them, for items like it."""
    category = re.sub(r"[-_]+", " ", str(item.get("category") or "").rpartition("/")[2]).strip()
    text = words or category or " ".join(str(item.get("title") or "").split()[:_TITLE_WORDS])
    return {"text": text.lower()} if takes_words and text else {"item_id": str(item["item_id"])}


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"{label:<{_LABEL_WIDTH}} {text}", markup=False, highlight=False, soft_wrap=True)


def _recall(figures: Any) -> str:
    if not isinstance(figures, dict):
        return f"{figures:.3f}"
    measured = [f"{name} {figures[name]:.3f}" for name in ("image", "text") if figures.get(name) is not None]
    return ", ".join(measured) or "not measured"
