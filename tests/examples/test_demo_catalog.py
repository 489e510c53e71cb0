"""The demo catalog is deterministic, its faults are real, and its ground truth agrees with its files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, UnidentifiedImageError

from examples.demo_catalog import (
    COLORS,
    PRODUCT_TYPES,
    generate_catalog,
    render_view,
    sample_parents,
    title_and_description,
)
from examples.demo_catalog.faults import FAULTS
from examples.demo_catalog.plan import COLUMNS

ITEMS, SEED = 330, 11
DAYS = {"2026-11-01": "parquet", "2026-11-02": "jsonl", "2026-11-03": "csv"}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small catalog with so many faults that each kind occurs."""
    folder = tmp_path_factory.mktemp("demo") / "catalog"
    generate_catalog(folder, items=ITEMS, seed=SEED, fault_share=0.2)
    return folder


def test_the_same_arguments_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    digests = []
    for name, hash_seed, workers in (("one", "1", "1"), ("two", "2", "2")):
        command = [
            sys.executable,
            "-m",
            "examples.demo_catalog",
            "--out",
            str(tmp_path / name),
            "--items",
            "60",
            "--workers",
            workers,
        ]
        subprocess.run(
            command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": hash_seed}, cwd=_root()
        )
        digests.append(_digests(tmp_path / name))

    assert digests[0] == digests[1]
    assert len(digests[0]) > 60


def test_another_seed_gives_other_products() -> None:
    first, second = sample_parents(1, 20), sample_parents(2, 20)

    assert [parent.seed for parent in first] != [parent.seed for parent in second]


def test_any_slice_of_the_parents_can_be_sampled_alone() -> None:
    assert sample_parents(5, 4, first=3) == sample_parents(5, 7)[3:]


def test_each_product_type_can_be_drawn_in_each_kind_and_depends_on_its_arguments_only() -> None:
    products = {parent.product_type: parent for parent in sample_parents(5, 400)}
    assert set(products) == set(PRODUCT_TYPES)

    for parent in products.values():
        for kind in ("studio", "user_photo"):
            image = render_view(parent, 1, kind, size=64)

            assert image.size == (64, 64)
            assert image.mode == "RGB"
            assert np.asarray(image).std() > 4, f"{kind} of a {parent.product_type} shows nothing"
            assert image.tobytes() == render_view(parent, 1, kind, size=64).tobytes()


def test_a_plain_product_shows_the_color_that_its_title_names() -> None:
    shirts = [
        p for p in sample_parents(5, 3000) if p.product_type == "t-shirt" and p.pattern == "plain" and p.badge == "none"
    ]
    assert len(shirts) >= 3

    for parent in shirts:
        middle = np.asarray(render_view(parent, 0, size=96))[56:66, 43:53].reshape(-1, 3).mean(axis=0) / 255

        assert np.abs(middle - np.array(parent.rgb)).max() < 0.16, parent


def test_titles_and_descriptions_name_the_type_and_the_color() -> None:
    rng = np.random.default_rng(3)

    for parent in sample_parents(9, 200):
        for text in title_and_description(parent, rng):
            assert parent.product_type in text.lower()
            assert parent.color in text.lower()


def test_the_catalog_is_as_varied_as_promised() -> None:
    assert len(PRODUCT_TYPES) >= 12
    assert len(COLORS) >= 12


def test_each_day_comes_in_its_own_format_and_all_rows_number_items(catalog: Path) -> None:
    rows = {dt: _rows(catalog, dt) for dt in DAYS}

    assert {path.name for path in catalog.glob("dt=*/items.*")} == {f"items.{name}" for name in DAYS.values()}
    assert sum(len(day) for day in rows.values()) == ITEMS
    assert len(rows["2026-11-01"]) > ITEMS / 2


