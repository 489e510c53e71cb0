"""The file that spark-submit is handed: `submit.py <stage> <verb> …` runs what `python -m <stage> <verb> …` does."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

STAGES = ("index_builder", "spark_jobs", "training")

if __name__ == "__main__":
    # spark-submit puts this file's folder first on the path, where `session` and others would shadow packages.
    own = str(Path(__file__).resolve().parent)
    sys.path[:] = [path for path in sys.path if path != own]
    sys.path.insert(0, str(Path(own).parent))
    stage, *arguments = sys.argv[1:] or ["nothing"]
    if stage not in STAGES:
        sys.exit(f"error: expected a stage that has Spark jobs ({', '.join(STAGES)}), found {stage}")
    sys.exit(import_module(f"{stage}.__main__").main(arguments))
