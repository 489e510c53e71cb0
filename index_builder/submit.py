"""The file that spark-submit is handed: the same commands as `python -m index_builder`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # spark-submit puts this file's folder first on the path, where `planning` and others would shadow packages.
    own = str(Path(__file__).resolve().parent)
    sys.path[:] = [path for path in sys.path if path != own]
    sys.path.insert(0, str(Path(own).parent))
    from index_builder.__main__ import main

    sys.exit(main())
