"""A platform of its own, with no folder or port of another, and a day to deliver: for drills and benchmarks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from deploy.local.layout import ROOT, Layout
from deploy.local.probes import is_port_taken

_PORTS = ("VITRINE_SEARCH_PORT", "VITRINE_AIRFLOW_PORT", "VITRINE_MLFLOW_PORT", "VITRINE_S3_PORT")


def private_environment(layout: Layout, **settings: str) -> dict[str, str]:
    """Returns the environment of a platform's commands; one that was started before keeps its ports and settings.

    Args:
        layout: of a state folder of its own.
        settings: VITRINE_* variables of a new platform.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
    if layout.env_file.is_file():
        return {**inherited, "VITRINE_STATE_DIR": str(layout.state_dir)}
    free = [port for port in random.SystemRandom().sample(range(10_240, 32_768), 64) if not is_port_taken(port)]
    ports = {name: str(port) for name, port in zip(_PORTS, free, strict=False)}
    return {**inherited, **ports, "VITRINE_STATE_DIR": str(layout.state_dir), **settings}


def draw_day(folder: Path, *, dt: str, rows: int, seed: int | None = None) -> str:
    """Draws one day of the demo catalog into a new folder; returns the folder of the day."""
    return draw_days(folder, first=dt, days=1, rows=rows, seed=seed)[dt]


def draw_days(folder: Path, *, first: str, days: int, rows: int, seed: int | None = None) -> dict[str, str]:
    """Draws days of the demo catalog, with all their rows together, into a new folder; returns each day's folder."""
    command = [sys.executable, "-m", "examples.demo_catalog", "--out", str(folder), "--items", str(rows)]
    command += ["--days", str(days), "--start-date", first, *([] if seed is None else ["--seed", str(seed)])]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # what goes wrong is seen
    return {path.name.removeprefix("dt="): str(path) for path in sorted(folder.glob("dt=*"))}
