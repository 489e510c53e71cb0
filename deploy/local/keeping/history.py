"""What the keeper did for one service, and by the deaths so far: whether and when it is started again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from deploy.local.layout import Layout, write_private
from vitrine.processes.crash_loops import Death, Limits, judge, remembered


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
        deaths = [*remembered(self.deaths, now=death.at), death]
        verdict = judge(deaths, limits)
        gave_up = f"{verdict.crash_loop}: {reason}" if verdict.crash_loop else None
        next_at = death.at + verdict.pause_s
        return replace(self, deaths=deaths, dead=dead, next_at=next_at, last_reason=reason, gave_up=gave_up)

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
