"""`python -m deploy.local.keeping.watch STATE_DIR`: brings back the keeper when it dies or hangs.

The keeper does the same for this process, as it does for every service. Small on purpose: what it needs to start a
keeper is imported by a process that it starts for that.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from signal import SIGCONT, SIGKILL

from deploy.local import keeper_pulse as pulse
from deploy.local import processes
from deploy.local.keeping import wish
from deploy.local.keeping.history import read_history, write_history
from deploy.local.layout import Layout
from deploy.local.records import Record, read_record
from vitrine.processes.crash_loops import Death, Limits

log = logging.getLogger("vitrine.keeper")

NAME, KEEPER = "keeper-watch", "keeper"
STARTED, NOT_NOW = 0, 3  # what the revival ends with
_HUNG_LOOKS = 120  # one a second; counted, since a machine that was suspended has seen nothing of that time
_ENDING_S = 120.0  # for a killed process to leave a busy machine
_LIMITS = Limits()


class Watch:
    """Watches the keeper of one platform."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._was_suspended = False
        self._pulse: float | None = None
        self._silent_looks = 0

    def round(self) -> None:
        """Looks at the keeper once, and does what is due."""
        record = read_record(self._layout, KEEPER)
        if record is None or not wish.is_up(self._layout):
            return
        if processes.is_dying(record.leader):
            self._bring_back(record)
        elif processes.suspended([record.leader]):
            self._continue(record)
        else:
            self._was_suspended = False
            self._listen(record)

    def _listen(self, record: Record) -> None:
        """Kills a keeper without a pulse."""
        beaten = pulse.last(self._layout, KEEPER)
        self._silent_looks = self._silent_looks + 1 if beaten == self._pulse else 0
        self._pulse = beaten
        if self._silent_looks >= _HUNG_LOOKS:
            log.warning("keeper: no pulse at %d looks, one a second; it is killed", _HUNG_LOOKS)
            processes.send([record.leader], SIGKILL)  # what it knows lies on disk
            processes.wait_for_end([record.leader], timeout_s=_ENDING_S)
            self._silent_looks = 0

    def _bring_back(self, record: Record) -> None:
        self._silent_looks = 0
        now, key = time.time(), f"{record.leader.pid} {record.leader.started}"
        history = read_history(self._layout, KEEPER)
        if history.dead != key:
            death = Death(at=now, lived_s=now - record.started_at, is_excused=False)
            history = history.with_death(
                death, dead=key, reason="its process ended; see logs/keeper.log", limits=_LIMITS
            )
            write_history(self._layout, KEEPER, history)
            log.warning("keeper: process %s ended; %s", record.leader.pid, history.gave_up or "it is started again")
        if history.gave_up is None and now >= history.next_at:
            revival = [sys.executable, "-m", "deploy.local.keeping.revival", str(self._layout.state_dir)]
            code = subprocess.run(revival, check=False).returncode
            if code == STARTED:
                write_history(self._layout, KEEPER, history.with_restart())
            elif code != NOT_NOW:
                failed = Death(at=time.time(), lived_s=0.0, is_excused=False)
                reason = f"it could not be started; see {self._layout.logs / NAME}.log"
                history = history.with_death(failed, dead=key, reason=reason, limits=_LIMITS)
                write_history(self._layout, KEEPER, history)
                log.warning("keeper: %s; %s", reason, history.gave_up or "tried again later")

    def _continue(self, record: Record) -> None:
        """Lets a suspended keeper go on when it was suspended at the last look, too."""
        if self._was_suspended:
            history = read_history(self._layout, KEEPER)
            reason = f"a signal (SIGSTOP) had suspended process {record.leader.pid}"
            write_history(self._layout, KEEPER, history.with_continuation(reason))
            processes.send([record.leader], SIGCONT)
            log.warning("keeper: %s; it goes on", reason)
        self._was_suspended = not self._was_suspended


def main() -> int:
    """Watches the keeper of the platform whose folder stands on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    layout, ended = Layout(Path(sys.argv[1])), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    watch = Watch(layout)
    while not ended.wait(pulse.EVERY_S):
        pulse.beat(layout, NAME)
        try:
            watch.round()
        except (OSError, ValueError) as error:  # a full disk: the next round may find it mended
            log.error("this round failed, the next one tries again: %s", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
