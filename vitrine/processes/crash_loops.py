"""When what dies is started again, and when no more: services by their keeper, search workers by their agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_REMEMBERED_S = 3600.0


@dataclass(frozen=True)
class Limits:
    """When what dies is started again, and when no more.

    Attributes:
        calm_s: whoever lived for this long died of something else than its start, and is started again at once.
        first_pause_s: before the start after a short life; doubled with each further one.
        longest_pause_s: that it grows to.
        short_lives: so many short lives, one after the other, are a crash loop.
        deaths_an_hour: so many deaths within an hour are one too, however long the lives.
    """

    calm_s: float = 60.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    short_lives: int = 6
    deaths_an_hour: int = 20


@dataclass(frozen=True)
class Death:
    """One end that nobody asked for.

    Attributes:
        at: in seconds, by whichever clock its reader uses for all of them.
        lived_s: from its start to its end; 0 if it was never ready.
        is_excused: what it needs was away; such a death counts for no crash loop.
    """

    at: float
    lived_s: float
    is_excused: bool = False


@dataclass(frozen=True)
class Verdict:
    """What follows from the last of several deaths.

    Attributes:
        pause_s: before the next start.
        crash_loop: why there is none, or None.
    """

    pause_s: float
    crash_loop: str | None


def remembered(deaths: Sequence[Death], *, now: float) -> list[Death]:
    """Returns the deaths that still count: those of the last hour."""
    return [death for death in deaths if now - death.at < _REMEMBERED_S]


def judge(deaths: Sequence[Death], limits: Limits) -> Verdict:
    """Says what follows from the deaths of the last hour, oldest first."""
    short = _short_lives(deaths, limits)
    counted = sum(not death.is_excused for death in deaths)
    crash_loop = None
    if short >= limits.short_lives:
        crash_loop = f"it ended {short} times in a row within {limits.calm_s:.0f} s of its start"
    elif counted >= limits.deaths_an_hour:
        crash_loop = f"it ended {counted} times within an hour"
    pause_s = min(limits.longest_pause_s, limits.first_pause_s * 2 ** (short - 1)) if short else 0.0
    return Verdict(pause_s, crash_loop)


def _short_lives(deaths: Sequence[Death], limits: Limits) -> int:
    """How many lives that count were short, from the last one back."""
    count = 0
    for death in reversed(deaths):
        if death.is_excused:
            continue
        if death.lived_s >= limits.calm_s:
            break
        count += 1
    return count
