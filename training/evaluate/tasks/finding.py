"""What can be asked of a catalog, found from its columns and never from its name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from training.data.samples import Sample
from training.evaluate.catalogs.catalog import EvaluationCatalog, Picture, picture_of
from training.evaluate.tasks.task import AbsentTask, Entry, Query, Task

QuerySplit = Literal["train", "validation", "test", "all"]


def find_tasks(catalog: EvaluationCatalog, *, split: QuerySplit = "test") -> tuple[list[Task], list[AbsentTask]]:
    """Returns the tasks that a catalog can ask, and those that it cannot.

    Queries come from one split; the gallery is the whole catalog's, as it is in a search. Catalog pictures are those of
    kind `studio`, and those of which no kind is known.

    Args:
        split: of the items that ask; `all`: every item.
    """
    asked = [sample for sample in catalog.samples if split in ("all", sample.split)]
    studio = [sample for sample in catalog.samples if sample.photo_kind in (None, "studio")]
    gallery = tuple(_picture_entry(sample) for sample in studio)
    found = [
        _user_photo_to_studio(asked, gallery),
        _image_to_image(asked, gallery),
        _crop_of_scene(catalog, asked, gallery),
        _category_of_neighbours(catalog, split),
        _text_to_image(asked, gallery),
        _image_to_text(asked, studio),
    ]
    tasks = [task for task in found if isinstance(task, Task)]
    return tasks, [task for task in found if isinstance(task, AbsentTask)]


def _user_photo_to_studio(asked: Sequence[Sample], gallery: tuple[Entry, ...]) -> Task | AbsentTask:
    name = "user_photo_to_studio"
    products = {entry.parent_id for entry in gallery}
    photos = [sample for sample in asked if sample.photo_kind == "user"]
    queries = tuple(_picture_query(sample) for sample in photos if sample.parent_id in products)
    if not queries:
        return AbsentTask(
            name, f"{len(photos)} user photos are asked with, none of a product that has a studio picture"
        )
    return Task(name, "From a user's photo to the product's studio pictures", "picture", "picture", queries, gallery)


def _image_to_image(asked: Sequence[Sample], gallery: tuple[Entry, ...]) -> Task | AbsentTask:
    name = "image_to_image"
    pictures = Counter(entry.parent_id for entry in gallery)
    views = [sample for sample in asked if sample.photo_kind in (None, "studio") and pictures[sample.parent_id] > 1]
    if not views:
        return AbsentTask(name, "no product that is asked about has two studio pictures")
    queries = tuple(_picture_query(sample, excluded=sample.item_id) for sample in views)
    return Task(name, "From a studio picture to the product's other ones", "picture", "picture", queries, gallery)


def _crop_of_scene(
    catalog: EvaluationCatalog, asked: Sequence[Sample], gallery: tuple[Entry, ...]
) -> Task | AbsentTask:
    name = "crop_of_scene"
    of_parent: dict[str, Sample] = {}
    for entry in gallery:
        of_parent.setdefault(entry.parent_id, entry.item)
    queries = tuple(
        Query(
            query_id=f"{scene.item_id}#{number}",
            item=of_parent[box.parent_id],
            parent_ids=frozenset([box.parent_id]),
            picture=Picture(picture_of(scene).path, box.box),
        )
        for scene in asked
        for number, box in enumerate(catalog.boxes.get(scene.item_id, ()))
        if box.parent_id in of_parent
    )
    if not queries:
        return AbsentTask(name, "no scene that is asked with says where its products stand (column boxes)")
    return Task(
        name, "From a product cut out of a scene to its studio pictures", "picture", "picture", queries, gallery
    )


def _category_of_neighbours(catalog: EvaluationCatalog, split: QuerySplit) -> Task | AbsentTask:
    name = "category_of_neighbours"
    if max(Counter(sample.parent_id for sample in catalog.samples).values()) > 1:
        return AbsentTask(
            name, "the catalog says which pictures show one product, which asks more than a category does"
        )
    asks_all = split == "all"
    entries = tuple(
        _picture_entry(sample)
        for sample in catalog.samples
        if sample.category and (asks_all or sample.split == "train")
    )
    known = {entry.item.category for entry in entries}
    queries = tuple(
        Query(
            query_id=sample.item_id,
            item=sample,
            parent_ids=frozenset(),
            picture=picture_of(sample),
            excluded=sample.item_id,
        )
        for sample in catalog.samples
        if sample.category in known and split in ("all", sample.split)
    )
    if not queries:
        return AbsentTask(name, f"no item of split {split} has a category that items of split train have")
    return Task(
        name,
        "From a picture to pictures of its category in split train",
        *("picture", "picture"),
        queries,
        entries,
        relevance="category",
        metric="precision_at_10",
    )


def _text_to_image(asked: Sequence[Sample], gallery: tuple[Entry, ...]) -> Task | AbsentTask:
    name = "text_to_image"
    pictures = Counter(entry.parent_id for entry in gallery)
    titled = [sample for sample in asked if sample.photo_kind in (None, "studio") and sample.title]
    parents: dict[str, set[str]] = defaultdict(set)
    for entry in gallery:
        parents[entry.item.title or ""].add(entry.parent_id)
    if titled and max(len(parents[sample.title or ""]) for sample in titled) > max(5, len(gallery) // 20):
        return AbsentTask(name, "titles do not tell products apart: one title stands for many of them")
    # The item whose title asks is left out where its product has another picture: its own title would give it away.
    others = [sample for sample in titled if pictures[sample.parent_id] > 1]
    chosen = others or titled
    if not chosen:
        return AbsentTask(name, "no studio picture that is asked about has a title")
    queries = tuple(
        Query(
            query_id=sample.item_id,
            item=sample,
            parent_ids=frozenset(parents[sample.title or ""]),
            text=sample.title,
            excluded=sample.item_id if others else None,
        )
        for sample in chosen
    )
    return Task(
        name,
        "From a title to the product's studio pictures",
        *("text", "picture"),
        queries,
        gallery,
        own_text_in_gallery=not others,
    )


def _image_to_text(asked: Sequence[Sample], studio: Sequence[Sample]) -> Task | AbsentTask:
    name = "image_to_text"
    entries = tuple(
        Entry(sample.item_id, sample, sample.parent_id, text=sample.description)
        for sample in studio
        if sample.description
    )
    described = {entry.parent_id for entry in entries}
    photos = [sample for sample in asked if sample.photo_kind == "user" and sample.parent_id in described]
    if not photos:
        return AbsentTask(name, "no user's photo that is asked with is of a product with a description")
    queries = tuple(_picture_query(sample) for sample in photos)
    return Task(name, "From a user's photo to the product's description", "picture", "text", queries, entries)


def _picture_query(sample: Sample, *, excluded: str | None = None) -> Query:
    return Query(
        query_id=sample.item_id,
        item=sample,
        parent_ids=frozenset([sample.parent_id]),
        picture=picture_of(sample),
        excluded=excluded,
    )


def _picture_entry(sample: Sample) -> Entry:
    said = " ".join(part for part in (sample.title, sample.description) if part)
    return Entry(sample.item_id, sample, sample.parent_id, picture=picture_of(sample), text=said or None)
