"""The gate: what passes, what is refused and why, and what is absent because it cannot be measured."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index_builder.builds import build_index_version, find_index_version
from index_builder.candidates import publish_candidate
from index_builder.coverage import resolve_head
from index_builder.metadata.item_table_build import build_item_table
from tests.index_builder.synthetic_catalog import SyntheticCatalog, SyntheticItem
from vitrine.catalogs import Catalog, ReleaseThresholds, declare_catalog
from vitrine.contracts.releases import GoldenSet, Release
from vitrine.encoder import load_encoder, publish_encoder
from vitrine.encoder.manifest import EncoderManifest
from vitrine.errors import ContractError, GateError
from vitrine.head.reader import external_fingerprint
from vitrine.ledger import Ledger
from vitrine.releases.gate import gate_release
from vitrine.releases.gate_report import GateReport
from vitrine.releases.golden import current_golden_set, put_golden_set
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

OTHER_FINGERPRINT = "0" * 20


@dataclass(frozen=True)
class PublishedEncoder:
    """An encoder in a bucket of its own, and what it makes of pictures."""

    fingerprint: str
    object_store: ObjectStore
    encode: Callable[[list[bytes]], np.ndarray]

    def copy_to(self, object_store: ObjectStore) -> None:
        """Publishes it again, also as another encoder that computes the same."""
        for key in self.object_store.list_keys("encoders/"):
            data = self.object_store.get_bytes(key)
            object_store.put_bytes(key, data)
            if key.endswith("encoder.json"):
                manifest = EncoderManifest.from_bytes(data)
                data = manifest.model_copy(update={"fingerprint": OTHER_FINGERPRINT}).to_bytes()
            object_store.put_bytes(key.replace(self.fingerprint, OTHER_FINGERPRINT), data)


@pytest.fixture(scope="module")
def encoder(
    checkpoint: Path,
    s3_server: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> PublishedEncoder:
    store = ObjectStore("encoder-for-gates", **s3_server)
    store.ensure_bucket()
    opened = load_encoder(checkpoint, engine="torch", cache_dir=tmp_path_factory.mktemp("encoder"))
    return PublishedEncoder(
        fingerprint=publish_encoder(checkpoint, store),
        object_store=store,
        encode=lambda images: opened.encode_images(images).embeddings,
    )


class Shop:
    """A catalog with pictures, from delivery to candidate."""

    def __init__(self, settings: Settings, catalog: SyntheticCatalog, encoder: PublishedEncoder) -> None:
        self.settings, self.catalog, self.encoder = settings, catalog, encoder
        self.catalog_id, self.ledger = catalog.catalog_id, catalog.ledger
        self.declare()

    def declare(self, **thresholds: float) -> None:
        """Declares the catalog with these thresholds."""
        self.settings.catalogs_file.unlink(missing_ok=True)
        declared = Catalog(catalog_id=self.catalog_id, release=ReleaseThresholds(**thresholds))
        declare_catalog(self.settings.catalogs_file, declared)

    def candidate(
        self,
        dt: str,
        items: list[SyntheticItem],
        *,
        embed: list[SyntheticItem] | None = None,
        scrambled: bool = False,
        fingerprint: str | None = None,
        full: bool = True,
    ) -> str:
        """Delivers, embeds, builds and offers; `scrambled` embeds each picture as if it were another."""

        def encode(images: list[bytes]) -> np.ndarray:
            embeddings = self.encoder.encode(images)
            return np.random.default_rng(0).permutation(embeddings) if scrambled else embeddings

        fingerprint = fingerprint or self.encoder.fingerprint
        self.catalog.deliver(dt, items, full=full)
        self.catalog.embed(items, fingerprint=fingerprint, encode=encode)
        parts = {"embedding_set_id": resolve_head(self.settings, catalog_id=self.catalog_id, fingerprint=fingerprint)}
        parts["index_version"] = build_index_version(self.settings, catalog_id=self.catalog_id, **parts)
        parts["item_table_id"] = build_item_table(self.settings, catalog_id=self.catalog_id, **parts)
        return publish_candidate(self.settings, catalog_id=self.catalog_id, **parts, encoder_version="1")

    def gate(self, release_id: str) -> str:
        """Judges a candidate."""
        return gate_release(self.settings, catalog_id=self.catalog_id, release_id=release_id, actor="a test")

    def activate(self, release_id: str) -> None:
        """Makes a release live in the ledger."""
        live = self.ledger.releases.live(self.catalog_id)
        self.ledger.releases.activate(
            catalog_id=self.catalog_id,
            release_id=release_id,
            head_sequence=100,
            expected_generation=live.generation if live else 0,
            action="release",
            actor="a test",
        )

    def report(self, release_id: str) -> GateReport:
        """Reads the newest report on a candidate."""
        state = self.ledger.releases.candidate(catalog_id=self.catalog_id, release_id=release_id)
        return GateReport.from_bytes(self.catalog.object_store.get_bytes(state.detail["report"]))

    def values(self, release_id: str) -> dict[str, float]:
        """Returns the newest report's values by check."""
        return {check.name: check.value for check in self.report(release_id).checks}

    def state(self, release_id: str) -> str:
        """Returns the candidate's state in the ledger."""
        return self.ledger.releases.candidate(catalog_id=self.catalog_id, release_id=release_id).state


