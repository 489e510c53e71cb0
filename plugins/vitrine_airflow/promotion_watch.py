"""The trigger of `watch_promotions`: looks at the ledger's signals and at MLflow, in the triggerer, for ever."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from vitrine.errors import VitrineError
from vitrine.settings import Settings

if TYPE_CHECKING:  # the DAG file imports this module, and a parse opens no ledger
    from vitrine.ledger import Promotion

log = logging.getLogger(__name__)

CHAMPION_ASSET = "vitrine-champion"
SIGNAL_POLL_S = 2.0
_AGAIN_S = 600.0  # a move whose run failed, for instance while MLflow was away, is handed over again


def champion_moves() -> list[Asset]:
    """Returns what starts `watch_promotions`: an asset that the trigger watches, and that programs may tell of, too."""
    watcher = AssetWatcher(name="champion_moved", trigger=ChampionMovedTrigger())
    return [Asset(name=CHAMPION_ASSET, watchers=[watcher])]


class ChampionMovedTrigger(BaseEventTrigger):
    """Fires for each promotion that waits to be handled; outages of MLflow and of the ledger are waited out."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Returns what the triggerer makes the trigger from."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks every two seconds, in a thread of its own: other triggers do not wait for MLflow."""
        watch = PromotionWatch(Settings.from_environment())
        try:
            while True:
                promotion = await asyncio.to_thread(watch.look)
                if promotion is not None:
                    yield TriggerEvent({"sequence": promotion.sequence, "model_version": promotion.model_version})
                await asyncio.sleep(SIGNAL_POLL_S)
        finally:
            watch.close()


class PromotionWatch:
    """What the trigger remembers between two looks; nothing that matters, since the ledger holds what was handled.

    Args:
        settings: of the platform.
        clock: seconds that never go back.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        from vitrine.connections import open_ledger

        self._settings, self._clock = settings, clock
        self._ledger = open_ledger(settings)
        self._signals: int | None = None
        self._poll_at = self._again_at = clock()
        self._handed_over: int | None = None
        self._trouble = ""

    def look(self) -> Promotion | None:
        """Observes the alias when that is due; returns a promotion that is to be handled, once."""
        try:
            promotion = self._observe()
            is_waiting = promotion is not None and self._is_waiting(promotion)
        except VitrineError as error:
            if str(error) != self._trouble:
                log.warning("promotions cannot be observed, and are looked for again: %s", error)
            self._trouble = str(error)
            return None
        if promotion is None or not is_waiting:
            return None
        now = self._clock()
        if promotion.sequence == self._handed_over and now < self._again_at:
            return None
        self._handed_over, self._again_at = promotion.sequence, now + _AGAIN_S
        return promotion

    def close(self) -> None:
        """Closes the ledger."""
        self._ledger.close()

    def _observe(self) -> Promotion | None:
        from vitrine_airflow.promotions import observe

        signals = self._ledger.promotions.signals()
        told = self._signals is not None and signals != self._signals
        if not told and self._clock() < self._poll_at:
            return None
        self._poll_at = self._clock() + self._settings.promotion_poll_s
        promotion = observe(self._settings, self._ledger, observed_by="webhook" if told else "poll")
        self._signals, self._trouble = signals, ""  # a signal during an outage is heard after it
        return promotion

    def _is_waiting(self, promotion: Promotion) -> bool:
        if promotion.state == "observed":
            return True
        if self._handed_over is not None or promotion.state != "accepted":
            return False
        # A triggerer that starts cannot know whether the builds were asked for; asking again changes nothing.
        return any(row.state == "building" for row in self._ledger.promotions.catalogs_of(promotion.sequence))
