"""Catalogs are declared in one file that people edit, too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vitrine.catalogs import Catalog, declare_catalog, get_catalog, in_turn, read_catalogs
from vitrine.errors import CatalogError


def test_declaring_a_catalog_keeps_what_people_wrote(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    path.write_text("catalogs:\n  shop:  # ours\n    quality:\n      max_reject_share: 0.5\n")

    added = declare_catalog(path, Catalog(catalog_id="clothing", title="Clothing"))

    assert added
    assert "# ours" in path.read_text()
    assert read_catalogs(path)["shop"].quality.max_reject_share == 0.5
    assert read_catalogs(path)["clothing"].title == "Clothing"


def test_declaring_a_catalog_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    declare_catalog(path, Catalog(catalog_id="clothing"))
    before = path.read_text()

    assert declare_catalog(path, Catalog(catalog_id="clothing")) is False
    assert path.read_text() == before


def test_catalogs_that_are_declared_at_once_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    names = {f"shop-{number}" for number in range(16)}

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda name: declare_catalog(path, Catalog(catalog_id=name)), names))

    assert all(added)
    assert set(read_catalogs(path)) == names


def test_the_file_says_where_its_lines_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    declare_catalog(path, Catalog(catalog_id="clothing"))

    named = path.read_text().split("; ")[1].split()[0]

    assert (Path(__file__).resolve().parents[2] / named).is_file()


def test_a_catalog_never_changes_its_embedding_space(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    declare_catalog(path, Catalog(catalog_id="clothing"))

    with pytest.raises(CatalogError, match="never mixes spaces"):
        declare_catalog(path, Catalog(catalog_id="clothing", space="vectors", dimension=64))


@pytest.mark.parametrize("bad_id", ["", "A", "../x", "encoders", "journal", "x" * 41, "1shop", "a b"])
def test_an_id_that_could_escape_its_keys_is_refused(tmp_path: Path, bad_id: str) -> None:
    with pytest.raises(CatalogError, match="catalog id"):
        declare_catalog(tmp_path / "catalogs.yaml", Catalog(catalog_id=bad_id))


def test_an_unknown_threshold_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    path.write_text("catalogs:\n  shop:\n    quality:\n      max_rejects: 0.5\n")

    with pytest.raises(CatalogError, match="max_rejects"):
        read_catalogs(path)


@pytest.mark.parametrize("place", ["s3://photos", "", "/photos", "photos//hats"])
def test_a_place_of_images_that_is_no_bucket_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(CatalogError, match="expected a bucket, or bucket/prefix"):
        declare_catalog(tmp_path / "catalogs.yaml", Catalog(catalog_id="shop", image_buckets=(place,)))


def test_places_of_images_are_declared_as_a_list(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    declare_catalog(path, Catalog(catalog_id="shop", image_buckets=("photos", "shared/hats")))

    assert read_catalogs(path)["shop"].image_buckets == ("photos", "shared/hats")


def test_a_catalog_that_is_not_declared_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    declare_catalog(path, Catalog(catalog_id="clothing"))

    with pytest.raises(CatalogError, match="declared: clothing"):
        get_catalog(path, "shoes")


def test_the_default_catalog_goes_first_then_the_higher_priority_then_as_declared() -> None:
    priorities = {"late": -5, "first": 0, "second": 0, "urgent": 7, "demo": -9, "third": 0}
    catalogs = {name: Catalog(catalog_id=name, priority=priority) for name, priority in priorities.items()}

    assert in_turn(catalogs, default="demo") == ["demo", "urgent", "first", "second", "third", "late"]
    assert in_turn(catalogs, default="not-declared") == ["urgent", "first", "second", "third", "late", "demo"]


def test_a_space_that_was_read_off_a_delivery_may_be_read_off_another_one(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    path.write_text("# ours\ncatalogs:\n  before:\n    space: vectors\n    dimension: 9\n")
    inferred = Catalog(catalog_id="shop", space="vectors", dimension=4, space_inferred=True)
    declare_catalog(path, inferred)
    path.write_text(path.read_text() + "    # shown on the page\n    title: The shop\n  after:\n    title: After\n")
    before = read_catalogs(path)

    for space, dimension in (("encoder", None), ("vectors", 8)):
        changed = inferred.model_copy(update={"space": space, "dimension": dimension})

        assert declare_catalog(path, changed)
        assert not declare_catalog(path, changed)
        assert read_catalogs(path) == before | {
            "shop": before["shop"].model_copy(update={"space": space, "dimension": dimension})
        }
    assert "# ours" in path.read_text() and "# shown on the page" in path.read_text()


def test_a_space_that_a_person_declared_is_never_read_off_a_delivery(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    declare_catalog(path, Catalog(catalog_id="shop"))

    with pytest.raises(CatalogError, match="a catalog never mixes spaces"):
        declare_catalog(path, Catalog(catalog_id="shop", space="vectors", dimension=4, space_inferred=True))


def test_lines_that_were_written_another_way_are_left_to_a_person(tmp_path: Path) -> None:
    path = tmp_path / "catalogs.yaml"
    path.write_text("catalogs: {shop: {space: vectors, dimension: 4, space_inferred: true}}\n")

    with pytest.raises(CatalogError, match="write `space: encoder` there"):
        declare_catalog(path, Catalog(catalog_id="shop", space_inferred=True))

    assert read_catalogs(path)["shop"].dimension == 4