@pytest.fixture
def shop(
    settings: Settings, object_store: ObjectStore, ledger: Ledger, catalog_id: str, encoder: PublishedEncoder
) -> Shop:
    encoder.copy_to(object_store)
    return Shop(settings, SyntheticCatalog(object_store, ledger, catalog_id), encoder)


def test_a_first_release_passes_and_its_index_is_measured_with_pictures_and_texts(shop: Shop) -> None:
    release_id = shop.candidate("2026-11-01", _items(40))

    approved = shop.gate(release_id)

    report, values = shop.report(release_id), shop.values(release_id)
    release = Release.from_bytes(shop.catalog.object_store.get_bytes(keys.release(shop.catalog_id, release_id)))
    index = find_index_version(shop.catalog.object_store, shop.catalog_id, release.index_version)
    assert approved == release_id
    assert shop.state(release_id) == "approved"
    assert index.recall_at_10.image == index.recall_at_10.text == 1.0
    assert index.recall_at_10.queries_image == index.recall_at_10.queries_text == 40
    assert values["ann_image_recall"] == values["ann_text_recall"] == 1.0
    assert values["golden_image_recall"] >= 0.9
    assert values["items_lost_or_doubled"] == 0
    assert {"item_drop_share", "golden_image_drop", "golden_text_drop"} <= set(report.absent)
    assert report.actor == "a test"
    series = shop.ledger.checks.series(catalog_id=shop.catalog_id, check_name="gate.golden_image_recall")
    assert series[0]["subject_id"] == release_id


def test_a_candidate_whose_vectors_are_mixed_up_is_refused_and_the_live_release_stays(shop: Shop) -> None:
    good = shop.candidate("2026-11-01", _items(40))
    shop.gate(good)
    shop.activate(good)
    bad = shop.candidate("2026-11-02", _items(41), scrambled=True)

    with pytest.raises(GateError, match=r"(?s)golden_image_drop: .*FAILED.*promote it by hand"):
        shop.gate(bad)

    assert shop.state(bad) == "refused"
    assert shop.ledger.releases.live(shop.catalog_id).release_id == good
    assert shop.ledger.releases.refused_encoders(shop.catalog_id) == {}


def test_a_new_encoder_that_fails_its_golden_queries_is_refused_for_good(shop: Shop) -> None:
    live = shop.candidate("2026-11-01", _items(40))
    shop.gate(live)
    shop.activate(live)
    worse = shop.candidate("2026-11-02", _items(40), scrambled=True, fingerprint=OTHER_FINGERPRINT)
    with pytest.raises(GateError, match="golden_image_drop"):
        shop.gate(worse)
    again = shop.candidate("2026-11-03", _items(42), fingerprint=OTHER_FINGERPRINT)

    with pytest.raises(GateError, match=f"encoder {OTHER_FINGERPRINT} was refused"):
        shop.gate(again)

    assert OTHER_FINGERPRINT in shop.ledger.releases.refused_encoders(shop.catalog_id)
    assert shop.encoder.fingerprint not in shop.ledger.releases.refused_encoders(shop.catalog_id)


def test_a_promotion_whose_release_the_gate_refuses_ends_there(shop: Shop) -> None:
    live = shop.candidate("2026-11-01", _items(40))
    shop.gate(live)
    shop.activate(live)
    promotion = shop.ledger.promotions.observe(model_version=f"of-{shop.catalog_id}", observed_by="poll")
    shop.ledger.promotions.accept(
        promotion.sequence, fingerprint=OTHER_FINGERPRINT, catalog_ids=[shop.catalog_id, "another"]
    )
    worse = shop.candidate("2026-11-02", _items(40), scrambled=True, fingerprint=OTHER_FINGERPRINT)

    with pytest.raises(GateError, match="golden_image_drop"):
        shop.gate(worse)

    assert shop.ledger.promotions.under_way(shop.catalog_id) is None
    assert shop.ledger.promotions.under_way("another") == shop.ledger.promotions.newest()


