"""A day's Data Docs: what the first page says, pages that need no other host, and the copy on this machine."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spark_jobs.validation import validate_partition
from spark_jobs.validation.data_docs import keep_local_copy
from spark_jobs.validation.day_page import share_of, write_day_page
from spark_jobs.validation.gate import GateCheck
from spark_jobs.validation.manifest_parts import EXAMPLES
from tests.spark_jobs.candidate_rows import DT
from tests.spark_jobs.validation.docs_of_a_day import HOSTILE, day_of, delivered_day, local_docs, pages_under, read_page
from vitrine.catalogs import QualityThresholds
from vitrine.contracts.items import Reason
from vitrine.errors import ContractError, GateError
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

ROOT = Path(__file__).resolve().parents[3]
_DIE_HALF_WAY = """
import os, shutil, sys
from pathlib import Path
from spark_jobs.validation.data_docs import keep_local_copy
def copy_one(source, target, **_):
    Path(target).mkdir()
    shutil.copy(Path(source) / "index.html", target)
    os._exit(9)
shutil.copytree = copy_one
keep_local_copy(Path(sys.argv[1]), Path(sys.argv[2]))
"""
_VALIDATE_NOTHING = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO)
from spark_jobs.validation.expectations import run_suites
from spark_jobs.validation.suites import images_suite, items_suite
from vitrine.catalogs import Catalog
from vitrine.connections import open_object_store
from vitrine.items.policy import IngestPolicy
from vitrine.settings import Settings
settings = Settings(state_dir=Path(sys.argv[1]))
policy = IngestPolicy.of(Catalog(catalog_id="shop"), settings)
suites = [items_suite(policy, rejected_by_reason={}, rows=0), images_suite(policy)]
run_suites(settings, open_object_store(settings), parts=[], suites=suites, docs_dir=Path(sys.argv[1]) / "docs")
logging.getLogger("great_expectations.any").info("heard again")
"""


