"""Which tasks a catalog can ask, from its columns."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from training.evaluate.catalogs.catalog import EvaluationCatalog, read_evaluation_catalog
from training.evaluate.tasks.finding import find_tasks
from vitrine.settings import Settings


def folder_of(folder: Path, rows: list[dict[str, object]]) -> Path:
    for number, row in enumerate(rows):
        Image.new("RGB", (40, 40), (number * 9 % 256, 80, 90)).save(folder / f"{row['item_id']}.png")
        row["image_uri"] = f"{row['item_id']}.png"
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_demo_catalog_asks_with_photos_crops_views_and_titles(demo: EvaluationCatalog) -> None:
    tasks, absent = find_tasks(demo, split="all")

    named = {task.name: task for task in tasks}
    assert list(named) == ["user_photo_to_studio", "image_to_image", "crop_of_scene", "text_to_image", "image_to_text"]
    assert [task.name for task in absent] == ["category_of_neighbours"]
    assert all(query.picture and query.picture.box for query in named["crop_of_scene"].queries)
    assert all(query.excluded == query.item.item_id for query in named["image_to_image"].queries)
    kinds = {entry.item.photo_kind for task in tasks for entry in task.entries}
    assert kinds == {"studio"}


def test_every_query_has_a_right_answer_that_is_not_itself(demo: EvaluationCatalog) -> None:
    tasks, _ = find_tasks(demo, split="all")

    for task in tasks:
        for query in task.queries:
            right = [entry for entry in task.entries if entry.parent_id in query.parent_ids]
            assert any(entry.entry_id != query.excluded for entry in right), (task.name, query.query_id)


def test_only_the_asked_split_asks_and_the_whole_catalog_is_searched(demo: EvaluationCatalog) -> None:
    everything, _ = find_tasks(demo, split="all")
    tested, _ = find_tasks(demo, split="test")

    assert {query.item.split for task in tested for query in task.queries if task.name != "crop_of_scene"} == {"test"}
    gallery = {task.name: task.entries for task in everything}
    assert all(task.entries == gallery[task.name] for task in tested)


def test_a_catalog_without_products_asks_for_the_category_of_neighbours(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"item_id": f"i{n}", "category": "hat" if n % 2 else "shoe", "title": "hat" if n % 2 else "shoe"}
        | {"split": "test" if n > 15 else "train"}
        for n in range(20)
    ]

    tasks, absent = find_tasks(read_evaluation_catalog(folder_of(tmp_path, rows), Settings()))

    assert [task.name for task in tasks] == ["category_of_neighbours"]
    assert {query.item.split for query in tasks[0].queries} == {"test"}
    assert {entry.item.split for entry in tasks[0].entries} == {"train"}
    reasons = {task.name: task.reason for task in absent}
    assert "one title stands for many" in reasons["text_to_image"]
    assert len(reasons) == 5


def test_one_iconic_picture_a_product_leaves_its_title_as_the_question_itself(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = []
    for n in range(8):
        said = {"parent_id": f"p{n}", "title": f"Apple {n}"}
        rows += [
            {"item_id": f"a{n}", "kind": "iconic", "description": f"the {n}th", **said},
            {"item_id": f"b{n}", "kind": "shop_photo", **said},
        ]

    tasks, absent = find_tasks(read_evaluation_catalog(folder_of(tmp_path, rows), Settings()), split="all")

    named = {task.name: task for task in tasks}
    assert list(named) == ["user_photo_to_studio", "text_to_image", "image_to_text"]
    assert named["text_to_image"].own_text_in_gallery
    assert {entry.text for entry in named["image_to_text"].entries} == {f"the {n}th" for n in range(8)}
    assert {task.name for task in absent} == {"image_to_image", "crop_of_scene", "category_of_neighbours"}


def test_pictures_that_cannot_be_decoded_are_counted_and_left_out(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, [{"item_id": "good"}, {"item_id": "bad"}])
    (folder / "bad.png").write_bytes(b"no picture")

    catalog = read_evaluation_catalog(folder, Settings())

    assert [sample.item_id for sample in catalog.samples] == ["good"]
    assert catalog.unusable == 1
