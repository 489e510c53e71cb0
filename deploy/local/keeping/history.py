"""What the keeper did for one service, and by the deaths so far: whether and when it is started again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from deploy.local.layout import Layout, write_private

_REMEMBERED_S = 3600.0


@dataclass(frozen=True)
class Limits:
    """When a service that dies is started again, and when no more.

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
    """One end of a service that nobody asked for.

    Attributes:
        at: Unix seconds.
        lived_s: from its start to its end; 0 if it was never ready.
        is_excused: what it needs was away; such a death counts for no crash loop.
    """

    at: float
    lived_s: float
    is_excused: bool


@dataclass(frozen=True)
class History:
    """What happened to one service since `make up` started it.

    Attributes:
        restarts: how often it was started again.
        continued: how often it was told to go on, when a signal had suspended it.
        last_at: Unix seconds of the last of either, or None.
        last_reason: of that.
        deaths: of the last hour.
        dead: pid and start of the process whose death was noted last.
        next_at: Unix seconds before which it is not started again.
        gave_up: why it is not started again any more, or None.
    """

    restarts: int = 0
    continued: int = 0
    last_at: float | None = None
    last_reason: str = ""
    deaths: Sequence[Death] = field(default=())
    dead: str = ""
    next_at: float = 0.0
    gave_up: str | None = None

    def with_death(self, death: Death, *, dead: str, reason: str, limits: Limits) -> History:
        """Returns the history after another death: with the time of the next start, or with the reason for none."""
        deaths = [one for one in self.deaths if death.at - one.at < _REMEMBERED_S] + [death]
        short = _short_lives(deaths, limits)
        counted = sum(not one.is_excused for one in deaths)
        gave_up = None
        if short >= limits.short_lives:
            gave_up = f"it ended {short} times in a row within {limits.calm_s:.0f} s of its start: {reason}"
        elif counted >= limits.deaths_an_hour:
            gave_up = f"it ended {counted} times within an hour: {reason}"
        pause_s = min(limits.longest_pause_s, limits.first_pause_s * 2 ** (short - 1)) if short else 0.0
        return replace(self, deaths=deaths, dead=dead, next_at=death.at + pause_s, last_reason=reason, gave_up=gave_up)

    def with_restart(self) -> History:
        """Returns the history after it was started again."""
        return replace(self, restarts=self.restarts + 1, last_at=time.time())

    def with_continuation(self, reason: str) -> History:
        """Returns the history after it was told to go on."""
        return replace(self, continued=self.continued + 1, last_at=time.time(), last_reason=reason)


def read_history(layout: Layout, name: str) -> History:
    """Returns what happened to a service; nothing when nothing did, or when the file of it cannot be read."""
    try:
        body = json.loads((layout.histories / f"{name}.json").read_text(encoding="utf-8"))
        return History(**{**body, "deaths": [Death(**death) for death in body["deaths"]]})
    except (OSError, ValueError, TypeError, KeyError):
        return History()


def write_history(layout: Layout, name: str, history: History) -> None:
    """Keeps what happened to a service, for `make status` and for the next keeper."""
    write_private(layout.histories / f"{name}.json", json.dumps(asdict(history)))


def forget_history(layout: Layout, name: str) -> None:
    """Begins anew: `make up` has started the service."""
    (layout.histories / f"{name}.json").unlink(missing_ok=True)


def forget_histories(layout: Layout) -> None:
    """Begins anew with all services: `make down` has ended them."""
    for path in layout.histories.glob("*.json"):
        path.unlink(missing_ok=True)


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
