"""`python -m deploy.local.keeping.keeper STATE_DIR`: brings back the services of a platform that die or hang.

A thread for each service: it waits for the end of the leading process and asks the service whether it answers. What it
knows lies on disk (records, histories, the wish), so that a keeper that is killed harms nothing and the next goes on.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local import keeper_pulse as pulse
from deploy.local.configuration import Configuration, configure
from deploy.local.keeping import wish
from deploy.local.keeping.charge import Charge
from deploy.local.keeping.hangs import Patience
from deploy.local.keeping.logs import keep
from deploy.local.layout import Layout
from deploy.local.services import Service, all_services
from vitrine.errors import VitrineError
from vitrine.processes.crash_loops import Limits

log = logging.getLogger("vitrine.keeper")

NAME = "keeper"
_TURN_LOGS_S = 30.0


class Keeper:
    """Keeps the services of one platform until it is told to end."""

    def __init__(
        self,
        layout: Layout,
        services_of: Callable[[Configuration], tuple[Service, ...]] = all_services,
        *,
        limits: Limits | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._layout = layout
        self._services_of = services_of
        self._limits, self._patience = limits or Limits(), patience or Patience()
        self._ended = threading.Event()
        self._plan_lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._configuration, self._services = self._read_plan()
        self._charges = {name: self._charge(name) for name in self._services if name != NAME}

    def run(self) -> None:
        """Keeps the services; returns after `end`."""
        threads = [threading.Thread(target=self._keep, args=(charge,)) for charge in self._charges.values()]
        for thread in threads:
            thread.start()
        turned = 0.0
        while not self._ended.wait(pulse.EVERY_S):
            pulse.beat(self._layout, NAME)
            if time.monotonic() - turned >= _TURN_LOGS_S:
                turned = time.monotonic()
                self._bound_logs()
        for thread in threads:
            thread.join()

    def end(self) -> None:
        """Has `run` return."""
        self._ended.set()

    def _keep(self, charge: Charge) -> None:
        while not self._ended.is_set():
            try:
                configuration, services = self._plan()
                if wish.is_up(self._layout) and charge.name in services:
                    charge.round(services[charge.name], configuration)
                else:
                    self._ended.wait(1.0)
            except Exception:  # the others must be kept whatever is wrong with this one
                log.exception("%s: this round failed, the next one tries again", charge.name)
                self._ended.wait(5.0)

    def _charge(self, name: str) -> Charge:
        return Charge(
            name, self._layout, limits=self._limits, patience=self._patience, ended=self._ended, charges=self._all
        )

    def _all(self) -> Mapping[str, Charge]:
        return self._charges

    def _plan(self) -> tuple[Configuration, dict[str, Service]]:
        """Returns the services as the newest settings have them; `make up` may have written others."""
        with self._plan_lock:
            try:
                if self._env_stamp() != self._stamp:
                    self._configuration, self._services = self._read_plan()
            except (VitrineError, OSError) as error:
                log.error("the settings cannot be read, the previous ones stay in force: %s", error)
            return self._configuration, self._services

    def _read_plan(self) -> tuple[Configuration, dict[str, Service]]:
        stamp = self._env_stamp()
        configuration = configure(self._layout, {})
        services = {service.name: service for service in self._services_of(configuration)}
        self._stamp = stamp
        return configuration, services

    def _env_stamp(self) -> tuple[int, int]:
        status = self._layout.env_file.stat()
        return status.st_ino, status.st_mtime_ns

    def _bound_logs(self) -> None:
        try:
            keep(self._layout.logs, limit_bytes=self._configuration.settings.service_log_max_bytes)
        except OSError as error:  # a full disk, a log that was removed: the next round may find it mended
            log.error("the logs cannot be kept small: %s", error)


def main() -> int:
    """Runs the keeper of the platform whose folder stands on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    keeper = Keeper(Layout(Path(sys.argv[1])))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.end())
    keeper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
