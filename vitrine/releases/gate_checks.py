"""The checks of the gate, each with its limit; what cannot be measured goes to `absent` with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from vitrine.catalogs import ReleaseThresholds
from vitrine.contracts.releases import Release
from vitrine.head.embedding_sets import read_embedding_set
from vitrine.releases.gate_report import GateCheck, at_least, at_most
from vitrine.releases.golden_search import EncodedQueries, Modality, ask_golden_queries
from vitrine.releases.local_release import LocalRelease
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

_MODALITIES: tuple[Modality, ...] = ("image", "text")


def encoder_checks(release: Release, refused: dict[str, str], *, live: Release | None) -> list[GateCheck]:
    """An encoder that failed its gate before is not tried again by itself; the live one was accepted by a person."""
    reason = refused.get(release.fingerprint)
    if live is not None and live.fingerprint == release.fingerprint:
        reason = None
    detail = f"encoder {release.fingerprint} " + (f"was refused: {reason}" if reason else "was never refused")
    return [at_most("encoder_refusals", float(reason is not None), 0.0, detail)]


def recall_checks(candidate: LocalRelease, thresholds: ReleaseThresholds, absent: dict[str, str]) -> list[GateCheck]:
    """Recall of the index relative to exact search, as the build measured it."""
    figures = candidate.index_version.recall_at_10
    measured = (("image", figures.image, figures.queries_image), ("text", figures.text, figures.queries_text))
    checks = []
    for modality, recall, queries in measured:
        if recall is None:
            absent[f"ann_{modality}_recall"] = f"the build had no {modality} queries to measure it with"
        else:
            detail = f"recall@10 of the index against exact search, {queries} {modality} queries"
            checks.append(at_least(f"ann_{modality}_recall", recall, thresholds.min_ann_recall, detail))
    return checks


def count_checks(
    object_store: ObjectStore,
    candidate: LocalRelease,
    live: LocalRelease | None,
    *,
    thresholds: ReleaseThresholds,
    absent: dict[str, str],
) -> list[GateCheck]:
    """Every item of the head stands in the release once, and not too many were lost against the live one."""
    release = candidate.release
    head = read_embedding_set(object_store, release.catalog_id, release.embedding_set_id).items
    counts = {
        "release": release.items,
        "index": candidate.index.items,
        "item table": candidate.items.items_count,
    }
    off = sum(abs(count - head) for count in counts.values())
    detail = f"the head has {head} items; " + ", ".join(f"{name} {count}" for name, count in counts.items())
    checks = [at_most("items_lost_or_doubled", float(off), 0.0, detail)]
    if live is None:
        absent["item_drop_share"] = "there is no live release to compare with"
    else:
        before = live.release.items
        share = max(0.0, (before - release.items) / before)
        detail = f"{release.items} items, live {before}"
        checks.append(at_most("item_drop_share", share, thresholds.max_item_drop_share, detail))
    return checks


def golden_limits(settings: Settings, thresholds: ReleaseThresholds, *, first: bool) -> dict[Modality, float | None]:
    """The least golden recall by modality: as the catalog declares it, for a first release as the settings do.

    Later releases are held to the live one, which says more than a limit for all catalogs. A first one has nothing to
    be compared with, and a tier that cannot find its own pictures should not go live. None: shown, not gated.
    """
    declared = {"image": thresholds.min_golden_image_recall, "text": thresholds.min_golden_text_recall}
    defaults = {"image": settings.first_release_min_image_recall, "text": settings.first_release_min_text_recall}
    return {
        modality: (defaults[modality] or None) if first and declared[modality] is None else declared[modality]
        for modality in _MODALITIES
    }


def golden_checks(
    encoded: EncodedQueries,
    candidate: LocalRelease,
    live: LocalRelease | None,
    *,
    limits: Mapping[Modality, float | None],
    max_drop: float | None,
    absent: dict[str, str],
) -> list[GateCheck]:
    """Golden recall@10 by modality, against its limits and against the live release on the same queries.

    Without `max_drop`, as on the way back to an encoder that was live before, the drop is shown and not gated.
    """
    golden_set = encoded.golden_set
    answers = ask_golden_queries(encoded, candidate)
    comparable = live is not None and live.release.space == candidate.release.space
    before = after = None
    both: set[str] = set()
    if live is not None and comparable:
        # Among the items that both have: a catalog that grew answers worse by itself,
        # which is no fault of a release.
        before = ask_golden_queries(encoded, live, among=live.items.rows_shared_with(candidate.items))
        after = ask_golden_queries(encoded, candidate, among=candidate.items.rows_shared_with(live.items))
        both = set(before.found) & set(after.found)
    checks = []
    for modality in _MODALITIES:
        recall = answers.recall(golden_set, modality)
        if recall is None:
            absent[f"golden_{modality}_recall"] = f"the golden set has no {modality} query that this catalog can answer"
            continue
        asked = sum(query.modality == modality and query.query_id in answers.found for query in golden_set.queries)
        detail = f"a right item among the first 10, {asked} {modality} queries"
        checks.append(at_least(f"golden_{modality}_recall", recall, limits[modality], detail))
        old = before.recall(golden_set, modality, only=both) if before else None
        new = after.recall(golden_set, modality, only=both) if after else None
        if old is None or new is None:
            absent[f"golden_{modality}_drop"] = "there is no live release that can answer the same queries"
            continue
        detail = f"live {old:.4f}, candidate {new:.4f} on the same queries, among the items that both have"
        checks.append(at_most(f"golden_{modality}_drop", old - new, max_drop, detail))
    return checks
