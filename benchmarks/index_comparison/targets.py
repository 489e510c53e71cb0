"""What the recipes are held to, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.index_comparison.figures import times
from benchmarks.index_comparison.searching import Searched
from benchmarks.index_comparison.workspace import KEPT

CHEAP, GRAPH, GRAPH_PEER = "ivf-rabitq", "hnsw-sq8", "hnswlib"
CHEAP_IN_RAM = f"{CHEAP}, all in RAM"
_RECALL, _RAM_BYTES, _WARM = 0.95, 100, 1.5
_GRAPH_CPU, _GRAPH_MEMORY, _BUILD, _FILTERED = 1.5, 0.5, 0.6, 0.95


@dataclass(frozen=True)
class Target:
    """A figure with its limit."""

    what: str
    limit: str
    measured: str
    met: bool


def targets(figures: Mapping[str, dict[str, Any]], searched: Mapping[str, Searched]) -> list[Target]:
    """Returns every target of which all parts were measured.

    Args:
        figures: of `system_figures`, by name.
        searched: the same systems.
    """
    return [*_memory(figures), *_mapping(searched), *_graph(figures, searched), *_build(figures), *_filters(searched)]


def _memory(figures: Mapping[str, dict[str, Any]]) -> Iterator[Target]:
    cheap = figures.get(CHEAP, {})
    for distribution in ("image", "text"):
        if distribution not in cheap:
            continue
        recall, ram = cheap[distribution]["recall_at_10"], cheap["ram_bytes_a_vector"]
        yield Target(
            f"{CHEAP}: recall@10 of {distribution} queries, at bytes of RAM a vector",
            f">= {_RECALL} at <= {_RAM_BYTES}",
            f"{recall:.3f} at {ram:.0f}",
            recall >= _RECALL and ram <= _RAM_BYTES,
        )


def _mapping(searched: Mapping[str, Searched]) -> Iterator[Target]:
    if CHEAP not in searched or CHEAP_IN_RAM not in searched:
        return
    for distribution in searched[CHEAP].rounds:
        ratio = times(searched[CHEAP], searched[CHEAP_IN_RAM], distribution, kind="wall_ms")
        what = f"{CHEAP}: warm P50 of {distribution} queries, against the same wholly in RAM"
        yield Target(what, f"<= {_WARM}", f"{ratio:.2f}", ratio <= _WARM)


def _graph(figures: Mapping[str, dict[str, Any]], searched: Mapping[str, Searched]) -> Iterator[Target]:
    if GRAPH not in searched or GRAPH_PEER not in searched:
        return
    for distribution in searched[GRAPH].rounds:
        ratio = times(searched[GRAPH], searched[GRAPH_PEER], distribution)
        recalls = ", ".join(f"{figures[name][distribution]['recall_at_10']:.3f}" for name in (GRAPH, GRAPH_PEER))
        what = f"{GRAPH}: CPU of a query ({distribution}) against {GRAPH_PEER}, at recall {recalls}"
        yield Target(what, f"<= {_GRAPH_CPU}, aiming at 1.1", f"{ratio:.2f}", ratio <= _GRAPH_CPU)
    memory = [
        figures[name]["ram_bytes_a_vector"] + figures[name]["mapped_bytes_a_vector"] for name in (GRAPH, GRAPH_PEER)
    ]
    what = f"{GRAPH}: memory against {GRAPH_PEER}, mapped bytes counted as memory"
    yield Target(what, f"< {_GRAPH_MEMORY}", f"{memory[0] / memory[1]:.2f}", memory[0] < _GRAPH_MEMORY * memory[1])


def _build(figures: Mapping[str, dict[str, Any]]) -> Iterator[Target]:
    cheap, graph = (figures.get(name, {}).get("build") for name in (CHEAP, GRAPH))
    if cheap and graph:
        ratio = cheap["cpu_s"] / graph["cpu_s"]
        yield Target(f"{CHEAP}: CPU of the build against {GRAPH}", f"<= {_BUILD}", f"{ratio:.2f}", ratio <= _BUILD)


def _filters(searched: Mapping[str, Searched]) -> Iterator[Target]:
    for name, one in searched.items():
        if not one.filters:
            continue
        shares = {kept: one.filters[kept][0] / one.filters["none"][0] for kept in KEPT}
        yield Target(
            f"{name}: recall under filters that keep {', '.join(shares)}, as a share of that without",
            f">= {_FILTERED}",
            ", ".join(f"{share:.3f}" for share in shares.values()),
            min(shares.values()) >= _FILTERED,
        )
