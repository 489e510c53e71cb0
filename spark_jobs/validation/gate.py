"""The partition gate: shares of rejects against the catalog's thresholds, and the proof that both judges agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from spark_jobs.validation.expectations import Outcome
from spark_jobs.validation.suites import GATE
from vitrine.contracts.items import Reason
from vitrine.errors import ContractError, GateError
from vitrine.settings import Settings
from vitrine.storage import keys


class GateCheck(BaseModel):
    """One threshold, and what was found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    limit: float
    value: float
    passed: bool
    rows: int

    @property
    def allowed(self) -> str:
        """The limit in words."""
        return f"at least {self.limit:,.0f} rows" if self.check == "min_rows" else f"at most {self.limit:.2%}"

    @property
    def found(self) -> str:
        """What was found, in the unit of the limit."""
        return f"{self.value:,.0f}" if self.check == "min_rows" else f"{self.value:.2%} ({self.rows:,} rows)"

    def describe(self) -> str:
        """Says in a line what was allowed and found."""
        return f"{self.check}: {self.allowed}, found {self.found}: {'met' if self.passed else 'NOT MET'}"


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


def disagreements(outcomes: Sequence[Outcome], *, rejected_by_reason: Mapping[str, int], rows: int) -> tuple[str, ...]:
    """Compares the suites with the quarantine: each rule with the rows that were rejected for it, by count.

    Returns a line for each expectation that disagrees or could not be evaluated.
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
    return tuple(faults)


def refuse_disagreements(found: Sequence[str], *, where: str) -> None:
    """Stops a run whose two judges disagree.

    Raises:
        ContractError: there are disagreements.
    """
    if found:
        raise ContractError(
            f"{where}: validation disagrees with quarantine, so no manifest is written:\n  "
            + "\n  ".join(found)
            + "\nprofile and validation judged the same rows differently; report this with the Data Docs"
        )


def refuse_broken(
    checks: Sequence[GateCheck], settings: Settings, *, catalog_id: str, dt: str, manifest_id: str
) -> None:
    """Stops a partition that breaks a limit.

    Raises:
        GateError: a check did not pass.
    """
    if all(check.passed for check in checks):
        return
    lines = "\n  ".join(check.describe() for check in checks)
    prefix = keys.manifest_prefix(catalog_id, dt, manifest_id)
    raise GateError(
        f"catalog {catalog_id} {dt}: the delivery is refused before anything of it is embedded:\n  {lines}\n"
        f"Look at s3://{settings.bucket}/{prefix}/quarantine/ (reject_reason, reject_detail). Then deliver the day "
        f"again, or raise the limit under `quality` of {catalog_id} in {settings.catalogs_file} and run it again"
    )


_REASONS_OF_CHECK: dict[str, Sequence[Any]] = {
    "max_reject_share": tuple(Reason),
    "max_duplicate_id_share": (Reason.DUPLICATE_ITEM_ID,),
    "max_missing_image_share": (Reason.IMAGE_MISSING,),
    "max_undecodable_share": (Reason.IMAGE_UNDECODABLE,),
}
