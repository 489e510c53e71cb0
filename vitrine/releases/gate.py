"""The gate: what a candidate must pass to become a release.

Recall of its index against exact search (images and texts apart), golden queries against the catalog's thresholds and
against the live release, counts, items lost, and whether its encoder was refused before. What cannot be measured is
absent from the report, never zero.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from vitrine.catalogs import ReleaseThresholds, get_catalog
from vitrine.connections import open_connections
from vitrine.contracts.releases import GoldenSet
from vitrine.errors import GateError
from vitrine.files.scratch import scratch_folder
from vitrine.identity import attempt_id, content_id
from vitrine.ledger import Candidate, Ledger, LivePointer
from vitrine.provenance import describe_run
from vitrine.releases.encoder_history import returns_to_encoder
from vitrine.releases.gate_checks import count_checks, encoder_checks, golden_checks, golden_limits, recall_checks
from vitrine.releases.gate_report import GateReport
from vitrine.releases.golden import choose_golden_set, current_golden_set, put_golden_set
from vitrine.releases.golden_search import EncodedQueries, Modality
from vitrine.releases.local_release import open_release, read_release_parts
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

_ENCODER_CHECKS = ("golden_image_", "golden_text_")


def gate_release(
    settings: Settings,
    *,
    catalog_id: str,
    release_id: str,
    actor: str = "airflow",
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Judges a candidate and records the verdict; returns the release id when it may go live.

    A release that is live, or that was approved against the same live release, golden set and thresholds, passes at
    once. A candidate of a new encoder that fails its golden queries has that encoder refused, so that no build tries
    it again by itself. One of an encoder that was live before, and that the alias `champion` was moved back to, is a
    roll-back: it need not answer better than what it replaces.

    Raises:
        GateError: a check failed, or nobody offered the candidate; the message lists every check.
    """
    with open_connections(settings) as (object_store, ledger):
        judge_candidate(
            settings,
            object_store,
            ledger,
            catalog_id=catalog_id,
            release_id=release_id,
            actor=actor,
            provenance=provenance,
        )
    return release_id


def judge_candidate(
    settings: Settings,
    object_store: ObjectStore,
    ledger: Ledger,
    *,
    catalog_id: str,
    release_id: str,
    actor: str,
    provenance: Mapping[str, str] | None = None,
) -> None:
    """Judges a candidate, as `gate_release` does, on connections that are open."""
    thresholds = get_catalog(settings.catalogs_file, catalog_id).release
    candidate = ledger.releases.candidate(catalog_id=catalog_id, release_id=release_id)
    if candidate is None:
        raise GateError(
            f"catalog {catalog_id}: release {release_id} was never offered as a candidate; "
            f"run {catalog_id}.build_index, or `python -m index_builder publish`"
        )
    live = ledger.releases.live(catalog_id)
    if live is not None and live.release_id == release_id:
        return
    case = _read_case(settings, object_store, ledger, candidate, live=live, thresholds=thresholds)
    if candidate.state == "approved" and candidate.detail.get("inputs") == case.inputs(case.golden_set):
        return
    report, judged_with = _judge(settings, object_store, case, actor=actor, provenance=provenance)
    report_key = _write_report(object_store, report)
    _record(ledger, report, inputs=case.inputs(judged_with), report_key=report_key)
    # After the verdict: a run that dies between the two finds other inputs, and judges again.
    if report.approved and judged_with is not None and judged_with != case.golden_set:
        put_golden_set(object_store, ledger, judged_with)
    if not report.approved:
        _refuse_encoder(object_store, ledger, report)
        lines = "\n  ".join(check.line() for check in report.checks)
        raise GateError(
            f"catalog {catalog_id}: release {release_id} is refused; {case.live_id or 'nothing'} stays live\n"
            f"  {lines}\n"
            f"the report is s3://{object_store.bucket}/{report_key}; to release it all the same, promote it by hand"
        )


@dataclass(frozen=True)
class _Case:
    """A candidate and all that its verdict depends on, as it was when judging began.

    Attributes:
        golden_set: the current one; the candidate may be judged with a new sample instead.
        golden_limits: the lowest golden recall that passes; None is shown, not gated.
        max_drop: how far golden recall may lie below the live release's; None in a roll-back, which is not held to it.
        refused: fingerprints of encoders that were refused, with the reasons.
    """

    catalog_id: str
    release_id: str
    live_id: str | None
    golden_set: GoldenSet | None
    thresholds: ReleaseThresholds
    golden_limits: dict[Modality, float | None]
    max_drop: float | None
    refused: dict[str, str]

    def inputs(self, golden_set: GoldenSet | None) -> str:
        """Returns a digest of everything that the verdict depends on."""
        limits: dict[str, object] = self.thresholds.model_dump(mode="json")
        limits["golden"] = self.golden_limits
        limits["max_golden_drop"] = self.max_drop
        golden_set_id = golden_set.golden_set_id if golden_set else None
        return content_id("gate", [self.release_id, self.live_id, golden_set_id, limits, sorted(self.refused)])


