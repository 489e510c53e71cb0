"""The page in a real Chromium: words, pictures, similar items, keyboard, a phone's width, hostile titles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect

from tests.serving.replica_process import ReplicaProcess
from tests.serving.shop_window import ShopWindow

WAIT_MS = 120_000
expect.set_options(timeout=WAIT_MS)  # 5 s by default, and a page on a busy machine takes longer


@pytest.fixture
def page(browser: Browser, shop_replica: ReplicaProcess) -> Iterator[Page]:
    """A page of 1280 pixels; an error in its console fails the test."""
    yield from _page(browser, shop_replica, width=1280, height=900)


@pytest.fixture
def phone(browser: Browser, shop_replica: ReplicaProcess) -> Iterator[Page]:
    """A page of 375 pixels."""
    yield from _page(browser, shop_replica, width=375, height=812)


def _page(browser: Browser, replica: ReplicaProcess, *, width: int, height: int) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": height}, base_url=replica.url)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    page.on("console", note)
    yield page
    context.close()
    assert [problem for problem in problems if "status of 4" not in problem] == []


def test_words_find_items_with_scores_and_the_url_can_be_shared(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#grid a").first).to_be_visible()
    page.get_by_label("Describe what you are looking for").fill("something red")
    page.keyboard.press("Enter")

    expect(page.locator(".score").first).to_be_visible()
    expect(page).to_have_url("/?catalog=shop&q=something+red")
    expect(page.locator("#footer")).to_contain_text("release-")
    page.reload()
    expect(page.locator(".score").first).to_be_visible()
    expect(page.locator("#text")).to_have_value("something red")


def test_an_uploaded_picture_finds_itself_and_can_be_taken_away(page: Page, shop: ShopWindow, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(shop.pictures[3])
    page.goto("/?catalog=shop")
    page.get_by_label("Search with a picture").set_input_files(photo)

    expect(page.get_by_alt_text("Your picture")).to_be_visible()
    expect(page.locator("#grid .title").first).to_have_text("first: yellow")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_alt_text("Your picture")).to_be_hidden()


def test_back_shows_no_picture_that_was_chosen_after_a_reload(page: Page, shop: ShopWindow, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(shop.pictures[3])
    page.goto("/?catalog=shop")
    for _ in range(2):
        page.get_by_label("Search with a picture").set_input_files(photo)
        expect(page.get_by_alt_text("Your picture")).to_be_visible()
        page.reload()
        expect(page.get_by_alt_text("Your picture")).to_be_hidden()
    page.get_by_label("Search with a picture").set_input_files(photo)
    expect(page.get_by_alt_text("Your picture")).to_be_visible()

    page.go_back()

    expect(page.get_by_alt_text("Your picture")).to_be_hidden()  # the reload forgot the earlier ones


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_pasted_or_dropped_picture_is_searched_with(page: Page, shop: ShopWindow, event: str) -> None:
    page.goto("/?catalog=shop")
    expect(page.locator("#grid a").first).to_be_visible()
    page.evaluate(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" }));
            const event = name === "paste"
                ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
                : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
            document.body.dispatchEvent(event);
        }""",
        [event, list(shop.pictures[1])],
    )

    expect(page.get_by_alt_text("Your picture")).to_be_visible()
    expect(page.locator("#grid .title").first).to_contain_text("blue")


def test_a_result_leads_to_similar_items_and_back_again(page: Page) -> None:
    page.goto("/?catalog=plain")
    title = page.locator("#grid .title").first.text_content() or ""
    page.locator("#grid a").first.click()

    expect(page.locator("#chosen h2")).to_have_text(title)
    expect(page.locator("#heading")).to_have_text("Similar items")
    expect(page.locator("#grid").get_by_text(title, exact=True)).to_have_count(0)
    page.go_back()
    expect(page.locator("#chosen")).to_be_hidden()
    expect(page.locator("#heading")).to_have_text("plain")  # a catalog without a title goes by its id


def test_a_catalog_is_chosen_and_one_of_vectors_takes_no_words(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#grid a").first).to_be_visible()
    page.get_by_label("Catalog").select_option("plain")

    expect(page).to_have_url("/?catalog=plain")
    expect(page.locator("#text")).to_be_disabled()
    expect(page.locator("#hint")).to_contain_text("own vectors")


def test_everything_can_be_reached_by_keyboard(page: Page) -> None:
    page.goto("/?catalog=shop&q=red")
    expect(page.locator(".score").first).to_be_visible()
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.type"
            )
        )
    page.keyboard.press("Enter")

    assert reached[0] == "skip"
    kinds = [name.split()[0] for name in reached]  # the card of an item that is out of stock says so, too
    assert kinds[1:7] == ["home", "catalog", "text", "file", "go", "card"]
    expect(page.locator("#chosen h2")).to_be_visible()


