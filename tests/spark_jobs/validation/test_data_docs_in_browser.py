"""Data Docs in a real Chromium that has no network: styled, readable on a phone and in the dark, without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from spark_jobs.validation import validate_partition
from tests.spark_jobs.candidate_rows import DT
from tests.spark_jobs.validation.docs_of_a_day import delivered_day, local_docs, pages_under
from vitrine.errors import ContractError
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

PAPER, DARK_PAPER = "rgb(251, 249, 246)", "rgb(23, 21, 19)"


@pytest.fixture
def docs(settings: Settings, object_store: ObjectStore, catalog_id: str) -> Path:
    """The pages of a day on which an expectation failed."""
    delivery = delivered_day(catalog_id)
    delivery.rows[0]["image_sha256"] = "short"
    with pytest.raises(ContractError):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery.write(settings))
    return local_docs(settings, catalog_id)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page as wide as a desk's; whatever it asks for but a file, and an error in its console, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    context.set_default_timeout(300_000)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text))
    yield page
    context.close()
    assert asked, "the test opened no page"
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []


def test_every_page_is_styled_and_fits_a_phone_without_a_network(docs: Path, page: Page) -> None:
    for path in pages_under(docs):
        for width in (1280, 375):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(path.as_uri())

            assert _paper(page) == PAPER, path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_pages_are_dark_where_the_reader_prefers_it(docs: Path, page: Page) -> None:
    page.emulate_media(color_scheme="dark")

    for path in pages_under(docs):
        page.goto(path.as_uri())

        assert _paper(page) == DARK_PAPER, path


def test_the_first_page_leads_to_what_failed_and_back(docs: Path, page: Page) -> None:
    page.goto((docs / "index.html").as_uri())
    page.locator("#suites").get_by_role("link", name="images_suite").click()
    page.wait_for_url("**/images_suite.html")
    rows = page.locator(".ge-section tbody tr:visible")
    everything = rows.count()

    page.get_by_label("Show only what failed").check()

    failed = page.locator(".fa-times:visible")
    assert 0 < rows.count() < everything
    assert failed.count() > 0
    assert page.locator("td .fa-check-circle:visible").count() == 0
    page.get_by_role("link", name="The day").click()
    page.wait_for_url((docs / "index.html").as_uri())


def test_more_about_a_run_opens_without_a_script(docs: Path, page: Page) -> None:
    page.goto((docs / "validations/items_suite.html").as_uri())
    version = page.get_by_text("Great Expectations Version")
    assert not version.is_visible()

    page.get_by_text("Show more info").click()

    assert version.is_visible()


def _paper(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))
