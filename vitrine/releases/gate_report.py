"""What a gate found: every check with its limit and its value, for people and for the ledger."""

from __future__ import annotations

from vitrine.contracts.document import Document, Provenance


class GateCheck(Document):
    """One check.

    `passed` is None for what is measured and shown but not gated, which is so when `limit` is None.
    """

    name: str
    value: float
    limit: float | None
    passed: bool | None
    detail: str

    def line(self) -> str:
        """Returns the check as one line."""
        verdict = {True: "passed", False: "FAILED", None: "shown"}[self.passed]
        limit = "no limit" if self.limit is None else f"limit {self.limit:g}"
        return f"{self.name}: {self.value:.4g} ({limit}, {verdict}; {self.detail})"


class GateReport(Document):
    """The gate's verdict on one candidate; `absent` says why something was not measured."""

    catalog_id: str
    release_id: str
    live_release_id: str | None
    golden_set_id: str | None
    approved: bool
    actor: str
    checks: tuple[GateCheck, ...]
    absent: dict[str, str]
    provenance: Provenance


def at_least(name: str, value: float, limit: float | None, detail: str) -> GateCheck:
    """A check that its value is not below its limit."""
    return GateCheck(
        name=name, value=value, limit=limit, passed=None if limit is None else value >= limit, detail=detail
    )


def at_most(name: str, value: float, limit: float | None, detail: str) -> GateCheck:
    """A check that its value is not above its limit; differences of shares are compared to nine digits."""
    passed = None if limit is None else round(value, 9) <= round(limit, 9)
    return GateCheck(name=name, value=value, limit=limit, passed=passed, detail=detail)