def test_the_first_page_says_how_many_rows_were_accepted_and_rejected_and_why(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    delivery = delivered_day(catalog_id)
    delivery_id = delivery.write(settings)

    manifest_id = validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    page = read_page(local_docs(settings, catalog_id) / "index.html")
    assert page.text("rows-in") == "20"
    assert page.text("rows-accepted") == "14 70.00%"
    assert page.text("rows-rejected") == "6 30.00%"
    assert page.text("rows-deleted") == "1"
    assert page.text("verdict") == "passed"
    assert {catalog_id, DT, manifest_id, delivery_id} <= set(re.split(r"[\s,]+", page.text("")))
    assert "The image does not exist image_missing 4 20.00%" in page.text("reasons")
    assert "The row cannot be read malformed_row 1 5.00%" in page.text("reasons")
    assert "Rejected rows max_reject_share at most 90.00% 30.00% (6 rows) met" in page.text("checks")
    shown = [f"row {row['row_number']} " for row in delivery.rows if row.get("reject_reason") == "image_missing"]
    assert [row in page.text("") for row in shown] == [True] * EXAMPLES + [False] * (len(shown) - EXAMPLES)


def test_a_page_that_cannot_be_rendered_says_so_and_costs_the_day_nothing(
    settings: Settings, object_store: ObjectStore, catalog_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    def fail(*_: object) -> None:
        raise KeyError("content_block_type")

    monkeypatch.setattr(ValidationResultsPageRenderer, "render", fail)
    delivery_id = delivered_day(catalog_id).write(settings)

    assert validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)
    docs = local_docs(settings, catalog_id)
    assert "cannot be rendered" in read_page(docs / "validations" / "items_suite.html").text("")
    assert read_page(docs / "index.html").text("verdict") == "passed"


def test_a_day_over_a_limit_is_refused_on_its_page_and_names_the_limit(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    delivery_id = delivered_day(catalog_id, quality=QualityThresholds(max_reject_share=0.2)).write(settings)

    with pytest.raises(GateError):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    page = read_page(local_docs(settings, catalog_id) / "index.html")
    assert page.text("verdict") == "refused"
    assert "Limits not met: rejected rows, rows whose image does not exist." in page.text("")
    assert "max_reject_share at most 20.00% 30.00% (6 rows) not met" in page.text("checks")


def test_judges_that_disagree_are_told_on_the_page_that_stays_on_this_machine(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    delivery = delivered_day(catalog_id)
    delivery.rows[0]["image_sha256"] = "short"
    delivery_id = delivery.write(settings)

    with pytest.raises(ContractError, match="validation disagrees with quarantine"):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    page = read_page(local_docs(settings, catalog_id) / "index.html")
    assert page.text("verdict") == "failed"
    assert "expect_column_values_to_match_regex(image_sha256): 1 of 13 rows break it" in page.text("")
    assert "(not written)" in page.text("")


def test_what_a_delivery_brings_is_shown_as_text_on_every_page(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    delivery = delivered_day(catalog_id)
    delivery.accept(HOSTILE)
    delivery.accept(HOSTILE)  # which Great Expectations shows as a value that is not unique
    delivery_id = delivery.write(settings)

    with pytest.raises(ContractError):
        validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    pages = {path.name: read_page(path) for path in pages_under(local_docs(settings, catalog_id) / "validations")}
    first = read_page(local_docs(settings, catalog_id) / "index.html")
    assert HOSTILE in first.text("")
    assert HOSTILE in pages["items_suite.html"].text("")
    assert "script" not in {tag for page in (first, *pages.values()) for tag in page.tags}


def test_no_page_refers_to_another_host_and_no_link_leads_nowhere(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    delivery_id = delivered_day(catalog_id).write(settings)

    validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    docs = local_docs(settings, catalog_id)
    pages = pages_under(docs)
    assert sorted(path.relative_to(docs).as_posix() for path in pages) == [
        "expectations/images_suite.html",
        "expectations/items_suite.html",
        "index.html",
        "validations/images_suite.html",
        "validations/items_suite.html",
    ]
    for path in pages:
        page = read_page(path)
        assert {"script", "img", "iframe", "base", "form"}.isdisjoint(page.tags), path
        assert ".ge-section" in page.style and "url(" not in page.style and "@import" not in page.style, path
        for closed in ("default-src", "base-uri", "form-action"):  # the last two do not follow the first
            assert f"{closed} 'none'" in path.read_text(), (path, closed)
        leads = [link for link in page.links if not link.startswith(("#", "data:,"))]
        assert [link for link in leads if not (path.parent / link).resolve().is_relative_to(docs.resolve())] == [], path
        assert [link for link in leads if not (path.parent / link).is_file()] == [], path


def test_the_published_pages_are_the_ones_on_this_machine(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    delivery_id = delivered_day(catalog_id).write(settings)

    validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivery_id)

    docs = local_docs(settings, catalog_id)
    published = {
        key.split("/", 6)[-1]: object_store.get_bytes(key)
        for key in object_store.list_keys(f"{catalog_id}/reports/")
        if not key.endswith("result.json")
    }
    assert published == {path.relative_to(docs).as_posix(): path.read_bytes() for path in pages_under(docs)}


def test_every_reason_is_said_in_words(tmp_path: Path) -> None:
    write_day_page(
        tmp_path,
        manifest=day_of(dict.fromkeys(map(str, Reason), 1)),
        checks=[],
        outcomes=[],
        disagreements=[],
        examples={},
        bucket="vitrine",
    )

    found = re.findall(r"<td>([^<]*)<code class=\"under\">(\w+)</code>", (tmp_path / "index.html").read_text())
    assert sorted(code for _, code in found) == sorted(Reason)
    assert [code for words, code in found if not words or words == code] == []


def test_equal_days_make_equal_first_pages(tmp_path: Path) -> None:
    checks = [GateCheck(check="min_rows", limit=1, value=3, passed=True, rows=3)]
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        write_day_page(
            tmp_path / name,
            manifest=day_of({"wrong_type": 2, "malformed_row": 1}),
            checks=checks,
            outcomes=[],
            disagreements=[],
            examples={},
            bucket="vitrine",
        )

    assert (tmp_path / "one/index.html").read_bytes() == (tmp_path / "another/index.html").read_bytes()


@pytest.mark.parametrize(
    ("rows", "whole", "told"),
    [
        (0, 300, "0.00%"),
        (300, 300, "100.00%"),
        (15, 300, "5.00%"),
        (1, 100_000_000, "under 0.01%"),
        (99_999_999, 100_000_000, "over 99.99%"),
        (0, 0, "none delivered"),
    ],
)
def test_a_share_tells_neither_some_rows_as_none_nor_nearly_all_as_all(rows: int, whole: int, told: str) -> None:
    assert share_of(rows, whole) == told


def test_a_validation_tells_nothing_of_great_expectations_own_workings(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "always", "-c", _VALIDATE_NOTHING, str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    told = [line for line in ran.stderr.splitlines() if line.startswith(("INFO:great_expectations", "DEBUG:"))]
    assert told == ["INFO:great_expectations.any:heard again"]
    assert "FutureWarning" not in ran.stderr


def test_the_level_of_great_expectations_loggers_is_given_back(
    settings: Settings, object_store: ObjectStore, catalog_id: str
) -> None:
    logger = logging.getLogger("great_expectations")
    logger.setLevel(logging.NOTSET)

    validate_partition(settings, catalog_id=catalog_id, dt=DT, delivery_id=delivered_day(catalog_id).write(settings))

    assert logger.level == logging.NOTSET


def test_what_a_killed_validation_left_goes_with_the_next_one(tmp_path: Path) -> None:
    docs, catalog = tmp_path / "docs", tmp_path / "shop"
    docs.mkdir()
    (docs / "index.html").write_text("checks")
    died = subprocess.run(
        [sys.executable, "-c", _DIE_HALF_WAY, str(docs), str(catalog / "2026-11-01")], cwd=ROOT, check=False
    )
    left = list(catalog.rglob("index.html"))

    page = keep_local_copy(docs, catalog / "2026-11-02")

    assert (died.returncode, len(left)) == (9, 1)
    assert list(catalog.rglob("index.html")) == [page]
    assert page.read_text() == "checks"
