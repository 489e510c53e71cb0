"""`python -m deploy.local.keeping.revival STATE_DIR`: starts a platform's keeper again, if it is dead and wanted."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.local import processes, supervisor
from deploy.local.configuration import configure
from deploy.local.keeping import wish
from deploy.local.keeping.watch import NOT_NOW, STARTED
from deploy.local.layout import Layout
from deploy.local.services import keepers
from vitrine.errors import VitrineError


def revive(layout: Layout) -> bool:
    """Starts the keeper again; tells whether it did.

    Raises:
        ServiceError: the keeper ended at once.
        SettingsError: the settings cannot be read.
    """
    configuration = configure(layout, {})
    keeper, _ = keepers(configuration)
    with wish.beside_others(layout) as may:
        record = supervisor.read_record(layout, keeper.name)
        if not may or record is None or not processes.is_dying(record.leader):
            return False
        supervisor.start(keeper, configuration)
        return True


def main() -> int:
    """Revives the keeper of the platform whose folder stands on the command line."""
    try:
        return STARTED if revive(Layout(Path(sys.argv[1]))) else NOT_NOW
    except VitrineError as error:
        print(f"the keeper cannot be started: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
