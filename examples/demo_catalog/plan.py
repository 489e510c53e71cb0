"""The plan of a catalog: which rows each day delivers, before a single pixel is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from examples.demo_catalog.parents import Parent, sample_parents
from examples.demo_catalog.pictures import Picture
from examples.demo_catalog.scenes import SCENE_THEMES, choose_for_scene
from examples.demo_catalog.titles import title_and_description

FORMATS: tuple[str, ...] = ("parquet", "jsonl", "csv")
COLUMNS: tuple[str, ...] = (
    "item_id",
    "image_uri",
    "title",
    "description",
    "category",
    "parent_id",
    "brand",
    "color",
    "price",
    "in_stock",
    "created_at",
    "deleted",
    "kind",
    "material",
    "pattern",
    "boxes",
)
_FIRST_DAY_SHARE = 0.7
# Of the rows of a later day; the rest are new items.
_LATER = {"price": 0.20, "picture": 0.06, "delete": 0.10}
_SCENE_SHARE, _USER_PHOTO_SHARE = 0.025, 0.22


@dataclass(frozen=True)
class Row:
    """One row of an items file.

    `change` is `new`, `price`, `picture` or `delete`; `fault` names what was planted, if anything; `line` replaces the
    whole line of a malformed row.
    """

    values: dict[str, object]
    picture: Picture | None
    change: str = "new"
    fault: str = ""
    line: str | None = None


@dataclass(frozen=True)
class Delivery:
    """One day's partition."""

    dt: str
    format: str
    rows: tuple[Row, ...]
    parents: tuple[Parent, ...] = field(repr=False)


@dataclass(frozen=True)
class Recipe:
    """What to generate; see `generate_catalog`."""

    items: int = 2000
    seed: int = 7
    days: int = 3
    start_date: date = date(2026, 11, 1)
    kinds: tuple[str, ...] = ("studio", "user_photo", "scene")
    max_views: int | None = None
    formats: tuple[str, ...] = FORMATS


def plan_deliveries(recipe: Recipe) -> list[Delivery]:
    """The sound rows of each day; rows of all days together number `recipe.items`."""
    live: dict[str, Row] = {}
    deliveries: list[Delivery] = []
    parents: list[Parent] = []
    next_item = 0
    for day, count in enumerate(_rows_by_day(recipe)):
        rng = np.random.default_rng([51, recipe.seed, day])
        today = recipe.start_date + timedelta(days=day)
        changed = _changes(live, count, rng) if day else []
        new, fresh_parents = _new_rows(recipe, day, count - len(changed), next_item, parents, rng)
        next_item += len(new)
        parents = parents + fresh_parents
        rows = [*new, *changed]
        for row in rows:
            item_id = str(row.values["item_id"])
            if row.change == "delete":
                live.pop(item_id, None)
            else:
                live[item_id] = row
        deliveries.append(
            Delivery(today.isoformat(), recipe.formats[day % len(recipe.formats)], tuple(rows), tuple(parents))
        )
    return deliveries


def named(picture: Picture, item_id: str) -> str:
    """Where a picture lies, relative to the items file."""
    return f"images/{item_id}.{picture.extension}"


def trend(day: int, days: int) -> tuple[dict[str, float], dict[str, float]]:
    """How much likelier each type and colour is on a day: summer goes, winter comes."""
    t = day / max(days - 1, 1)
    up, down = float(np.exp(1.1 * t)), float(np.exp(-1.1 * t))
    types = dict.fromkeys(("sweater", "boot", "lamp", "cushion", "hat", "mug"), up) | dict.fromkeys(
        ("t-shirt", "skirt", "dress", "sneaker", "vase"), down
    )
    colors = dict.fromkeys(("burgundy", "brown", "grey", "black", "green", "navy"), up) | dict.fromkeys(
        ("mint", "yellow", "pink", "orange", "blue"), down
    )
    return types, colors


def _rows_by_day(recipe: Recipe) -> list[int]:
    if recipe.days == 1:
        return [recipe.items]
    later = int(recipe.items * (1 - _FIRST_DAY_SHARE)) // (recipe.days - 1)
    return [recipe.items - later * (recipe.days - 1)] + [later] * (recipe.days - 1)


def _new_rows(
    recipe: Recipe, day: int, count: int, next_item: int, known: Sequence[Parent], rng: np.random.Generator
) -> tuple[list[Row], list[Parent]]:
    types, colors = trend(day, recipe.days)
    scenes = round(count * _SCENE_SHARE) if "scene" in recipe.kinds and count >= 20 else 0
    pictures: list[Picture] = []
    parents: list[Parent] = []
    while len(pictures) < count - scenes:
        parent = sample_parents(
            recipe.seed, 1, first=len(known) + len(parents), type_weights=types, color_weights=colors
        )[0]
        parents.append(parent)
        pictures += _pictures_of(parent, recipe, rng)
    pictures = pictures[: count - scenes]
    everyone = [*known, *parents]
    for number in range(scenes):
        theme = SCENE_THEMES[number % len(SCENE_THEMES)]
        chosen = choose_for_scene(everyone, theme, rng)
        seed = (recipe.seed * 1009 + day) * 100_003 + number
        pictures.append(Picture("scene", chosen, seed, theme=theme, format=_format(rng)))
    rows = []
    for offset, picture in enumerate(pictures):
        created = _created_at(recipe, day, rng)
        rows.append(_row(f"item-{next_item + offset:06d}", picture, created, rng))
    return rows, parents


