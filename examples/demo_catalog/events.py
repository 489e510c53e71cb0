"""An event log over a demo catalog: sessions of shoppers who see what stands high, click what fits, and err.

    log = write_event_log("out")     # out/events/dt=YYYY-MM-DD/part-00000.parquet, out/ground_truth/events.parquet

The shopper follows the position-based model (Richardson et al., Predicting clicks, WWW 2007): an item is clicked when
it is examined, by position alone, and found fitting, by its relevance alone. Beside that, some clicks are noise: they
fall on any item that stands there. The ground truth tells which, and how relevant each shown item was.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from examples.demo_catalog.faults import FAULTS
from examples.demo_catalog.plan import trend
from vitrine.contracts.events import event_schema
from vitrine.files.whole import whole_folder

DAYS = 28
SESSIONS = 60
POSITIONS = 12
# Relevance: same parent 3, same type and colour 2, same type 1, anything else 0.
CLICK_IF_EXAMINED = (0.02, 0.12, 0.35, 0.60)
EXAMINATION_FALL = 0.7  # position k is examined with probability k ** -0.7
NOISE_CLICK = 0.01
THUMBS = 0.10
_RANKER_NOISE = 0.4
_QUERY_KINDS = (("item", 0.5), ("text", 0.3), ("image", 0.2))


def examination(position: int) -> float:
    """How likely the item at `position`, from 1, is looked at."""
    return float(position**-EXAMINATION_FALL)


def write_event_log(
    catalog: Path | str, *, seed: int = 7, days: int = DAYS, sessions: int = SESSIONS
) -> dict[str, dict[str, int]]:
    """Writes the log of the last `days` days of a demo catalog; returns how many events of each kind each day has.

    The same arguments give the same bytes. A folder `events` that is there is complete and is left as it is.

    Args:
        catalog: a folder that `generate_catalog` wrote.
        seed: of the shoppers.
        days: that end with the catalog's last delivery.
        sessions: on the first day; they grow by half until the last.

    Raises:
        ValueError: there are no days or sessions, or `catalog` holds no ground truth.
    """
    folder = Path(catalog)
    if days < 1 or sessions < 1:
        raise ValueError(f"expected at least one day and one session, found days={days}, sessions={sessions}")
    if not (folder / "ground_truth" / "views.parquet").is_file():
        raise ValueError(f"{folder} has no ground_truth/views.parquet; expected the folder of a demo catalog")
    if (folder / "events").is_dir():
        return {path.name.removeprefix("dt="): _counts(path) for path in sorted((folder / "events").glob("dt=*"))}
    with whole_folder(folder / "events") as partial:
        truth = _write_days(partial, _Shelf.read(folder), seed=seed, days=days, sessions=sessions)
        pq.write_table(truth, folder / "ground_truth" / "events.parquet")
        told = {
            "seed": seed,
            "examination": {k: examination(k) for k in range(1, POSITIONS + 1)},
            "click_if_examined": dict(enumerate(CLICK_IF_EXAMINED)),
            "noise_click": NOISE_CLICK,
        }
        (folder / "ground_truth" / "events.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return write_event_log(folder, seed=seed, days=days, sessions=sessions)


_TRUTH = pa.schema([("event_id", pa.string()), ("relevance", pa.int8()), ("is_noise", pa.bool_())])


def _write_days(into: Path, shelf: _Shelf, *, seed: int, days: int, sessions: int) -> pa.Table:
    """Writes the events of each day, and returns the truth about them."""
    last = date.fromisoformat(shelf.last_day)
    truth: list[dict[str, object]] = []
    for number in range(days):
        day = last - timedelta(days=days - 1 - number)
        rows = _Day(shelf, day, number, days, np.random.default_rng([77, seed, number])).rows(sessions)
        target = into / f"dt={day.isoformat()}"
        target.mkdir(parents=True)
        table = pa.Table.from_pylist([{k: row[k] for k in event_schema().names} for row in rows], schema=event_schema())
        pq.write_table(table, target / "part-00000.parquet", compression="zstd")
        truth += [{name: row[name] for name in _TRUTH.names} for row in rows]
    return pa.Table.from_pylist(truth, schema=_TRUTH)


@dataclass(frozen=True)
class _Shelf:
    """What the shop has: rows by item_id, as the ground truth knows them."""

    item_ids: np.ndarray
    parents: np.ndarray  # numbers
    types: np.ndarray  # numbers
    colors: np.ndarray  # numbers
    created: np.ndarray  # days, as ISO text
    removed: np.ndarray  # the day of the deletion, or "9999"
    parent_ids: tuple[str, ...]
    type_names: tuple[str, ...]
    color_names: tuple[str, ...]
    last_day: str

    @classmethod
    def read(cls, folder: Path) -> _Shelf:
        products = {row["parent_id"]: row for row in pq.read_table(folder / "ground_truth/parents.parquet").to_pylist()}
        items: dict[str, dict[str, str]] = {}
        views = pq.read_table(folder / "ground_truth" / "views.parquet").to_pylist()
        for view in sorted(views, key=lambda row: (row["dt"], row["row_number"])):
            if view["fault"] and not FAULTS[view["fault"]].accepted:
                continue
            if view["change"] == "delete":
                items[view["item_id"]]["removed"] = view["dt"]
            elif view["parent_id"] in products and view["item_id"] not in items:
                created = (view.get("created_at") or view["dt"])[:10]
                items[view["item_id"]] = {"parent": view["parent_id"], "created": created, "removed": "9999"}
        names = sorted(items)
        parent_ids = tuple(sorted({items[name]["parent"] for name in names}))
        kinds = tuple(sorted({products[name]["product_type"] for name in parent_ids}))
        colors = tuple(sorted({products[name]["color"] for name in parent_ids}))
        rows = [(items[name], products[items[name]["parent"]]) for name in names]
        return cls(
            item_ids=np.array(names),
            parents=np.array([parent_ids.index(item["parent"]) for item, _ in rows]),
            types=np.array([kinds.index(product["product_type"]) for _, product in rows]),
            colors=np.array([colors.index(product["color"]) for _, product in rows]),
            created=np.array([item["created"] for item, _ in rows]),
            removed=np.array([item["removed"] for item, _ in rows]),
            parent_ids=parent_ids,
            type_names=kinds,
            color_names=colors,
            last_day=max(view["dt"] for view in views),
        )


class _Day:
    """One day's shoppers."""

    def __init__(self, shelf: _Shelf, day: date, number: int, days: int, rng: np.random.Generator) -> None:
        self._shelf, self._day, self._rng = shelf, day, rng
        self._growth = 1.0 + 0.5 * number / max(1, days - 1)
        self._live = np.flatnonzero((shelf.created <= day.isoformat()) & (day.isoformat() < shelf.removed))
        types, colors = trend(number, days)
        wanted = np.array([types.get(name, 1.0) for name in shelf.type_names])[shelf.types[self._live]]
        wanted = wanted * np.array([colors.get(name, 1.0) for name in shelf.color_names])[shelf.colors[self._live]]
        # A few products are seen by many: Zipf's law over products, in an order that stays from day to day.
        fame = np.array([_fraction(name) for name in shelf.parent_ids])[shelf.parents[self._live]]
        wanted = wanted / (0.01 + fame)
        self._wanted = np.cumsum(wanted / wanted.sum()) if len(self._live) else wanted
        self._rows: list[dict[str, object]] = []

    def rows(self, sessions: int) -> list[dict[str, object]]:
        """Returns the day's events in order of time."""
        if len(self._live):
            for number in range(round(sessions * self._growth)):
                self._session(f"s-{self._day:%Y%m%d}-{number:05d}")
        self._rows.sort(key=lambda row: (row["occurred_at"], row["event_id"]))
        return self._rows

    def _session(self, session_id: str) -> None:
        rng = self._rng
        drawn = min(int(np.searchsorted(self._wanted, rng.random())), len(self._live) - 1)
        target = int(self._live[drawn])
        time = datetime.combine(self._day, datetime.min.time(), tzinfo=UTC)
        time += timedelta(seconds=int(rng.integers(0, 84_000)))
        for number in range(int(rng.integers(1, 4))):
            self._query(session_id, f"q-{session_id[2:]}-{number}", target, time + timedelta(seconds=200 * number))

    def _query(self, session_id: str, query_id: str, target: int, time: datetime) -> None:
        shelf, rng = self._shelf, self._rng
        names = [name for name, _ in _QUERY_KINDS]
        shares = np.array([share for _, share in _QUERY_KINDS])
        kind = names[int(rng.choice(len(names), p=shares))]
        text = f"{shelf.color_names[shelf.colors[target]]} {shelf.type_names[shelf.types[target]]}"
        photo = hashlib.sha256(f"photo of {shelf.parent_ids[shelf.parents[target]]}".encode()).hexdigest()
        query = {
            "query_id": query_id,
            "session_id": session_id,
            "release_id": None,
            "query_kind": kind,
            "query_text": text if kind == "text" else None,
            "query_item_id": str(shelf.item_ids[target]) if kind == "item" else None,
            "query_image_sha256": photo if kind == "image" else None,
        }
        relevance = self._relevance(target)
        noisy = relevance + _RANKER_NOISE * rng.gumbel(size=len(relevance))
        if kind == "item":
            noisy[self._live == target] = -np.inf
        ranked = np.argsort(-noisy, kind="stable")[:POSITIONS]
        for position, place in enumerate(ranked, start=1):
            if np.isfinite(noisy[place]):
                shown = query | {"item_id": str(shelf.item_ids[self._live[place]]), "position": position}
                self._shown(shown, int(relevance[place]), time)

    def _relevance(self, target: int) -> np.ndarray:
        shelf, live = self._shelf, self._live
        same_type = shelf.types[live] == shelf.types[target]
        same_color = shelf.colors[live] == shelf.colors[target]
        same_parent = shelf.parents[live] == shelf.parents[target]
        return np.where(same_parent, 3, np.where(same_type & same_color, 2, np.where(same_type, 1, 0)))

    def _shown(self, shown: dict[str, object], relevance: int, time: datetime) -> None:
        rng = self._rng
        position = int(str(shown["position"]))
        self._event(shown, "impression", relevance, time, is_noise=False)
        is_noise = bool(rng.random() < NOISE_CLICK)
        fits = rng.random() < examination(position) * CLICK_IF_EXAMINED[relevance]
        if not (is_noise or fits):
            return
        later = time + timedelta(seconds=3 + 5 * position)
        self._event(shown, "click", relevance, later, is_noise=is_noise and not fits)
        if rng.random() < THUMBS:
            errs = bool(rng.random() < 0.1)
            kind = "thumbs_up" if (relevance >= 2) != errs else "thumbs_down"
            self._event(shown, kind, relevance, later + timedelta(seconds=20), is_noise=errs)

    def _event(self, shown: dict[str, object], kind: str, relevance: int, time: datetime, *, is_noise: bool) -> None:
        event_id = f"e-{shown['query_id']}-{shown['position']}-{kind}"
        told = {"event_id": event_id, "occurred_at": time, "kind": kind, "relevance": relevance, "is_noise": is_noise}
        self._rows.append(shown | told)


def _counts(folder: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for path in sorted(folder.glob("*.parquet")):
        for kind in pq.read_table(path, columns=["kind"])["kind"].to_pylist():
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def _fraction(name: str) -> float:
    """A number in 0..1 that a name always has."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
