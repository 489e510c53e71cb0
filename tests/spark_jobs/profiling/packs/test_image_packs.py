"""Packs: named by what is in them, served by one range read, and refused when bytes differ."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from spark_jobs.profiling.packs.image_packs import ImageToPack, pack_bytes, pack_name, plan_packs, store_pack
from tests.items_files import picture
from vitrine.errors import ObjectCorruptError
from vitrine.identity import content_id, sha256_hex
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

CONTENTS = {sha256_hex(data): data for data in (picture(seed) for seed in range(10))}
IMAGES = [ImageToPack(sha, len(CONTENTS[sha]), f"s3://b/{sha}") for sha in sorted(CONTENTS)]


def store(object_store: ObjectStore, images: list[ImageToPack] = IMAGES, *, rows_per_group: int = 4, fetch=None):
    fetch = fetch or (lambda wanted: [CONTENTS[image.image_sha256] for image in wanted])
    return store_pack(object_store, images, catalog_id="demo", rows_per_group=rows_per_group, fetch=fetch)


def test_one_range_read_of_a_pack_is_the_picture(object_store: ObjectStore) -> None:
    locations = store(object_store)

    for location in locations:
        content = CONTENTS[location.image_sha256]
        key = keys.image_pack("demo", location.pack_id)
        assert object_store.get_bytes(key, start=location.image_offset, length=len(content)) == content


def test_row_groups_are_even_and_in_order_of_the_hashes(object_store: ObjectStore) -> None:
    locations = store(object_store)

    data = object_store.get_bytes(keys.image_pack("demo", locations[0].pack_id))
    file = pq.ParquetFile(io.BytesIO(data))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 3, 4]
    assert file.read().column("image_sha256").to_pylist() == sorted(CONTENTS)
    assert [location.row_group for location in locations] == [0] * 3 + [1] * 3 + [2] * 4


def test_a_pack_that_stands_is_read_and_no_image_is_fetched_again(object_store: ObjectStore) -> None:
    first = store(object_store)

    again = store(object_store, fetch=lambda wanted: pytest.fail("fetched again"))

    assert again == first


def test_of_profiles_that_race_under_two_layouts_each_finds_its_images(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectStore, "exists", lambda *_: False)  # each asked before the other one was done

    found = [*store(object_store, rows_per_group=2), *store(object_store, rows_per_group=5), *store(object_store)]

    for location in found:
        key, content = keys.image_pack("demo", location.pack_id), CONTENTS[location.image_sha256]
        assert object_store.get_bytes(key, start=location.image_offset, length=len(content)) == content
        group = pq.ParquetFile(io.BytesIO(object_store.get_bytes(key))).read_row_group(location.row_group)
        assert location.image_sha256 in group.column("image_sha256").to_pylist()


def test_the_default_row_groups_enter_no_id() -> None:
    shas = [f"{number:064x}" for number in range(300)]
    default = Settings.model_fields["pack_rows"].default

    assert pack_name(shas, rows_per_group=default) == content_id("pack", shas)
    assert pack_name(shas, rows_per_group=299) == content_id("pack", shas)  # two groups of 150 as well
    assert pack_name(shas, rows_per_group=300) != content_id("pack", shas)


def test_bytes_that_differ_from_the_profile_are_refused_and_nothing_is_written(object_store: ObjectStore) -> None:
    with pytest.raises(ObjectCorruptError, match="run the profile again"):
        store(object_store, fetch=lambda wanted: [b"other bytes" for _ in wanted])

    assert list(object_store.list_keys("demo/")) == []


def test_a_pack_that_was_damaged_is_refused(object_store: ObjectStore) -> None:
    location = store(object_store)[0]
    key = keys.image_pack("demo", location.pack_id)
    data = bytearray(object_store.get_bytes(key))
    data[location.image_offset + 20] ^= 1
    object_store.delete(key)
    object_store.put_bytes(key, bytes(data))

    with pytest.raises(ObjectCorruptError, match="delete the pack"):
        store(object_store)


def test_packs_are_cut_by_bytes_and_a_large_image_stands_alone() -> None:
    images = [ImageToPack(str(n), size, "") for n, size in enumerate([40, 40, 40, 500, 10])]

    packs = [[image.size_bytes for image in pack] for pack in plan_packs(images, max_bytes=100)]

    assert packs == [[40, 40], [40], [500], [10]]


def test_equal_images_make_equal_bytes() -> None:
    shas, contents = sorted(CONTENTS), [CONTENTS[sha] for sha in sorted(CONTENTS)]

    assert pack_bytes(shas, contents, rows_per_group=4) == pack_bytes(shas, contents, rows_per_group=4)
