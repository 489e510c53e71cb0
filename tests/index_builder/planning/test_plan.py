"""The planner: recipes ranked under limits, from what was calibrated."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_builder.__main__ import main
from index_builder.planning.calibration import read_calibration
from index_builder.planning.plan import rank_recipes
from index_builder.planning.request import PlanRequest
from index_builder.planning.sizes import read_size
from index_builder.recipes import FAMILIES
from vitrine.errors import SettingsError

CALIBRATION = read_calibration()


def test_every_family_is_calibrated_and_ranked_once() -> None:
    ranked = rank_recipes(PlanRequest(1_000_000, 512), CALIBRATION)

    assert sorted(one.name for one in ranked) == sorted(FAMILIES)


def test_those_that_keep_to_the_limits_come_first_and_the_others_say_why_not() -> None:
    request = PlanRequest(10_000_000, 512, memory_bytes=2_000_000_000, disk_bytes=60_000_000_000)

    ranked = rank_recipes(request, CALIBRATION)

    fits = [one.fits for one in ranked]
    assert fits == sorted(fits, reverse=True)
    assert any(fits)
    by_name = {one.name: one for one in ranked}
    assert "memory" in by_name["hnsw-sq8"].lost_because
    assert "memory" in by_name["flat"].lost_because
    assert all(one.lost_because for one in ranked[1:])
    for one in ranked:
        if one.fits:
            assert one.footprint.anonymous_bytes + one.footprint.walked_bytes <= 2_000_000_000


def test_an_index_that_no_build_can_hold_is_made_of_several_shards() -> None:
    request = PlanRequest(10_000_000, 512, build_memory_bytes=2_000_000_000)

    by_name = {one.name: one for one in rank_recipes(request, CALIBRATION)}

    assert by_name["hnsw-sq8"].shards >= 4
    assert by_name["ivf-rabitq"].shards == 1


def test_shards_have_no_more_rows_than_the_settings_allow_and_lists_that_suit_them() -> None:
    whole = {one.name: one for one in rank_recipes(PlanRequest(10_000_000, 512), CALIBRATION)}

    divided = rank_recipes(PlanRequest(10_000_000, 512, max_shard_rows=1_000_001), CALIBRATION)

    for one in divided:
        assert one.shards == 10
        assert one.cpu_ms > whole[one.name].cpu_ms
    by_name = {one.name: one for one in divided}
    assert by_name["ivf-rabitq"].index_key.startswith("IVF4096,")
    assert whole["ivf-rabitq"].index_key.startswith("IVF16384_HNSW32,")


def test_what_no_number_of_shards_brings_under_the_memory_of_a_build_is_dropped() -> None:
    request = PlanRequest(1_000_000_000, 512, build_memory_bytes=2_000_000_000)

    by_name = {one.name: one for one in rank_recipes(request, CALIBRATION)}

    assert by_name["hnsw-sq8"].shards == 64
    assert not by_name["hnsw-sq8"].fits
    assert "build memory 12.2 GB > 2.0 GB, even in 64 shards" in by_name["hnsw-sq8"].lost_because
    assert "build memory" not in by_name["ivf-rabitq"].lost_because


@pytest.mark.parametrize("dimension", [514, 122, 61])
def test_codes_of_a_few_pieces_never_fit_however_cheap_they_seem(dimension: int) -> None:
    ranked = rank_recipes(PlanRequest(1_000_000, dimension), CALIBRATION)

    by_name = {one.name: one for one in ranked}
    for name in ("ivf-pq", "opq-ivf-pq"):
        assert not by_name[name].fits
        assert f"{dimension} dimensions cut into" in by_name[name].lost_because
    assert ranked[0].fits


@pytest.mark.parametrize("dimension", [7, 24, 50, 100, 128, 300, 384, 512, 768, 1_000, 1_536])
def test_common_dimensions_divide_into_enough_pieces(dimension: int) -> None:
    ranked = rank_recipes(PlanRequest(1_000_000, dimension), CALIBRATION)

    assert all("pieces" not in one.lost_because for one in ranked)


def test_a_limit_on_latency_refuses_the_search_of_everything() -> None:
    ranked = rank_recipes(PlanRequest(1_000_000, 512, latency_ms=5.0), CALIBRATION)

    assert "ms a query" in next(one for one in ranked if one.name == "flat").lost_because


@settings(max_examples=20, deadline=None)
@given(items=st.integers(1, 200_000_000), more=st.integers(1, 100_000_000), dimension=st.sampled_from([32, 128, 512]))
def test_more_items_never_take_less(items: int, more: int, dimension: int) -> None:
    fewer = {one.name: one for one in rank_recipes(PlanRequest(items, dimension), CALIBRATION)}

    for one in rank_recipes(PlanRequest(items + more, dimension), CALIBRATION):
        assert one.footprint.disk_bytes >= fewer[one.name].footprint.disk_bytes
        assert one.footprint.mapped_bytes <= one.footprint.disk_bytes


def test_the_command_prints_a_table_of_a_hundred_columns(capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--memory", "8G", "--disk", "60G", "--recall", "0.95"]

    assert main(["plan", "--items", "10000000", *limits, "--core-hour-price", "0.05"]) == 0

    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    assert all(name in printed for name in FAMILIES)
    assert "a swap of" in printed


def test_the_command_plans_with_the_rows_of_a_shard(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_INDEX_MAX_SHARD_ROWS", "400")

    assert main(["plan", "--items", "1000", "--dimension", "128", "--json"]) == 0

    assert {recipe["shards"] for recipe in json.loads(capsys.readouterr().out)["recipes"]} == {3}


def test_the_command_prints_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--items", "1000", "--dimension", "128", "--json"]) == 0

    plan = json.loads(capsys.readouterr().out)
    assert {recipe["name"] for recipe in plan["recipes"]} == set(FAMILIES)
    assert plan["recipes"][0]["swap"]["disk_bytes"] == 2 * plan["recipes"][0]["slot"]["disk_bytes"]


@pytest.mark.parametrize(
    ("text", "size"), [("8G", 8_000_000_000), ("512M", 512_000_000), ("1.5 GB", 1_500_000_000), ("70", 70)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-3G", "8X"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected a size"):
        read_size(text)
