"""Golden sets: queries of a catalog with the items of which one must come back.

Until people curate better ones, queries are sampled items: their pictures, re-cropped and lightly altered, and their
titles. Right answers to a picture are the item itself, every item with the same image and every item of the same
`parent_id` (another view of the product is no mistake); to a title, every item that bears it. One golden set is kept
over releases, so that their figures compare, until the catalog can answer fewer than 80% of its queries. The candidate
that a new one was sampled from must pass its gate first: what is refused leaves the golden set as it was.
"""

from __future__ import annotations

import numpy as np

from vitrine.contracts.releases import GoldenQuery, GoldenSet
from vitrine.errors import ContractError
from vitrine.identity import content_id, sha256_hex
from vitrine.images.altered import draw_alteration
from vitrine.item_table.table import ItemTable, StoredItem
from vitrine.ledger import Ledger
from vitrine.releases.local_release import LocalRelease
from vitrine.storage import ObjectStore, keys
from vitrine.write_once import put_once

IMAGE_QUERIES = 100
TEXT_QUERIES = 100
KEPT_SHARE = 0.8
_MOST_ANSWERS = 5_000  # a title of more items says nothing about which of them should come first
_CHECK_NAME = "golden_set"  # the ledger's series of golden sets; the newest entry is the current one


def choose_golden_set(current: GoldenSet | None, candidate: LocalRelease) -> GoldenSet | None:
    """Returns the golden set to judge a candidate with: the current one, or a new sample when that holds no more.

    Returns None in a catalog that brings its vectors: nothing here can turn a picture or a title into such a vector.
    """
    if current is not None and (current.curated or _holding_share(current, candidate.items) >= KEPT_SHARE):
        return current
    if candidate.release.space == "vectors":
        return None
    return sample_golden_set(candidate)


def current_golden_set(object_store: ObjectStore, ledger: Ledger, catalog_id: str) -> GoldenSet | None:
    """Returns the golden set that releases are measured with now, or None before the first."""
    newest = ledger.checks.series(catalog_id=catalog_id, check_name=_CHECK_NAME, limit=1)
    if not newest:
        return None
    return GoldenSet.from_bytes(object_store.get_bytes(keys.golden_set(catalog_id, newest[0]["subject_id"])))


def put_golden_set(object_store: ObjectStore, ledger: Ledger, golden_set: GoldenSet) -> None:
    """Makes a golden set the current one; a curated one stays until another is put.

    Raises:
        ContractError: it has no queries, or two of one id, or one that cannot be asked.
    """
    where = f"golden set {golden_set.golden_set_id} of {golden_set.catalog_id}"
    ids = [query.query_id for query in golden_set.queries]
    if not ids or len(set(ids)) != len(ids):
        raise ContractError(f"{where}: expected queries with ids of their own, found {len(ids)} queries")
    for query in golden_set.queries:
        asked = bool(query.text) if query.modality == "text" else query.image is not None
        if not asked or not query.expected_item_ids:
            raise ContractError(f"{where}: query {query.query_id} lacks its {query.modality} or its right answers")
    key = keys.golden_set(golden_set.catalog_id, golden_set.golden_set_id)
    if put_once(object_store, ledger, key, golden_set.to_bytes()) != golden_set.to_bytes():
        raise ContractError(f"{where}: there is another one of this id; give a set of other queries an id of its own")
    ledger.checks.record(
        catalog_id=golden_set.catalog_id,
        check_name=_CHECK_NAME,
        subject_id=golden_set.golden_set_id,
        value=float(len(ids)),
        passed=None,
        detail={"curated": golden_set.curated},
    )


def holding_queries(golden_set: GoldenSet, items: ItemTable) -> set[str]:
    """Returns the ids of the queries that an item table can answer.

    A sampled query holds while some right answer still has the picture or the title that the query was made of; of a
    curated one people decide, so it holds while some right answer is there.
    """
    expected = {item_id for query in golden_set.queries for item_id in query.expected_item_ids}
    stored = {item.item_id: item for item in items.items(list(items.rows_by_item_id(expected).values()))}
    return {
        query.query_id
        for query in golden_set.queries
        if any(
            golden_set.curated or _still_answers(query, stored[item_id])
            for item_id in query.expected_item_ids
            if item_id in stored
        )
    }


def _still_answers(query: GoldenQuery, item: StoredItem) -> bool:
    if query.modality == "text":
        return item.title == query.text
    return item.picture is not None and item.picture.sha256 == query.image_sha256


def _holding_share(golden_set: GoldenSet, items: ItemTable) -> float:
    return len(holding_queries(golden_set, items)) / len(golden_set.queries)


def sample_golden_set(candidate: LocalRelease) -> GoldenSet:
    """Samples queries from a release; the same release gives the same set."""
    release, items = candidate.release, candidate.items
    seed = int(sha256_hex(release.catalog_id.encode())[:12], 16)
    generator = np.random.default_rng(seed)
    rows = generator.permutation(release.items)[: max(IMAGE_QUERIES, TEXT_QUERIES * 3)]
    sampled = items.items(rows)
    queries = (*_image_queries(sampled[:IMAGE_QUERIES], items, generator), *_text_queries(sampled, items))
    return GoldenSet(
        golden_set_id=content_id("golden", [release.catalog_id, [query.model_dump(mode="json") for query in queries]]),
        catalog_id=release.catalog_id,
        curated=False,
        queries=queries,
    )


def _image_queries(sampled: list[StoredItem], items: ItemTable, generator: np.random.Generator) -> list[GoldenQuery]:
    by_image = items.item_ids_by("image_sha256", [item.picture.sha256 for item in sampled if item.picture])
    by_parent = items.item_ids_by("parent_id", [item.parent_id for item in sampled if item.parent_id])
    queries = []
    for item in sampled:
        crop, brightness = draw_alteration(generator)  # drawn for every item, so that one without picture moves none
        if item.picture is None:
            continue
        same = by_image.get(item.picture.sha256, [])
        if item.parent_id is not None:
            same = [*same, *by_parent.get(item.parent_id, ())]
        queries.append(
            GoldenQuery(
                query_id=f"image-{item.item_id}",
                modality="image",
                item_id=item.item_id,
                image_sha256=item.picture.sha256,
                pack_id=item.picture.pack_id,
                image_offset=item.picture.offset,
                image_size_bytes=item.picture.size_bytes,
                crop=crop,
                brightness=brightness,
                expected_item_ids=tuple(dict.fromkeys([item.item_id, *same])),
            )
        )
    return queries


def _text_queries(sampled: list[StoredItem], items: ItemTable) -> list[GoldenQuery]:
    titles = list(dict.fromkeys(item.title for item in sampled if item.title and item.title.strip()))
    by_title = items.item_ids_by("title", titles[:TEXT_QUERIES])
    return [
        GoldenQuery(
            query_id=f"text-{sha256_hex(title.encode())[:12]}",
            modality="text",
            text=title,
            expected_item_ids=tuple(item_ids),
        )
        for title, item_ids in by_title.items()
        if len(item_ids) <= _MOST_ANSWERS
    ]
