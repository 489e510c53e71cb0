"""Writes the first page of a day's Data Docs: how many rows were accepted, why others were not, the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from spark_jobs.validation.expectations import Outcome
from spark_jobs.validation.gate import GateCheck
from spark_jobs.validation.manifest_parts import RejectedRow
from spark_jobs.validation.suite_pages import TEMPLATES
from vitrine.contracts.datasets import Manifest
from vitrine.contracts.items import Reason
from vitrine.storage import keys

_WORDS_OF_REASONS: dict[str, str] = {
    Reason.MALFORMED_ROW: "The row cannot be read",
    Reason.MISSING_ITEM_ID: "The row has no item_id",
    Reason.WRONG_TYPE: "A column holds a value of the wrong type",
    Reason.MISSING_IMAGE_URI: "The row names no image",
    Reason.MISSING_EMBEDDING: "The row has no vector, but the catalog needs one",
    Reason.UNEXPECTED_EMBEDDING: "The row has a vector, but the catalog takes none",
    Reason.EMBEDDING_DIMENSION: "The vector's dimension differs from the catalog's",
    Reason.EMBEDDING_NOT_FINITE: "The vector contains NaN or infinity",
    Reason.EMBEDDING_ZERO: "The vector is all zeros",
    Reason.IMAGE_NOT_ALLOWED: "The image is outside the places this catalog may read",
    Reason.IMAGE_MISSING: "The image does not exist",
    Reason.IMAGE_CHANGED: "The image changed after the delivery was recorded",
    Reason.IMAGE_TOO_MANY_BYTES: "The image file is too large",
    Reason.IMAGE_TOO_MANY_PIXELS: "The image has too many pixels",
    Reason.IMAGE_TOO_MUCH_WORK: "The image takes too much work to decode",
    Reason.IMAGE_UNDECODABLE: "The image cannot be decoded",
    Reason.IMAGE_TOO_SMALL: "The image is too small",
    Reason.IMAGE_EXTREME_ASPECT: "The image is too long and narrow",
    Reason.DUPLICATE_ITEM_ID: "A later row has the same item_id",
}
_WORDS_OF_CHECKS = {
    "min_rows": "Delivered rows",
    "max_reject_share": "Rejected rows",
    "max_duplicate_id_share": "Rows whose item_id appears again later",
    "max_missing_image_share": "Rows whose image does not exist",
    "max_undecodable_share": "Rows whose image cannot be decoded",
}


def write_day_page(
    docs_dir: Path,
    *,
    manifest: Manifest,
    checks: Sequence[GateCheck],
    outcomes: Sequence[Outcome],
    disagreements: Sequence[str],
    examples: Mapping[str, Sequence[RejectedRow]],
    bucket: str,
) -> None:
    """Writes `index.html`; equal inputs make equal bytes.

    Args:
        docs_dir: the folder of the suites' pages.
        manifest: of the day; it is not written if there are disagreements.
        checks: of the gate.
        outcomes: of all expectations.
        disagreements: between profile and validation.
        examples: some rejected rows for each reason.
        bucket: that holds the quarantine.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share_of"] = share_of
    prefix = keys.manifest_prefix(manifest.catalog_id, manifest.dt, manifest.manifest_id)
    verdict, sentence = _verdict(checks, disagreements)
    page = environment.get_template("day.html").render(
        page_title=f"{manifest.catalog_id}, {manifest.dt}: {verdict}",
        manifest=manifest,
        verdict=verdict,
        sentence=sentence,
        checks=checks,
        disagreements=disagreements,
        reasons=sorted(manifest.rejected_by_reason.items(), key=lambda counted: (-counted[1], counted[0])),
        examples=examples,
        quarantine=None if disagreements else f"s3://{bucket}/{prefix}/quarantine/",
        suites=_suites(outcomes),
        words_of_reasons=_WORDS_OF_REASONS,
        words_of_checks=_WORDS_OF_CHECKS,
    )
    (docs_dir / "index.html").write_text(page, encoding="utf-8")


def share_of(rows: int, whole: int) -> str:
    """Returns a share in percent that rounds neither a few rows to none nor nearly all to all."""
    if whole == 0:
        return "none delivered"
    percent = 100 * rows / whole
    if 0 < percent < 0.01:
        return "under 0.01%"
    if 99.99 < percent < 100:
        return "over 99.99%"
    return f"{percent:.2f}%"


def _verdict(checks: Sequence[GateCheck], disagreements: Sequence[str]) -> tuple[str, str]:
    if disagreements:
        return "failed", (
            "Profile and validation judged the same rows differently, so no manifest is written. "
            "Report this with these pages."
        )
    broken = [check for check in checks if not check.passed]
    if not broken:
        return "passed", "The day is within every limit of the catalog."
    named = ", ".join(_WORDS_OF_CHECKS.get(check.check, check.check).lower() for check in broken)
    limits = "Limit" if len(broken) == 1 else "Limits"
    return "refused", f"{limits} not met: {named}. Nothing in this delivery is embedded or published."


def _suites(outcomes: Sequence[Outcome]) -> list[tuple[str, int, int]]:
    """Returns each suite, how many of its expectations are met, and how many it has."""
    names = dict.fromkeys(outcome.suite for outcome in outcomes)
    passed = {name: [outcome.passed for outcome in outcomes if outcome.suite == name] for name in names}
    return [(name, sum(found), len(found)) for name, found in passed.items()]
