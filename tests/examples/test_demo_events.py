"""The demo's event log: the same each time, with the bias, the noise and the trend that it says it has."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from examples.demo_catalog import generate_catalog
from examples.demo_catalog.events import CLICK_IF_EXAMINED, NOISE_CLICK, examination, write_event_log
from vitrine.contracts.events import event_schema

DAYS = 20


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small catalog and its log."""
    folder = tmp_path_factory.mktemp("demo") / "catalog"
    generate_catalog(folder, items=200, seed=3, kinds=("studio",), include_faults=False)
    write_event_log(folder, days=DAYS, sessions=80)
    return folder


@pytest.fixture(scope="module")
def events(catalog: Path) -> pd.DataFrame:
    """All events, with what the ground truth says of them."""
    parts = [pq.read_table(path).to_pandas() for path in sorted(catalog.glob("events/dt=*/*.parquet"))]
    truth = pq.read_table(catalog / "ground_truth" / "events.parquet").to_pandas()
    return pd.concat(parts).merge(truth, on="event_id", validate="one_to_one")


def test_the_same_arguments_give_the_same_bytes(catalog: Path, tmp_path: Path) -> None:
    shutil.copytree(catalog / "ground_truth", tmp_path / "again" / "ground_truth")

    write_event_log(tmp_path / "again", days=DAYS, sessions=80)

    assert _digests(tmp_path / "again" / "events") == _digests(catalog / "events")
    assert len(_digests(catalog / "events")) == DAYS


def test_each_event_follows_the_contract_and_lies_on_its_day(catalog: Path) -> None:
    for path in catalog.glob("events/dt=*/*.parquet"):
        table = pq.ParquetFile(path).read()
        assert table.schema == event_schema()
        days = {time.date().isoformat() for time in table["occurred_at"].to_pylist()}
        assert days == {path.parent.name.removeprefix("dt=")}


def test_nothing_is_shown_before_it_was_created(catalog: Path, events: pd.DataFrame) -> None:
    views = pq.read_table(catalog / "ground_truth" / "views.parquet").to_pandas()
    created = views[views.change == "new"].set_index("item_id").created_at.str[:10]

    assert (events.item_id.map(created) <= events.occurred_at.dt.strftime("%Y-%m-%d")).all()


def test_clicks_fall_with_the_position_as_the_model_says(events: pd.DataFrame) -> None:
    shown, clicked = (events[(events.kind == kind)] for kind in ("impression", "click"))
    by = ["relevance", "position"]
    counts = pd.DataFrame({"shown": shown.groupby(by).size(), "clicked": clicked.groupby(by).size()}).fillna(0)
    fits = np.array([examination(k) * CLICK_IF_EXAMINED[grade] for grade, k in counts.index])
    expected = counts.shown * (1 - (1 - fits) * (1 - NOISE_CLICK))

    # Five standard deviations of a binomial count: the log is seeded, and the bound is what another seed would keep.
    assert (abs(counts.clicked - expected) <= 5 * np.sqrt(expected + 1)).all()
    rates = [rows.clicked.sum() / rows.shown.sum() for rows in (counts.loc[1].loc[:2], counts.loc[1].loc[8:])]
    assert rates[0] > 1.5 * rates[1]


def test_noise_falls_on_what_does_not_fit_too(events: pd.DataFrame) -> None:
    clicks = events[events.kind == "click"]

    assert 0 < clicks.is_noise.mean() < 0.5
    assert clicks[clicks.is_noise].relevance.mean() < clicks[~clicks.is_noise].relevance.mean()
    assert not events[events.kind == "impression"].is_noise.any()


def test_pairs_are_clicked_together_more_than_once(events: pd.DataFrame) -> None:
    clicks = events[events.kind == "click"][["query_id", "item_id"]].drop_duplicates()
    pairs = clicks.merge(clicks, on="query_id")
    times = pairs[pairs.item_id_x < pairs.item_id_y].groupby(["item_id_x", "item_id_y"]).size()

    assert (times > 1).sum() > 50
    assert {"thumbs_up", "thumbs_down"} <= set(events.kind)


def test_sessions_grow_from_day_to_day(events: pd.DataFrame) -> None:
    sessions = events.groupby(events.occurred_at.dt.date).session_id.nunique()

    assert sessions.iloc[-1] == round(1.5 * sessions.iloc[0])


def test_a_folder_without_ground_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"views\.parquet"):
        write_event_log(tmp_path)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.parquet")
    }
