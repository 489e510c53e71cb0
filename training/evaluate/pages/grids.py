"""Grids of example queries: what is asked, and the ten pictures that come back, of the encoder and of another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from training.evaluate.scoring import SHOWN, TaskAnswers
from training.evaluate.tasks.task import Entry, Query, Task

_TILE, _GAP, _MARGIN, _QUERY, _NAMES = 112, 8, 28, 150, 118
_INK, _FAINT, _PAPER, _PANEL = "#1b1b1f", "#6b6b76", "#ffffff", "#f4f4f6"
_RIGHT = "#0b6e4f"


def choose_queries(task: Task, own: TaskAnswers, other: TaskAnswers | None, *, count: int = 6) -> list[int]:
    """Returns places of queries worth looking at, one a product: a third where the encoder gains most, a third where it
    loses most, the rest spread over all queries; without another one, spread from the best to the worst.
    """
    values = own.values["ndcg_at_10"]
    change = values - other.values["ndcg_at_10"] if other is not None else values
    order = np.lexsort((np.arange(len(change)), -change)).tolist()
    spread = [order[round(place)] for place in np.linspace(0, len(order) - 1, max(count, 2))]
    third = count // 3
    gains = [place for place in order if other is not None and change[place] > 0]
    losses = [place for place in reversed(order) if other is not None and change[place] < 0]
    chosen: list[int] = []
    parents: set[str] = set()

    def take(places: Sequence[int], wanted: int) -> None:
        for place in places:
            parent = task.queries[place].item.parent_id
            if wanted > 0 and place not in chosen and parent not in parents and len(chosen) < count:
                chosen.append(place)
                parents.add(parent)
                wanted -= 1

    take(gains, third)
    take(losses, third)
    take(spread, count)
    take(order, count - len(chosen))
    return sorted(chosen, key=lambda place: (-change[place], place))


def draw_grid(
    task: Task, own: TaskAnswers, into: Path, *, other: TaskAnswers | None = None, count: int = 6
) -> Path | None:
    """Draws example queries with their top 10; a right answer has a frame and a tick.

    Args:
        other: the encoder before, drawn above the new one's row.
        count: queries.

    Returns:
        The file, or None when the answers of the task are no pictures.
    """
    if task.entry_kind != "picture":
        return None
    rows = [answers for answers in (other, own) if answers is not None]
    places = choose_queries(task, own, other, count=count)
    block = len(rows) * (_TILE + _GAP) + 22
    left = _MARGIN + _QUERY + 20 + _NAMES
    width = left + SHOWN * (_TILE + _GAP) - _GAP + _MARGIN
    image = Image.new("RGB", (width, 92 + len(places) * block + _MARGIN // 2), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, 22), task.question, font=_font(22, bold=True), fill=_INK)
    draw.text((_MARGIN, 54), "Ten nearest, best first. Green frame: a right answer.", font=_font(14), fill=_FAINT)
    for number, place in enumerate(places):
        top = 92 + number * block
        draw.line((_MARGIN, top - 11, width - _MARGIN, top - 11), fill="#e3e3e8")
        _draw_query(image, draw, task.queries[place], left=_MARGIN, top=top, height=len(rows) * (_TILE + _GAP) - _GAP)
        for line, answers in enumerate(rows):
            y = top + line * (_TILE + _GAP)
            _draw_name(draw, answers, place, left=_MARGIN + _QUERY + 20, top=y)
            for column, (found, is_right) in enumerate(zip(answers.rankings[place], answers.right[place], strict=True)):
                if found >= 0:
                    x = left + column * (_TILE + _GAP)
                    _draw_answer(image, draw, task.entries[found], is_right=bool(is_right), left=x, top=y)
    image.save(into, optimize=True)
    return into


def _draw_query(
    image: Image.Image, draw: ImageDraw.ImageDraw, query: Query, *, left: int, top: int, height: int
) -> None:
    if query.picture is not None:
        image.paste(_tile(query.picture.open(), _QUERY, min(height, _QUERY)), (left, top))
        return
    draw.rectangle((left, top, left + _QUERY, top + min(height, _QUERY)), fill=_PANEL)
    font = _font(15)
    lines = _wrapped(f"“{query.text}”", font, _QUERY - 24)[:5]
    draw.multiline_text((left + 12, top + 12), "\n".join(lines), font=font, fill=_INK, spacing=5)


def _draw_name(draw: ImageDraw.ImageDraw, answers: TaskAnswers, place: int, *, left: int, top: int) -> None:
    font = _font(14, bold=True)
    lines = _wrapped(answers.retriever, font, _NAMES - 14)[:3]
    draw.multiline_text((left, top + 6), "\n".join(lines), font=font, fill=_INK, spacing=4)
    found = answers.values["recall_at_10"][place]
    draw.text((left, top + 16 + 20 * len(lines)), f"recall@10 {found:.2f}", font=_font(12), fill=_FAINT)


def _draw_answer(
    image: Image.Image, draw: ImageDraw.ImageDraw, entry: Entry, *, is_right: bool, left: int, top: int
) -> None:
    if entry.picture is None:
        return
    image.paste(_tile(entry.picture.open(), _TILE, _TILE), (left, top))
    if is_right:
        draw.rectangle((left - 3, top - 3, left + _TILE + 2, top + _TILE + 2), outline=_RIGHT, width=4)
        draw.ellipse((left + _TILE - 24, top + 4, left + _TILE - 4, top + 24), fill=_RIGHT)
        # A tick as well: frames alone would tell nothing to those who do not see green.
        points = [(left + _TILE - 19, top + 14), (left + _TILE - 15, top + 18), (left + _TILE - 9, top + 10)]
        draw.line(points, fill=_PAPER, width=3)


def _tile(picture: Image.Image, width: int, height: int) -> Image.Image:
    tile = Image.new("RGB", (width, height), _PANEL)
    fitted = ImageOps.contain(picture, (width, height), Image.Resampling.LANCZOS)
    tile.paste(fitted, ((width - fitted.width) // 2, (height - fitted.height) // 2))
    return tile


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font(size: int, *, bold: bool = False) -> Any:
    """The typeface that comes with matplotlib: it is where matplotlib is, on every machine."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)