def test_the_ground_truth_reconciles_with_the_files(catalog: Path) -> None:
    views = pq.read_table(catalog / "ground_truth/views.parquet").to_pylist()
    faults = {(f["dt"], f["row_number"]): f for f in pq.read_table(catalog / "ground_truth/faults.parquet").to_pylist()}
    parents = {parent["parent_id"] for parent in pq.read_table(catalog / "ground_truth/parents.parquet").to_pylist()}
    summary = json.loads((catalog / "ground_truth/summary.json").read_text())
    seen = 0

    for dt in DAYS:
        rows = _rows(catalog, dt)
        for view in (view for view in views if view["dt"] == dt):
            seen += 1
            row = rows[view["row_number"]]
            fault = faults.get((dt, view["row_number"]))
            if row is None:
                assert fault is not None and fault["fault"] == "malformed_row"
                continue
            assert (row["item_id"] or None) == view["item_id"]
            assert (row["image_uri"] or None) == view["image_uri"]
            assert view["kind"] == "scene" or view["parent_id"] in parents
            if fault is None and view["change"] != "delete":
                with Image.open(catalog / f"dt={dt}" / str(row["image_uri"])) as image:
                    image.load()
                    assert image.size == (240, 240)
        rejected = Counter(f["reason"] for (day, _), f in faults.items() if day == dt and not f["accepted"])
        assert summary["days"][dt]["rejected_by_reason"] == dict(rejected)
        assert summary["days"][dt]["rows_accepted"] + sum(rejected.values()) == len(rows)
    assert seen == len(views) == ITEMS


def test_later_days_bring_new_items_updates_and_deletions_of_items_that_were_delivered(catalog: Path) -> None:
    views = pq.read_table(catalog / "ground_truth/views.parquet").to_pylist()

    for dt in ("2026-11-02", "2026-11-03"):
        changes = Counter(view["change"] for view in views if view["dt"] == dt)
        earlier = {view["item_id"] for view in views if view["dt"] < dt}

        assert set(changes) == {"new", "price", "picture", "delete"}
        assert all(view["item_id"] in earlier for view in views if view["dt"] == dt and view["change"] != "new")


def test_every_kind_of_fault_is_planted(catalog: Path) -> None:
    planted = {fault["fault"] for fault in pq.read_table(catalog / "ground_truth/faults.parquet").to_pylist()}

    assert planted == set(FAULTS)


def test_every_planted_fault_really_has_its_fault(catalog: Path) -> None:
    faults = pq.read_table(catalog / "ground_truth/faults.parquet").to_pylist()

    for fault in faults:
        rows = _rows(catalog, fault["dt"])
        folder = catalog / f"dt={fault['dt']}"
        _CHECKS[fault["fault"]](folder, rows, fault["row_number"])


def test_rows_without_a_fault_have_unique_ids_within_a_day(catalog: Path) -> None:
    for dt in DAYS:
        ids = [row["item_id"] for row in _rows(catalog, dt) if row is not None and row["item_id"]]
        repeated = {item_id for item_id, count in Counter(ids).items() if count > 1}
        planted = {
            fault["item_id"]
            for fault in pq.read_table(catalog / "ground_truth/faults.parquet").to_pylist()
            if fault["dt"] == dt and fault["fault"] == "duplicate_item_id"
        }

        assert repeated == planted


def test_scenes_say_where_each_product_is(catalog: Path) -> None:
    scenes = [
        view for view in pq.read_table(catalog / "ground_truth/views.parquet").to_pylist() if view["kind"] == "scene"
    ]
    assert scenes

    for scene in scenes:
        boxes = json.loads(scene["boxes"])
        assert len(boxes) >= 2
        for entry in boxes:
            x0, y0, x1, y1 = entry["box"]
            assert entry["label"] in PRODUCT_TYPES
            assert 0 <= x0 < x1 <= 240 and 0 <= y0 < y1 <= 240


def test_the_trend_moves_from_summer_to_winter() -> None:
    from examples.demo_catalog.plan import trend

    first, last = trend(0, 3)[0], trend(2, 3)[0]

    assert first["boot"] == first["dress"]
    assert last["boot"] > 5 * last["dress"]


def test_studio_views_alone_and_no_faults_on_request(tmp_path: Path) -> None:
    summary = generate_catalog(
        tmp_path / "c", items=40, seed=3, days=1, kinds=("studio",), include_faults=False, max_views=2
    )

    assert summary["days"]["2026-11-01"]["kinds"] == {"studio": 40}  # type: ignore[index]
    assert summary["days"]["2026-11-01"]["rows_rejected"] == 0  # type: ignore[index]
    views = pq.read_table(tmp_path / "c/ground_truth/views.parquet").to_pylist()
    assert {view["view_index"] for view in views} == {0, 1}


def test_a_folder_that_holds_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something.txt").write_text("mine")

    with pytest.raises(FileExistsError, match="not empty"):
        generate_catalog(tmp_path, items=40, days=1)


@pytest.mark.parametrize(
    "wrong", [{"items": 5}, {"kinds": ("painting",)}, {"workers": 0}, {"max_views": 0}, {"fault_share": 2.0}]
)
def test_impossible_arguments_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected|unknown"):
        generate_catalog(tmp_path / "c", **wrong)  # type: ignore[arg-type]