def test_a_hostile_title_is_text_and_nothing_else(page: Page) -> None:
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto("/?catalog=shop&q=blue")

    expect(page.get_by_text("first: blue <script>alert(1)</script>")).to_be_visible()
    assert dialogs == []


def test_what_goes_wrong_is_said_and_can_be_left(page: Page) -> None:
    page.goto("/?catalog=nowhere")

    expect(page.get_by_role("alert")).to_contain_text("nowhere")
    page.get_by_role("button", name="Go to").click()
    expect(page.locator("#grid a").first).to_be_visible()
    expect(page.locator("#message")).not_to_have_attribute("role", "alert")


def test_an_item_that_is_gone_is_said_to_be_and_leads_to_the_catalog(page: Page) -> None:
    page.goto("/?catalog=plain&item=nobody")

    expect(page.get_by_role("alert")).to_contain_text("This item is no longer in the catalog.")
    page.get_by_role("button", name="Browse").click()
    expect(page).to_have_url("/?catalog=plain")
    expect(page.locator("#grid a").first).to_be_visible()


def test_a_broken_picture_is_said_to_be_and_another_can_be_chosen(page: Page, shop: ShopWindow, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(shop.pictures[3][:300])
    page.goto("/?catalog=shop&q=red")
    expect(page.locator("#footer")).to_contain_text("encode")
    page.get_by_label("Search with a picture").set_input_files(broken)

    expect(page.get_by_role("alert")).to_contain_text("This picture could not be read.")
    expect(page.locator("#footer")).not_to_contain_text("encode")  # no timings of an earlier answer
    expect(page.locator("#footer")).to_contain_text("release-")
    with page.expect_file_chooser() as opened:
        page.get_by_role("button", name="Choose another").click()
    whole = tmp_path / "whole.jpg"
    whole.write_bytes(shop.pictures[3])
    opened.value.set_files(whole)
    expect(page.locator("#grid .title").first).to_have_text("first: yellow")


def test_a_reload_says_that_the_picture_was_not_kept(page: Page, shop: ShopWindow, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(shop.pictures[3])
    page.goto("/?catalog=shop")
    page.get_by_label("Search with a picture").set_input_files(photo)
    expect(page.get_by_alt_text("Your picture")).to_be_visible()

    page.reload()

    expect(page.locator("#status")).to_have_text("Your picture was not kept; choose it again.")


def test_a_card_shows_the_brand_before_the_last_part_of_the_category(page: Page) -> None:
    page.goto("/?catalog=shop")
    shown = page.evaluate(
        """async () => {
            const { card } = await import("/page/view.js");
            const item = { item_id: "1", title: "Red dress", brand: "Ostra", category: "clothing/dresses" };
            const facts = (item) => card(item, { href: "/" }).querySelector(".facts").textContent;
            return [facts(item), facts({ ...item, title: "Dresses" }), facts({ ...item, brand: null })];
        }"""
    )

    assert shown == ["Ostra · Dresses", "Ostra", "Dresses"]


def test_more_results_come_on_demand(page: Page) -> None:
    page.goto("/?catalog=plain&item=item%2F3")
    expect(page.locator("#grid li")).to_have_count(24)
    page.get_by_role("button", name="Show more").click()

    expect(page.locator("#grid li")).to_have_count(48)


def test_the_page_asks_for_no_more_than_the_server_gives(page: Page) -> None:
    def smaller(route: Route) -> None:
        body = route.fetch().json()
        route.fulfill(json={**body, "limits": {**body["limits"], "top_k": 30, "text_length": 12}})

    page.route("**/v1/catalogs", smaller)
    page.goto("/?catalog=plain&item=item%2F3")
    expect(page.locator("#grid li")).to_have_count(24)
    page.get_by_role("button", name="Show more").click()

    expect(page.locator("#grid li")).to_have_count(30)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    assert page.get_by_label("Describe what you are looking for").get_attribute("maxlength") == "12"


def test_the_page_fits_a_phone(phone: Page) -> None:
    phone.goto("/?catalog=shop&q=green")
    expect(phone.locator(".score").first).to_be_visible()

    assert phone.evaluate("document.documentElement.scrollWidth") == 375
    small = phone.evaluate(
        """[...document.querySelectorAll("header a, select, .camera, .go, #grid a")]
            .map((one) => one.getBoundingClientRect()).filter((box) => box.height < 26 || box.width < 26).length"""
    )
    assert small == 0
