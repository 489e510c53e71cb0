"""The partition gate: shares of rejects against the catalog's thresholds, and the proof that both judges agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from spark_jobs.validation.expectations import Outcome
from spark_jobs.validation.suites import GATE
from vitrine.contracts.items import Reason
from vitrine.errors import ContractError


class GateCheck(BaseModel):
    """One threshold, and what was found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    limit: float
    value: float
    passed: bool
    rows: int

    def describe(self) -> str:
        """Says in a line what was allowed and found."""
        verdict = "kept" if self.passed else "BROKEN"
        if self.check == "min_rows":
            return f"{self.check}: at least {self.limit:,.0f} rows, found {self.value:,.0f}: {verdict}"
        return f"{self.check}: at most {self.limit:.2%}, found {self.value:.2%} ({self.rows:,} rows): {verdict}"


def gate_checks(outcomes: Sequence[Outcome]) -> tuple[GateCheck, ...]:
    """Returns the checks of the gate, in the order of the suites."""
    checks = []
    for outcome in outcomes:
        if outcome.meta.get("kind") != GATE:
            continue
        if outcome.unexpected is None:
            value, rows = outcome.observed or 0.0, int(outcome.observed or 0)
        else:
            value, rows = outcome.unexpected / max(1, outcome.rows or 0), outcome.unexpected
        checks.append(
            GateCheck(
                check=outcome.meta["check"],
                limit=outcome.meta["limit"],
                value=value,
                passed=outcome.passed,
                rows=rows,
            )
        )
    return tuple(checks)


def check_agreement(
    outcomes: Sequence[Outcome], *, rejected_by_reason: Mapping[str, int], rows: int, where: str
) -> None:
    """Compares the suites with the quarantine: each rule with the rows that were rejected for it, by count.

    Raises:
        ContractError: they disagree, or an expectation could not be evaluated.
    """
    faults = [
        outcome.describe()
        for outcome in outcomes
        if outcome.error or (outcome.meta["kind"] != GATE and not outcome.passed)
    ]
    for outcome in outcomes:
        reason = outcome.meta.get("reason")
        if reason is None or outcome.rows is None:
            continue
        if outcome.rows != rejected_by_reason.get(reason, 0):
            faults.append(
                f"{outcome.describe()}; the quarantine holds {rejected_by_reason.get(reason, 0)} rows as {reason}"
            )
    for outcome in outcomes:
        counted = _REASONS_OF_CHECK.get(outcome.meta.get("check", ""))
        if counted is None or outcome.unexpected is None:
            continue
        expected = sum(rejected_by_reason.get(reason, 0) for reason in counted)
        if (outcome.unexpected, outcome.rows) != (expected, rows):
            faults.append(f"{outcome.describe()}; the quarantine holds {expected} such rows of {rows}")
    if faults:
        raise ContractError(
            f"{where}: validation disagrees with quarantine, so no manifest is written:\n  "
            + "\n  ".join(faults)
            + "\nprofile and validation judged the same rows differently; report this with the Data Docs"
        )


_REASONS_OF_CHECK: dict[str, Sequence[Any]] = {
    "max_reject_share": tuple(Reason),
    "max_duplicate_id_share": (Reason.DUPLICATE_ITEM_ID,),
    "max_missing_image_share": (Reason.IMAGE_MISSING,),
    "max_undecodable_share": (Reason.IMAGE_UNDECODABLE,),
}