def test_moving_the_alias_back_returns_to_an_encoder_that_answers_worse_without_asking_the_drop(shop: Shop) -> None:
    shop.declare(max_golden_drop=1.0)
    before = shop.candidate("2026-11-01", _items(40), scrambled=True, fingerprint=OTHER_FINGERPRINT)
    shop.settings = shop.settings.model_copy(update={"first_release_min_image_recall": 0.0})
    shop.gate(before)
    shop.activate(before)
    better = shop.candidate("2026-11-02", _items(40))
    shop.gate(better)
    shop.activate(better)
    shop.declare()
    with pytest.raises(GateError, match="golden_image_drop"):
        shop.gate(before)
    promotion = shop.ledger.promotions.observe(model_version=f"of-{shop.catalog_id}", observed_by="poll")

    shop.ledger.promotions.accept(promotion.sequence, fingerprint=OTHER_FINGERPRINT, catalog_ids=[shop.catalog_id])

    assert shop.gate(before) == before
    assert shop.ledger.promotions.under_way(shop.catalog_id) is not None


def test_a_catalog_without_titles_has_no_text_figures_instead_of_zeros(shop: Shop) -> None:
    items = [replace(item, columns={}) for item in _items(30)]
    release_id = shop.candidate("2026-11-01", items)

    shop.gate(release_id)

    assert not [name for name in shop.values(release_id) if "text" in name]
    assert {"ann_text_recall", "golden_text_recall"} <= set(shop.report(release_id).absent)


def test_a_candidate_that_lost_too_many_items_is_refused(shop: Shop) -> None:
    first = shop.candidate("2026-11-01", _items(40))
    shop.gate(first)
    shop.activate(first)
    smaller = shop.candidate("2026-11-02", _items(25))

    with pytest.raises(GateError, match=r"item_drop_share: 0.375 \(limit 0.3, FAILED; 25 items, live 40\)"):
        shop.gate(smaller)


def test_an_absolute_threshold_on_texts_is_kept_to(shop: Shop) -> None:
    shop.declare(min_golden_text_recall=1.0)  # the weights are random: texts find nothing
    release_id = shop.candidate("2026-11-01", _items(40))

    with pytest.raises(GateError, match=r"golden_text_recall: .*limit 1, FAILED"):
        shop.gate(release_id)


def test_a_first_release_that_cannot_find_its_own_pictures_is_refused_without_any_declared_threshold(
    shop: Shop,
) -> None:
    mixed_up = shop.candidate("2026-11-01", _items(40), scrambled=True)

    with pytest.raises(GateError, match=r"golden_image_recall: .*limit 0.5, FAILED"):
        shop.gate(mixed_up)

    assert current_golden_set(shop.catalog.object_store, shop.ledger, shop.catalog_id) is None


def test_a_refused_candidate_leaves_the_golden_set_as_it_was(shop: Shop) -> None:
    first = shop.candidate("2026-11-01", _items(40))
    shop.gate(first)
    shop.activate(first)
    before = shop.report(first).golden_set_id
    others = shop.candidate("2026-11-02", _items(10, start=100))  # 75% of the items are gone

    with pytest.raises(GateError, match="item_drop_share"):
        shop.gate(others)

    assert shop.report(others).golden_set_id != before
    assert current_golden_set(shop.catalog.object_store, shop.ledger, shop.catalog_id).golden_set_id == before


def test_the_encoder_that_is_live_is_never_a_refused_one(shop: Shop) -> None:
    first = shop.candidate("2026-11-01", _items(40))
    shop.gate(first)
    shop.activate(first)
    refusal = {"catalog_id": shop.catalog_id, "fingerprint": shop.encoder.fingerprint, "reason": "worse"}
    shop.ledger.releases.refuse_encoder(**refusal)
    second = shop.candidate("2026-11-02", _items(42))

    approved = shop.gate(second)

    assert approved == second


def test_golden_queries_stay_the_same_while_their_items_do(shop: Shop) -> None:
    first = shop.candidate("2026-11-01", _items(40))
    shop.gate(first)
    shop.activate(first)
    store, before = shop.catalog.object_store, shop.report(first).golden_set_id

    grown = shop.candidate("2026-11-02", _items(44))
    shop.gate(grown)
    shop.activate(grown)
    kept = shop.report(grown).golden_set_id
    others = shop.candidate("2026-11-03", _items(60, start=20))
    shop.gate(others)

    assert kept == before
    assert shop.report(others).golden_set_id != before
    assert shop.values(grown)["golden_image_drop"] <= 0.05
    golden_set = current_golden_set(store, shop.ledger, shop.catalog_id)
    assert golden_set.golden_set_id == shop.report(others).golden_set_id


