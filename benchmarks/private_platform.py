"""The environment of a platform of its own, with no folder or port of another: for drills and benchmarks."""

from __future__ import annotations

import os
import random

from deploy.local.layout import Layout
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
