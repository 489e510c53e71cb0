"""What every batch keeps to, whatever the catalog."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from training.data.batches import Batch, BatchSampler
from training.data.samples import Pair, Sample
from training.options import TrainingOptions
from vitrine.errors import ContractError


def sample(number: int, *, product: int, group: int | None = None, **others: object) -> Sample:
    return Sample(
        item_id=f"i{number:03d}",
        image_sha256=f"{number:064d}",
        parent_id=f"p{product:02d}",
        split="train",
        near_duplicate_group=f"g{number if group is None else 1000 + group}",
        title=f"title {product}",
        **others,  # type: ignore[arg-type]
    )


@st.composite
def catalogs(draw: st.DrawFn) -> tuple[list[Sample], list[Pair]]:
    """Up to 24 pictures of up to 8 products, with near duplicates, categories and clicked pairs between them."""
    n = draw(st.integers(2, 24))
    samples = [
        sample(
            number,
            product=draw(st.integers(0, 7)),
            group=draw(st.one_of(st.none(), st.integers(0, 3))),
            category=draw(st.sampled_from([None, "shoes", "hats"])),
            photo_kind=draw(st.sampled_from([None, "studio", "user", "scene"])),
        )
        for number in range(n)
    ]
    ends = st.integers(0, n - 1)
    pairs = [
        Pair(f"i{one:03d}", f"i{other:03d}", weight)
        for one, other, weight in draw(st.lists(st.tuples(ends, ends, st.sampled_from([0.25, 1.0])), max_size=5))
    ]
    assume(len({each.parent_id for each in samples if each.photo_kind != "scene"}) >= 2)
    return samples, pairs


@st.composite
def batch_options(draw: st.DrawFn) -> TrainingOptions:
    views, hard_negatives, products = draw(st.integers(2, 3)), draw(st.integers(0, 2)), draw(st.integers(2, 4))
    return TrainingOptions(
        batch_size=(views + hard_negatives) * products,
        views=views,
        hard_negatives=hard_negatives,
        seed=draw(st.integers(0, 3)),
    )


def partners_of(pairs: list[Pair]) -> set[frozenset[str]]:
    return {frozenset((pair.anchor_item_id, pair.positive_item_id)) for pair in pairs}


def blocks_of(batch: Batch, options: TrainingOptions) -> list[tuple[Sample, ...]]:
    rows = options.views + options.hard_negatives
    return [batch.samples[start : start + rows] for start in range(0, len(batch.samples), rows)]


@settings(max_examples=60, deadline=None)
@given(catalog=catalogs(), options=batch_options(), step=st.integers(0, 9))
def test_each_product_has_its_views_and_then_its_hard_negatives(
    catalog: tuple[list[Sample], list[Pair]], options: TrainingOptions, step: int
) -> None:
    samples, pairs = catalog

    batch = BatchSampler(samples, pairs=pairs, options=options).batch(step)

    assert len(batch.samples) == options.batch_size
    assert all(each.photo_kind != "scene" for each in batch.samples)
    for block in blocks_of(batch, options):
        anchor = block[0]
        for view in block[1 : options.views]:
            clicked = frozenset((anchor.item_id, view.item_id)) in partners_of(pairs)
            assert view.parent_id == anchor.parent_id or clicked


@settings(max_examples=60, deadline=None)
@given(catalog=catalogs(), options=batch_options(), step=st.integers(0, 9))
def test_no_two_rows_that_go_together_are_negatives(
    catalog: tuple[list[Sample], list[Pair]], options: TrainingOptions, step: int
) -> None:
    samples, pairs = catalog

    batch = BatchSampler(samples, pairs=pairs, options=options).batch(step)

    clicked = partners_of(pairs)
    for row, one in enumerate(batch.samples):
        for column, other in enumerate(batch.samples):
            together = (
                one.parent_id == other.parent_id
                or one.near_duplicate_group == other.near_duplicate_group
                or frozenset((one.item_id, other.item_id)) in clicked
            )
            assert not together or batch.labels[row] == batch.labels[column]
            assert batch.positive_weights[row, column] == 0 or batch.labels[row] == batch.labels[column]
    assert not np.diagonal(batch.positive_weights).any()
    assert np.array_equal(batch.positive_weights, batch.positive_weights.T)


@settings(max_examples=30, deadline=None)
@given(catalog=catalogs(), options=batch_options(), step=st.integers(0, 9))
def test_a_step_has_the_same_batch_again_whatever_was_drawn_before(
    catalog: tuple[list[Sample], list[Pair]], options: TrainingOptions, step: int
) -> None:
    samples, pairs = catalog
    fresh, used = (BatchSampler(samples, pairs=pairs, options=options) for _ in range(2))
    used.batch(step + 3)

    first, again = fresh.batch(step), used.batch(step)

    assert first.samples == again.samples
    assert first.captions() == again.captions()
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.positive_weights, again.positive_weights)


@settings(max_examples=30, deadline=None)
@given(catalog=catalogs(), options=batch_options(), epoch=st.integers(0, 2))
def test_an_epoch_has_every_product_as_an_anchor(
    catalog: tuple[list[Sample], list[Pair]], options: TrainingOptions, epoch: int
) -> None:
    samples, pairs = catalog
    sampler = BatchSampler(samples, pairs=pairs, options=options)

    batches = [sampler.batch(epoch * sampler.steps_per_epoch + place) for place in range(sampler.steps_per_epoch)]

    anchors = {block[0].parent_id for batch in batches for block in blocks_of(batch, options)}
    assert anchors == {each.parent_id for each in samples if each.photo_kind != "scene"}


def test_mined_hard_negatives_stand_behind_their_anchor() -> None:
    samples = [sample(number, product=number, category="shoes") for number in range(12)]
    mined = [(each.item_id, ("i010", "i011", "gone")) for each in samples[:10]]
    options = TrainingOptions(batch_size=12, views=2, hard_negatives=1)

    batch = BatchSampler(samples, hard_negatives=mined, options=options).batch(0)

    for anchor, _, hard_negative in blocks_of(batch, options):
        assert anchor.item_id in ("i010", "i011") or hard_negative.item_id in ("i010", "i011")


def test_a_mined_negative_that_goes_with_its_anchor_is_none() -> None:
    samples = [sample(number, product=number // 2) for number in range(8)]
    mined = [(each.item_id, (f"i{int(each.item_id[1:]) ^ 1:03d}",)) for each in samples]  # the other view
    options = TrainingOptions(batch_size=6, views=2, hard_negatives=1)

    batch = BatchSampler(samples, hard_negatives=mined, options=options).batch(0)

    for anchor, _, hard_negative in blocks_of(batch, options):
        assert hard_negative.parent_id != anchor.parent_id


def test_a_clicked_pair_is_a_positive_of_its_weight() -> None:
    samples = [sample(number, product=number) for number in range(4)]
    options = TrainingOptions(batch_size=8, views=2, hard_negatives=0)

    batch = BatchSampler(samples, pairs=[Pair("i000", "i001", 0.5)], options=options).batch(0)

    place = next(row for row, block in enumerate(blocks_of(batch, options)) if block[0].item_id == "i000")
    assert blocks_of(batch, options)[place][1].item_id == "i001"
    assert batch.positive_weights[2 * place, 2 * place + 1] == 0.5


def test_the_stronger_of_two_mentions_of_a_pair_counts() -> None:
    samples = [sample(number, product=number) for number in range(4)]
    options = TrainingOptions(batch_size=8, views=2, hard_negatives=0)
    pairs = [Pair("i000", "i001", 1.0), Pair("i001", "i000", 0.25)]

    batch = BatchSampler(samples, pairs=pairs, options=options).batch(0)

    assert set(batch.positive_weights[batch.positive_weights > 0]) == {1.0}


def test_pictures_of_one_product_make_no_training() -> None:
    with pytest.raises(ContractError, match="expected pictures of two products or more"):
        BatchSampler([sample(0, product=0), sample(1, product=0)], options=TrainingOptions())