def test_golden_answers_of_one_product_or_one_picture_count_alike(shop: Shop) -> None:
    items = _items(20)
    twin = SyntheticItem("twin", picture=items[0].picture)
    view = SyntheticItem("view", picture=_picture(77), columns={"parent_id": "parent-0"})
    shown = replace(items[0], columns={"title": "thing", "parent_id": "parent-0"})
    also = replace(items[1], columns={"title": "thing"})
    release_id = shop.candidate("2026-11-01", [shown, also, *items[2:], twin, view])

    shop.gate(release_id)

    golden_set = current_golden_set(shop.catalog.object_store, shop.ledger, shop.catalog_id)
    expected = {query.query_id: set(query.expected_item_ids) for query in golden_set.queries}
    assert expected["image-item-000"] == {"item-000", "twin", "view"}
    assert expected["image-item-001"] == {"item-001"}
    [text] = [query for query in golden_set.queries if query.text == "thing"]
    assert set(text.expected_item_ids) == {"item-000", "item-001"}


def test_a_query_whose_picture_was_replaced_says_nothing_about_a_release(shop: Shop) -> None:
    items = _items(40)
    first = shop.candidate("2026-11-01", items)
    shop.gate(first)
    shop.activate(first)
    reshot = [replace(item, picture=_picture(500 + place)) for place, item in enumerate(items[:5])]

    second = shop.candidate("2026-11-02", reshot, full=False)
    shop.gate(second)

    report = shop.report(second)
    [drop] = [check for check in report.checks if check.name == "golden_image_drop"]
    [recall] = [check for check in report.checks if check.name == "golden_image_recall"]
    assert drop.value <= 0.05
    assert "35 image queries" in recall.detail
    assert report.golden_set_id == shop.report(first).golden_set_id


def test_a_curated_golden_set_comes_before_a_sampled_one(shop: Shop) -> None:
    release_id = shop.candidate("2026-11-01", _items(30))
    shop.gate(release_id)
    store = shop.catalog.object_store
    sampled = current_golden_set(store, shop.ledger, shop.catalog_id)
    curated = GoldenSet(
        golden_set_id="golden-by-people", catalog_id=shop.catalog_id, curated=True, queries=sampled.queries[:5]
    )

    put_golden_set(store, shop.ledger, curated)
    shop.gate(release_id)

    assert shop.report(release_id).golden_set_id == "golden-by-people"
    with pytest.raises(ContractError, match="ids of their own"):
        put_golden_set(store, shop.ledger, curated.model_copy(update={"queries": ()}))


def test_what_was_approved_or_is_live_passes_at_once(shop: Shop) -> None:
    release_id = shop.candidate("2026-11-01", _items(20))
    shop.gate(release_id)
    reports = len(list(shop.catalog.object_store.list_keys(f"{shop.catalog_id}/reports/")))

    shop.gate(release_id)
    shop.activate(release_id)
    shop.gate(release_id)

    assert len(list(shop.catalog.object_store.list_keys(f"{shop.catalog_id}/reports/"))) == reports


def test_a_release_that_nobody_offered_is_refused(shop: Shop) -> None:
    with pytest.raises(GateError, match="never offered"):
        shop.gate("release-unknown")


def test_a_catalog_that_brings_vectors_is_gated_without_golden_queries(shop: Shop) -> None:
    fingerprint = external_fingerprint(shop.catalog_id, 48)
    release_id = shop.candidate("2026-11-01", _items(30), fingerprint=fingerprint)

    shop.gate(release_id)

    assert shop.values(release_id)["ann_image_recall"] == 1.0
    assert "golden" in shop.report(release_id).absent
    assert json.loads(shop.catalog.object_store.get_bytes(keys.release(shop.catalog_id, release_id)))["space"] == (
        "vectors"
    )


def _items(count: int, *, start: int = 0) -> list[SyntheticItem]:
    return [
        SyntheticItem(f"item-{number:03d}", picture=_picture(number), columns={"title": f"thing number {number}"})
        for number in range(start, start + count)
    ]


def _picture(seed: int) -> bytes:
    colors = np.random.default_rng(seed).integers(0, 256, size=(3, 3, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(colors).resize((72, 72), Image.Resampling.NEAREST).save(stream, format="PNG")
    return stream.getvalue()
