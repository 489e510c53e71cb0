"""Writes Great Expectations' own pages of the Data Docs: what each suite expects, and what it found.

Its renderers provide the content. The frame, the tables and the collapsible sections come from `templates/`, so that a
page fetches nothing, runs no script and shows the values of a delivery as text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, FileSystemLoader

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent / "templates"
# Great Expectations links from the folder of a run, which its own site has and ours does not.
_LINK_TO_SUITE, _OURS = 'href="../../../../expectations/', 'href="../expectations/'


def write_suite_pages(docs_dir: Path, *, suites: Sequence[ExpectationSuite], results: Iterable[Any]) -> None:
    """Writes `expectations/<suite>.html` and `validations/<suite>.html`."""
    from great_expectations.render.renderer import ExpectationSuitePageRenderer, ValidationResultsPageRenderer

    view = _view()
    expectations, validations = docs_dir / "expectations", docs_dir / "validations"
    expectations.mkdir(parents=True, exist_ok=True)
    validations.mkdir(exist_ok=True)
    for suite in suites:
        page = _rendered(view, ExpectationSuitePageRenderer(), suite, name=suite.name)
        (expectations / f"{suite.name}.html").write_text(page, encoding="utf-8")
    for result in results:
        page = _rendered(view, ValidationResultsPageRenderer(), result, name=result.suite_name)
        page = page.replace(_LINK_TO_SUITE, _OURS)
        (validations / f"{result.suite_name}.html").write_text(page, encoding="utf-8")


def _rendered(view: Any, renderer: Any, subject: Any, *, name: str) -> str:
    """Returns a page; one that cannot be rendered says so, because the results decide about the day, not the pages."""
    try:
        return str(view.render(renderer.render(subject)))
    except Exception:
        log.exception("the page of suite %s cannot be rendered; its results are in result.json", name)
        return f"<!doctype html><title>{escape(name)}</title><p>This page cannot be rendered; see result.json."


def _view() -> Any:
    from great_expectations.render.view import DefaultJinjaPageView

    view = DefaultJinjaPageView()
    ours, theirs = FileSystemLoader(TEMPLATES), view.env.loader
    view.env.loader = ChoiceLoader([ours, theirs] if theirs else [ours])
    return view
