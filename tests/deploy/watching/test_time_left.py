"""Estimates are made from runs that did about as much, or not at all."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import NoReturn

import pytest

from deploy.local.airflow_api import DagRun
from deploy.local.watching.time_left import TimeLeft, source_size

BEGAN = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.UTC)
SIZES = {
    "/small": ("pictures", 100),
    "/small/too": ("pictures", 150),
    "/small/again": ("pictures", 120),
    "/large": ("pictures", 1000),
    "/no/pictures": (".csv", 100),
}


class GoneAfterALook(type(Path())):  # type: ignore[misc]
    """A file that somebody removes once its folder was listed."""

    def is_file(self) -> bool:
        return True

    def stat(self, **_: object) -> NoReturn:
        raise FileNotFoundError(self)


def at(seconds: float) -> datetime.datetime:
    return BEGAN + datetime.timedelta(seconds=seconds)


def ingest(dt: str, source: str, *, began: float | None = None, ended: float | None = None) -> DagRun:
    state = "success" if ended is not None else "running"
    moments = [None if moment is None else at(moment) for moment in (began, ended)]
    return DagRun("demo.ingest_catalog", f"{dt} {source}", state, dt, {"source": source}, *moments)


def build(run_id: str, *, began: float, ended: float | None = None) -> DagRun:
    state = "success" if ended is not None else "running"
    return DagRun("demo.build_index", run_id, state, None, {}, at(began), None if ended is None else at(ended))


def test_the_days_to_come_are_judged_by_the_newest_day_of_their_size() -> None:
    left = TimeLeft([ingest("2026-10-01", "/small", began=-500, ended=-400)], size_of=SIZES.get)
    left.note([ingest("2026-11-01", "/large", began=0, ended=60), ingest("2026-11-02", "/small", began=60, ended=80)])

    now, later = ingest("2026-11-03", "/small/too", began=80), ingest("2026-11-04", "/small/again")

    assert left.ends_at(now, [later], begun=at(80)) == at(80 + 20 + 20)


@pytest.mark.parametrize("source", ["/large", "/no/pictures", "s3://shop/1"])
def test_a_day_of_another_size_or_kind_is_not_judged(source: str) -> None:
    left = TimeLeft([ingest("2026-11-01", source, began=0, ended=60)], size_of=SIZES.get)

    assert left.ends_at(ingest("2026-11-02", "/small", began=60), begun=at(60)) is None


def test_one_day_that_cannot_be_judged_leaves_all_of_them_unjudged() -> None:
    left = TimeLeft([ingest("2026-11-01", "/small", began=0, ended=20)], size_of=SIZES.get)

    now, later = ingest("2026-11-02", "/small/too", began=20), ingest("2026-11-03", "/large")

    assert left.ends_at(now, [later], begun=at(20)) is None


def test_redoing_a_day_is_not_judged_by_how_long_it_took_at_first() -> None:
    left = TimeLeft([ingest("2026-11-01", "/small", began=0, ended=90)], size_of=SIZES.get)

    assert left.ends_at(ingest("2026-11-01", "/small", began=100), begun=at(100)) is None


def test_days_of_unknown_size_are_not_judged() -> None:
    left = TimeLeft([ingest("2026-11-01", "s3://shop/1", began=0, ended=60)], size_of=SIZES.get)

    assert left.ends_at(ingest("2026-11-02", "s3://shop/2", began=60), begun=at(60)) is None


def test_what_a_build_waited_for_ingests_is_not_counted() -> None:
    left = TimeLeft([ingest("2026-11-01", "/small", began=0, ended=40), build("1", began=10, ended=52)])

    assert left.ends_at(build("2", began=100), begun=at(120)) == at(120 + 12)


def test_a_build_that_may_have_waited_for_unknown_ingests_judges_nothing() -> None:
    left = TimeLeft([build("1", began=10, ended=52)])

    assert left.ends_at(build("2", began=100), begun=at(120)) is None


def test_without_earlier_runs_nothing_is_judged() -> None:
    assert TimeLeft().ends_at(build("1", began=0), begun=at(0)) is None


def test_the_size_of_a_delivery_is_its_pictures_or_else_the_bytes_of_its_items(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text("x" * 100)
    assert source_size(str(tmp_path)) == source_size(str(tmp_path / "items.jsonl")) == (".jsonl", 100)

    for name in ("a.jpg", "b/c.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    assert source_size(str(tmp_path)) == ("pictures", 2)


def test_a_source_that_cannot_be_looked_at_has_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_size(str(tmp_path / ("x" * 300))) is None
    assert source_size("/data/a\0b") is None

    (tmp_path / "items.jsonl").touch()
    monkeypatch.setattr(Path, "rglob", lambda *_: iter([GoneAfterALook(tmp_path / "items.jsonl")]))
    assert source_size(str(tmp_path)) is None


def test_a_source_that_is_not_on_this_machine_has_no_size(tmp_path: Path) -> None:
    assert source_size("s3://shop/today") is None
    assert source_size(str(tmp_path / "gone")) is None
