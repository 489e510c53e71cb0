"""What a build makes under its settings."""

from __future__ import annotations

import pytest

from index_builder.planning.choosing import choose_for
from vitrine.errors import SettingsError
from vitrine.settings import Settings


def test_small_catalogs_are_searched_exactly() -> None:
    chosen = choose_for(Settings(), items=2_000, dimension=128)

    assert (chosen.recipe.index_key, chosen.shards) == ("Flat", 1)
    assert chosen.predicted.disk_bytes == 2_000 * 4 * 128


def test_with_little_memory_a_recipe_is_taken_whose_refinement_stays_on_disk() -> None:
    plenty = choose_for(Settings(), items=1_000_000, dimension=512)
    little = choose_for(Settings(index_memory="200M"), items=1_000_000, dimension=512)

    assert little.recipe.refines
    assert little.predicted.memory_bytes < 200_000_000
    assert plenty.predicted.cpu_ms <= little.predicted.cpu_ms


def test_limits_that_no_recipe_keeps_are_refused_with_the_whole_plan() -> None:
    with pytest.raises(SettingsError, match="hnsw-sq8"):
        choose_for(Settings(index_memory="1M"), items=1_000_000, dimension=512)


@pytest.mark.parametrize("key", ["auto", "flat", "ivf-rabitq", "IVF64,SQ8", "SQfp16", "HNSW32,Flat"])
def test_a_shard_has_no_more_rows_than_the_settings_allow(key: str) -> None:
    chosen = choose_for(Settings(index_key=key, index_max_shard_rows=300_000), items=1_000_000, dimension=512)

    assert chosen.shards == 4


def test_lists_suit_the_rows_of_a_shard() -> None:
    chosen = choose_for(Settings(index_key="ivf-rabitq", index_max_shard_rows=250_000), items=1_000_000, dimension=512)

    assert chosen.recipe == choose_for(Settings(index_key="ivf-rabitq"), items=250_000, dimension=512).recipe


@pytest.mark.parametrize("key", ["HNSW32,Flat", "IVF1024,Flat", "OPQ64,IVF1024,PQ64", "IVF1024,RaBitQ"])
def test_a_key_that_nothing_is_calibrated_for_keeps_to_the_memory_of_a_build(key: str) -> None:
    memory = Settings(index_key=key, index_build_max_bytes=1_000_000_000)

    few = choose_for(memory, items=100_000, dimension=512)
    many = choose_for(memory, items=50_000_000, dimension=512)

    assert few.shards == 1
    assert many.shards > 3


@pytest.mark.parametrize("dimension", [514, 122, 61])
@pytest.mark.parametrize("family", ["ivf-pq", "opq-ivf-pq"])
def test_a_product_quantizer_by_name_is_refused_where_the_dimension_has_no_fit_divisor(
    family: str, dimension: int
) -> None:
    with pytest.raises(
        SettingsError, match=rf"{family}.*found {dimension} dimensions cut into \d pieces.*; set .*=auto"
    ):
        choose_for(Settings(index_key=family), items=1_000_000, dimension=dimension)


def test_a_recipe_by_name_gets_the_lists_that_suit_the_catalog_and_a_key_stays_as_it_is() -> None:
    named = choose_for(Settings(index_key="ivf-sq8"), items=1_000_000, dimension=512)
    keyed = choose_for(Settings(index_key="IVF100,SQ8"), items=1_000_000, dimension=512)
    other = choose_for(Settings(index_key="SQfp16"), items=1_000_000, dimension=512)

    assert named.recipe.index_key == "IVF4096,SQ8"
    assert keyed.recipe.index_key == "IVF100,SQ8"
    assert keyed.predicted.disk_bytes is not None
    assert other.predicted.disk_bytes is None  # nothing is calibrated for it