def _pictures_of(parent: Parent, recipe: Recipe, rng: np.random.Generator) -> list[Picture]:
    """Two to six views of one product, the studio's first."""
    count = int(rng.choice([2, 3, 4, 5, 6], p=[0.12, 0.25, 0.32, 0.2, 0.11]))
    kinds = [kind for kind in ("studio", "user_photo") if kind in recipe.kinds]
    if not kinds:
        raise ValueError(f"kinds: expected 'studio' or 'user_photo' among them, found {recipe.kinds}")
    if len(kinds) == 2:
        by_users = int(rng.binomial(count, _USER_PHOTO_SHARE))
        counts = {"studio": count - by_users, "user_photo": by_users}
    else:
        counts = {kinds[0]: count}
    if recipe.max_views is not None:
        counts = {kind: min(number, recipe.max_views) for kind, number in counts.items()}
    return [Picture(kind, (parent,), index, format=_format(rng)) for kind in kinds for index in range(counts[kind])]


def _row(item_id: str, picture: Picture, created: datetime, rng: np.random.Generator) -> Row:
    if picture.kind == "scene":
        title, description = _scene_text(picture)
        own: dict[str, object] = {
            "category": f"scenes/{picture.theme}",
            "parent_id": None,
            "brand": None,
            "color": None,
            "price": None,
        }
        material = pattern = None
    else:
        parent = picture.parents[0]
        title, description = title_and_description(parent, rng)
        own = {
            "category": parent.category,
            "parent_id": parent.parent_id,
            "brand": parent.brand,
            "color": parent.color,
            "price": parent.price,
        }
        material, pattern = parent.material, parent.pattern
    values: dict[str, object] = {
        "item_id": item_id,
        "image_uri": named(picture, item_id),
        "title": title,
        "description": description,
        **own,
        "in_stock": bool(rng.random() < 0.88),
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "deleted": False,
        "kind": picture.kind,
        "material": material,
        "pattern": pattern,
        "boxes": None,  # those of a scene are known once it is drawn
    }
    return Row(values, picture)


def _scene_text(picture: Picture) -> tuple[str, str]:
    names = [f"{parent.color} {parent.product_type}" for parent in picture.parents]
    listing = ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
    if picture.theme == "room":
        return f"Living room with {listing}", f"A room to feel at home in: {listing}."
    return f"Outfit: {listing}", f"A whole outfit laid out: {listing}."


def _changes(live: dict[str, Row], count: int, rng: np.random.Generator) -> list[Row]:
    """Updates and deletions of items that earlier days delivered."""
    candidates = sorted(
        item_id for item_id, row in live.items() if row.picture is not None and row.picture.kind != "scene"
    )
    wanted = {change: round(count * share) for change, share in _LATER.items()}
    total = min(sum(wanted.values()), len(candidates) // 2)
    chosen = [candidates[k] for k in rng.permutation(len(candidates))[:total]]
    kinds = [change for change, number in wanted.items() for _ in range(number)][:total]
    return [_changed(live[item_id], change, rng) for item_id, change in zip(chosen, kinds, strict=True)]


def _changed(row: Row, change: str, rng: np.random.Generator) -> Row:
    values = dict(row.values)
    if change == "delete":
        values["deleted"] = True
        return Row(values, None, change)
    if row.picture is None:
        raise ValueError(f"{values['item_id']}: only a row with a picture can be updated")
    picture = row.picture
    if change == "picture":
        picture = replace(picture, view_index=picture.view_index + 10)
    else:
        values["price"] = round(float(values["price"]) * float(rng.uniform(0.7, 1.15)), 2)  # type: ignore[arg-type]
        values["in_stock"] = bool(rng.random() < 0.7)
    values["image_uri"] = named(picture, str(values["item_id"]))
    return Row(values, picture, change)


def _created_at(recipe: Recipe, day: int, rng: np.random.Generator) -> datetime:
    midnight = datetime.combine(recipe.start_date + timedelta(days=day), datetime.min.time(), tzinfo=UTC)
    spread_days = 45.0 if day == 0 else 0.0
    return midnight + timedelta(seconds=int(rng.uniform(-spread_days, 1.0) * 86_399))


def _format(rng: np.random.Generator) -> str:
    return str(rng.choice(["JPEG", "WEBP", "PNG"], p=[0.93, 0.05, 0.02]))
