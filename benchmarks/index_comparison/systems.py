"""What is compared: the recipes of this project, and the libraries that people would take instead."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PEER_PYTHON = ROOT / ".bench-venv" / "bin" / "python"
PEERS_FILE = ROOT / "benchmarks" / "peers.txt"

# One graph for all: 32 neighbours (64 at the ground), placed by a walk of width 64, which is what `hnsw-sq8` has.
_GRAPH = {"neighbours": 32, "ef_construction": 64}
_IN_RAM = ", all in RAM"


@dataclass(frozen=True)
class System:
    """One system under test.

    Attributes:
        name: in tables; also its folder's.
        kind: `recipe`, `hnswlib`, `usearch` or `autofaiss`: what its process runs.
        options: of that kind.
        in_ram: opened wholly in RAM, nothing mapped; its index is that of the recipe of the same name.
    """

    name: str
    kind: str
    options: dict[str, Any]
    in_ram: bool = False

    @property
    def python(self) -> Path:
        """The interpreter that has its libraries."""
        return Path(sys.executable) if self.kind == "recipe" else PEER_PYTHON

    @property
    def folder_name(self) -> str:
        """Where its index lies."""
        return self.mapped_name.replace(" ", "-").replace(",", "")

    @property
    def mapped_name(self) -> str:
        """The name of the system whose index it opens."""
        return self.name.removesuffix(_IN_RAM)

    def as_json(self) -> dict[str, Any]:
        """Plain data, for its process."""
        return asdict(self)


def recipes() -> list[System]:
    """Returns every recipe of the index builder."""
    from index_builder.recipes import FAMILIES

    return [System(family, "recipe", {"family": family}) for family in FAMILIES]


def wholly_in_ram(system: System) -> System:
    """Returns the same index, opened without mapping."""
    return replace(system, name=system.name + _IN_RAM, in_ram=True)


def peers() -> list[System]:
    """Returns the libraries compared with."""
    return [
        System("hnswlib", "hnswlib", _GRAPH),
        System("usearch f16", "usearch", {**_GRAPH, "dtype": "f16"}),
        System("usearch i8", "usearch", {**_GRAPH, "dtype": "i8"}),
        System("autofaiss", "autofaiss", {"bytes_a_vector": 4_096}),
        System("autofaiss, 100 bytes", "autofaiss", {"bytes_a_vector": 100}),
    ]
