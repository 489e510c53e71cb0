"""What `make demo` and `make ingest` end with."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local.catalog_runs import CatalogState
from deploy.local.catalog_summary import _as_json, _print_next, next_delivery, page_url, print_catalog
from deploy.local.configuration import Configuration, configure
from deploy.local.layout import Layout
from deploy.local.terminal_text import is_printable
from tests.platform_fixture import private_environment
from vitrine.contracts.datasets import Manifest
from vitrine.ledger import Head

DAYS = ("2026-11-01", "2026-11-02", "2026-11-04")


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    layout = Layout(tmp_path / "platform")
    return configure(layout, private_environment(layout.state_dir))


def manifest(dt: str, *, accepted: int, rejected: int) -> Manifest:
    return Manifest(
        manifest_id=f"manifest-{dt}",
        catalog_id="shop",
        dt=dt,
        delivery_id=f"delivery-{dt}",
        full=False,
        policy_digest="p",
        space="encoder",
        dimension=None,
        rows_in=accepted + rejected,
        rows_accepted=accepted,
        rows_rejected=rejected,
        rows_deleted=0,
        rejected_by_reason={"image_missing": rejected} if rejected else {},
        parts=(),
        quarantine_parts=(),
    )


def state_of(**sources: str) -> CatalogState:
    manifests = {dt: manifest(dt, accepted=90, rejected=10) for dt in DAYS}
    return CatalogState(Head("shop", 3, {dt: f"manifest-{dt}" for dt in DAYS}), None, manifests, sources)


def said(configuration: Configuration, state: CatalogState, days: list[str]) -> str:
    written = io.StringIO()
    print_catalog(configuration, "shop", state, days=days, console=Console(file=written, width=80))
    return written.getvalue()


def test_of_a_long_history_only_the_days_of_the_command_are_read_and_shown(configuration: Configuration) -> None:
    days = {f"2026-10-{day:02d}": "m" for day in range(1, 32)} | {dt: f"manifest-{dt}" for dt in DAYS}
    state = CatalogState(Head("shop", 34, days), None, {DAYS[1]: manifest(DAYS[1], accepted=90, rejected=10)}, {})

    lines = [line.split() for line in said(configuration, state, [DAYS[1]]).splitlines()]

    assert ["2026-11-02", "100", "90", "10"] in lines
    assert not any(line[:1] == ["all"] for line in lines)


def test_the_days_of_the_command_are_shown_and_the_others_counted(configuration: Configuration) -> None:
    lines = [line.split() for line in said(configuration, state_of(), ["2026-11-02"]).splitlines()]

    assert ["2026-11-02", "100", "90", "10"] in lines
    assert ["all", "3", "days", "300", "270", "30"] in lines
    assert ["why", "rejected", "image_missing", "10"] in lines
    assert not any(line[:1] == ["2026-11-01"] for line in lines)


def test_data_docs_are_named_by_the_files_that_are_there(configuration: Configuration) -> None:
    page = configuration.layout.data_docs / "shop" / "2026-11-02" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()

    text = said(configuration, state_of(), ["2026-11-01", "2026-11-02"])

    assert [line.split()[-1] for line in text.splitlines() if line.endswith(".html")] == [str(page)]


def test_each_catalog_has_a_page_and_the_default_one_the_plain_url(configuration: Configuration) -> None:
    default = configuration.settings.default_catalog

    assert page_url(configuration, default) == configuration.search_url
    assert page_url(configuration, "shop") == f"{configuration.search_url}/?catalog=shop"


def test_the_next_delivery_is_of_the_first_day_without_one_and_from_the_folder_beside(tmp_path: Path) -> None:
    this, beside = tmp_path / "my shop" / "dt=2026-11-02", tmp_path / "my shop" / "dt=2026-11-03"

    state = state_of(**{"2026-11-02": str(this)})
    assert next_delivery(state, "shop", "2026-11-02") is None

    beside.mkdir(parents=True)
    assert next_delivery(state, "shop", "2026-11-02") == (
        "ingest the next day",
        f"make ingest 'SOURCE={beside}' DT=2026-11-03 CATALOG=shop",
    )


def test_where_a_day_came_from_elsewhere_no_next_delivery_is_named() -> None:
    assert next_delivery(state_of(), "shop", "2026-11-01") is None


def test_a_command_that_a_terminal_would_not_show_as_it_is_is_not_offered() -> None:
    written = io.StringIO()

    _print_next(
        [("search it", "curl -d '[red]dress'"), ("trace it", "make lineage ITEM=\u202e\x9b2J")], Console(file=written)
    )

    assert "curl -d '[red]dress'" in written.getvalue()
    assert "lineage" not in written.getvalue()


@pytest.mark.parametrize("category", ["dress\x1b[2J", "dress\x9b2J", "\u202esserd", "robe d’été"])
def test_the_body_of_the_search_says_the_same_without_what_acts_on_a_terminal(category: str) -> None:
    sent = _as_json({"text": category})

    assert is_printable(sent)
    assert json.loads(sent) == {"text": category}
    assert ("été" in sent) is ("été" in category)
