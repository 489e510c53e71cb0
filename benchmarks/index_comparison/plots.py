"""The curves of recall and CPU time of all systems, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.index_comparison.workspace import DISTRIBUTIONS

_RECIPES = {"flat": "#7f7f7f", "hnsw-sq8": "#d62728", "ivf-sq8": "#9467bd", "ivf-rabitq": "#1f77b4"}
_RECIPES |= {"ivf-pq": "#2ca02c", "opq-ivf-pq": "#ff7f0e"}
_LOWEST = 0.5


def plot_curves(found: Mapping[str, Any], path: Path, *, target: float) -> None:
    """Draws recall@10 against CPU time for each distribution: recipes as lines, peers dashed, the measured as dots."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [name for name in DISTRIBUTIONS if any(name in one for one in found["systems"])]
    figure, panels = pyplot.subplots(
        1, len(shown), figsize=(6.5 * len(shown), 6), squeeze=False, sharey=True, layout="constrained"
    )
    for panel, distribution in zip(panels[0], shown, strict=True):
        peers = iter(("#8c564b", "#e377c2", "#bcbd22", "#17becf", "#000000"))
        for one in found["systems"]:
            if distribution not in one or one["name"].endswith("all in RAM"):
                continue
            recipe = one["name"] in _RECIPES
            color = _RECIPES[one["name"]] if recipe else next(peers)
            measured = one[distribution]
            curve = _frontier(measured["curve"])
            panel.plot(
                [point["cpu_ms"] for point in curve],
                [point["recall"] for point in curve],
                "-" if recipe else "--",
                color=color,
                label=_label(one),
                linewidth=1.8 if recipe else 1.2,
            )
            panel.plot(measured["cpu_ms"], measured["recall_at_10"], "o", color=color, markersize=5)
        panel.axhline(target, color="#999999", linewidth=0.8, linestyle=":")
        panel.set(xscale="log", xlabel="CPU ms a query, one thread", title=f"{distribution} queries")
        panel.set_ylim(_LOWEST, 1.005)
        panel.grid(alpha=0.3, which="both")
    panels[0][0].set_ylabel("recall@10")
    figure.suptitle(found["title"])
    # Below the panels: inside it would lie over the systems that do not reach the target.
    lines, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=1 + len(shown), fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _label(one: Mapping[str, Any]) -> str:
    return (
        f"{one['name']}: RAM {one['ram_bytes_a_vector']:.0f}, mapped {one['mapped_bytes_a_vector']:.0f} bytes a vector"
    )


def _frontier(curve: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns the points that no cheaper one reaches."""
    best, frontier = -1.0, []
    for point in sorted(curve, key=lambda point: point["cpu_ms"]):
        if point["recall"] > best:
            best = point["recall"]
            frontier.append(point)
    return frontier