def _read_case(
    settings: Settings,
    object_store: ObjectStore,
    ledger: Ledger,
    candidate: Candidate,
    *,
    live: LivePointer | None,
    thresholds: ReleaseThresholds,
) -> _Case:
    catalog_id, release_id = candidate.catalog_id, candidate.release_id
    refused = ledger.releases.refused_encoders(catalog_id)
    golden_set = current_golden_set(object_store, ledger, catalog_id)
    returns = returns_to_encoder(object_store, ledger, catalog_id=catalog_id, release_id=release_id)
    return _Case(
        catalog_id=catalog_id,
        release_id=release_id,
        live_id=live.release_id if live else None,
        golden_set=golden_set,
        thresholds=thresholds,
        golden_limits=golden_limits(settings, thresholds, first=live is None),
        max_drop=None if returns else thresholds.max_golden_drop,
        refused=refused,
    )


def _judge(
    settings: Settings, object_store: ObjectStore, case: _Case, *, actor: str, provenance: Mapping[str, str] | None
) -> tuple[GateReport, GoldenSet | None]:
    """Returns the report and the golden set that the candidate was judged with."""
    absent: dict[str, str] = {}
    with scratch_folder(settings, "gate") as folder:
        candidate = open_release(object_store, case.catalog_id, case.release_id, folder=folder)
        live = open_release(object_store, case.catalog_id, case.live_id, folder=folder) if case.live_id else None
        golden_set = choose_golden_set(case.golden_set, candidate)
        checks = [
            *encoder_checks(candidate.release, case.refused, live=live.release if live else None),
            *recall_checks(candidate, case.thresholds, absent),
            *count_checks(object_store, candidate, live, thresholds=case.thresholds, absent=absent),
        ]
        if golden_set is None:
            absent["golden"] = "the catalog brings its own vectors: no picture or text can be encoded"
        else:
            encoded = EncodedQueries(settings, object_store, golden_set)
            checks += golden_checks(
                encoded, candidate, live, limits=case.golden_limits, max_drop=case.max_drop, absent=absent
            )
    report = GateReport(
        catalog_id=case.catalog_id,
        release_id=case.release_id,
        live_release_id=case.live_id,
        golden_set_id=golden_set.golden_set_id if golden_set else None,
        approved=all(check.passed is not False for check in checks),
        actor=actor,
        checks=tuple(checks),
        absent=absent,
        provenance=describe_run(provenance),
    )
    return report, golden_set


def _write_report(object_store: ObjectStore, report: GateReport) -> str:
    _, _, item_table = read_release_parts(object_store, report.catalog_id, report.release_id)
    dt = max(item_table.manifests, default=datetime.datetime.now(datetime.UTC).date().isoformat())
    key = f"{keys.report_prefix(report.catalog_id, dt, 'gate')}/{report.release_id}-{attempt_id()}.json"
    object_store.put_bytes(key, report.to_bytes())
    return key


def _record(ledger: Ledger, report: GateReport, *, inputs: str, report_key: str) -> None:
    for check in report.checks:
        ledger.checks.record(
            catalog_id=report.catalog_id,
            check_name=f"gate.{check.name}",
            subject_id=report.release_id,
            value=check.value,
            passed=check.passed,
            detail={"limit": check.limit, "detail": check.detail},
        )
    ledger.releases.judge(
        catalog_id=report.catalog_id,
        release_id=report.release_id,
        approved=report.approved,
        detail={
            "inputs": inputs,
            "report": report_key,
            "actor": report.actor,
            "checks": [check.model_dump(mode="json") for check in report.checks],
            "absent": report.absent,
        },
    )


def _refuse_encoder(object_store: ObjectStore, ledger: Ledger, report: GateReport) -> None:
    """Refuses the candidate's encoder when it is not the live one and golden queries say it is worse."""
    failed = [check for check in report.checks if check.passed is False and check.name.startswith(_ENCODER_CHECKS)]
    if not failed or report.live_release_id is None:
        return
    candidate, _, _ = read_release_parts(object_store, report.catalog_id, report.release_id)
    live, _, _ = read_release_parts(object_store, report.catalog_id, report.live_release_id)
    if candidate.fingerprint != live.fingerprint:
        reason = f"release {report.release_id}: " + "; ".join(check.line() for check in failed)
        ledger.releases.refuse_encoder(catalog_id=report.catalog_id, fingerprint=candidate.fingerprint, reason=reason)
        ledger.promotions.close(
            catalog_id=report.catalog_id, fingerprint=candidate.fingerprint, outcome="gate_refused", reason=reason
        )