def _rows(catalog: Path, dt: str) -> list[dict[str, object] | None]:
    """The rows of a day as their files hold them; None for a line that is no JSON."""
    path = catalog / f"dt={dt}" / f"items.{DAYS[dt]}"
    if DAYS[dt] == "parquet":
        return list(pq.read_table(path).to_pylist())
    if DAYS[dt] == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    rows: list[dict[str, object] | None] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(dict.fromkeys(COLUMNS) | json.loads(line))
        except json.JSONDecodeError:
            rows.append(None)
    return rows


def _undecodable(folder: Path, rows: list, number: int) -> None:
    path = folder / rows[number]["image_uri"]
    with pytest.raises((OSError, UnidentifiedImageError)), Image.open(path) as image:
        image.load()


def _missing(folder: Path, rows: list, number: int) -> None:
    assert not (folder / rows[number]["image_uri"]).exists()


def _duplicate_id(_: Path, rows: list, number: int) -> None:
    later = [row for row in rows[number + 1 :] if row is not None]
    assert rows[number]["item_id"] in {row["item_id"] for row in later}


def _too_small(folder: Path, rows: list, number: int) -> None:
    with Image.open(folder / rows[number]["image_uri"]) as image:
        assert min(image.size) < 32
        image.load()


def _extreme(folder: Path, rows: list, number: int) -> None:
    with Image.open(folder / rows[number]["image_uri"]) as image:
        assert max(image.size) / min(image.size) > 6.0
        assert min(image.size) >= 32


def _grayscale(folder: Path, rows: list, number: int) -> None:
    with Image.open(folder / rows[number]["image_uri"]) as image:
        assert image.mode == "L"


def _bomb(folder: Path, rows: list, number: int) -> None:
    path = folder / rows[number]["image_uri"]
    assert path.stat().st_size < 1_000_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Image.DecompressionBombError):
            Image.open(path)


def _oversized(folder: Path, rows: list, number: int) -> None:
    path = folder / rows[number]["image_uri"]
    assert path.stat().st_size > 20 * 1024 * 1024


def _same_bytes(folder: Path, rows: list, number: int) -> None:
    digest = _digest(folder / rows[number]["image_uri"])
    others = [
        row
        for k, row in enumerate(rows)
        if k != number and row and row["image_uri"] and row["item_id"] != rows[number]["item_id"]
    ]
    assert digest in {_digest(folder / row["image_uri"]) for row in others if (folder / row["image_uri"]).exists()}


def _near(folder: Path, rows: list, number: int) -> None:
    here = rows[number]
    siblings = [
        row
        for k, row in enumerate(rows)
        if k != number and row and row["title"] == here["title"] and row["parent_id"] == here["parent_id"]
    ]
    with Image.open(folder / here["image_uri"]) as image:
        own = np.asarray(image.convert("RGB"), dtype=np.float32)
    differences = []
    for row in siblings:
        with Image.open(folder / row["image_uri"]) as image:
            differences.append(np.abs(np.asarray(image.convert("RGB"), dtype=np.float32) - own).mean())
    assert 0 < min(differences) < 20


def _malformed(_: Path, rows: list, number: int) -> None:
    assert rows[number] is None


def _holds(column: str, *values: object):
    def check(_: Path, rows: list, number: int) -> None:
        assert rows[number][column] in values

    return check


_CHECKS = {
    "truncated_image": _undecodable,
    "html_as_image": _undecodable,
    "text_as_image": _undecodable,
    "empty_file": _undecodable,
    "missing_image": _missing,
    "duplicate_item_id": _duplicate_id,
    "wrong_price": _holds("price", "cheap"),
    "wrong_in_stock": _holds("in_stock", "maybe"),
    "wrong_created_at": _holds("created_at", "last Tuesday"),
    "missing_item_id": _holds("item_id", None, ""),
    "missing_image_uri": _holds("image_uri", None, ""),
    "malformed_row": _malformed,
    "exact_duplicate": _same_bytes,
    "shared_image": _same_bytes,
    "near_duplicate": _near,
    "tiny_image": _too_small,
    "extreme_aspect": _extreme,
    "grayscale": _grayscale,
    "decompression_bomb": _bomb,
    "oversized_file": _oversized,
}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _root() -> Path:
    return Path(__file__).resolve().parents[2]
