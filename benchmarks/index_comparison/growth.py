"""Growth of one recipe with the number of vectors: what was measured at each size, its slope, and what that would make
of more vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.index_comparison.tables import markdown_table
from benchmarks.index_comparison.workspace import DISTRIBUTIONS

# What grows, as it stands in a size's figures, and how it is called; a label that ends in GB is measured in bytes.
MEASURES = {
    "cpu_s": "build, CPU s",
    "wall_s": "build, s",
    "peak_bytes": "peak of anonymous memory, GB",
    "ram_bytes": "anonymous memory to serve, GB",
    "disk_bytes": "on disk, GB",
    "cpu_ms": "CPU ms a query",
}
FAR = 100_000_000  # vectors to which the slopes are drawn out
_FROM = 1_000_000  # slopes are taken from here on, where there are two sizes: below, fixed costs hide them


@dataclass(frozen=True)
class Slope:
    """A power law through the measured sizes: value = at * rows to the power of exponent."""

    exponent: float
    at: float

    def value(self, rows: int) -> float:
        """Returns the value at a number of rows."""
        return float(self.at * rows**self.exponent)


def extrapolates(sizes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the sizes reach far enough for their slopes to say something of more vectors."""
    return sum(size["rows"] >= _FROM for size in sizes) >= 2


def slopes(sizes: Sequence[Mapping[str, Any]]) -> dict[str, Slope]:
    """Returns the least-squares slope of each measure on log-log axes, over the larger sizes."""
    larger = [size for size in sizes if size["rows"] >= _FROM]
    used = larger if len(larger) >= 2 else sizes
    found = {}
    for measure in MEASURES:
        points = [(size["rows"], size[measure]) for size in used if size.get(measure)]
        if len(points) < 2:
            continue
        rows, values = np.log(np.array(points, dtype=np.float64)).T
        exponent, constant = np.polyfit(rows, values, 1)
        found[measure] = Slope(float(exponent), float(np.exp(constant)))
    return found


def growth_page(title: str, sizes: Sequence[Mapping[str, Any]]) -> str:
    """Returns the sizes as a table, with the slope of each measure and what it would be far out."""
    fitted = slopes(sizes)
    rows = []
    for measure, label in MEASURES.items():
        unit = 1e9 if label.endswith("GB") else 1.0
        slope = fitted.get(measure)
        far = ["", ""] if slope is None else [f"{slope.exponent:.2f}", f"{slope.value(FAR) / unit:,.1f}"]
        if not extrapolates(sizes):
            far[1] = "too few large sizes"
        rows.append([label, *(f"{size[measure] / unit:,.2f}" for size in sizes), *far])
    for name in DISTRIBUTIONS:
        recalls = [f"{size[f'recall_{name}']:.3f}" for size in sizes]
        settings = [" ".join(f"{key} {value}" for key, value in size[f"setting_{name}"].items()) for size in sizes]
        latencies = [f"{size[f'p50_ms_{name}']:.2f} / {size[f'p99_ms_{name}']:.2f}" for size in sizes]
        rows.append([f"recall@10, {name} queries", *recalls, "", ""])
        rows.append([f"setting, {name} queries", *settings, "", ""])
        rows.append([f"P50 / P99 ms, {name} queries", *latencies, "", ""])
    header = ["", *(f"{size['rows']:,}" for size in sizes), "slope", f"{FAR:,}, extrapolated"]
    return f"# Growth: {title}\n\n{markdown_table(header, rows)}\n\n{_notes(sizes[-1])}\n\n![growth](index_10m.png)\n"


def _notes(last: Mapping[str, Any]) -> str:
    return f"""Limited by {last["limited_by"]}. Peaks are sums over all processes of a build, libraries included.
Queries came one at a time, on one thread.

**{FAR:,} is an extrapolation** along the slopes, between the sizes from a million on. It assumes one shard on a machine
of this kind whose page cache is as free as here, lists that go on growing as the square root of the vectors, a training
sample of 40 vectors a list, and vectors like these. k-means grows as lists times sample, so as the vectors; encoding as
vectors times the logarithm of the lists. More processes or machines cut the seconds, not the CPU."""


def plot_growth(sizes: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Draws each measure against the number of rows on log-log axes, with its slope."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    fitted = slopes(sizes)
    figure, panels = pyplot.subplots(2, 3, figsize=(13, 7))
    for panel, (measure, label) in zip(panels.flat, MEASURES.items(), strict=True):
        unit = 1e9 if label.endswith("GB") else 1.0
        points = [(size["rows"], size[measure] / unit) for size in sizes if size.get(measure)]
        panel.loglog(*zip(*points, strict=True), "o-", color="#1f77b4")
        if measure in fitted:
            slope = fitted[measure]
            ends = [points[0][0], points[-1][0]]
            panel.loglog(ends, [slope.value(rows) / unit for rows in ends], ":", color="#999999")
            panel.text(0.05, 0.9, f"slope {slope.exponent:.2f}", transform=panel.transAxes)
        panel.set(title=label, xlabel="vectors")
        panel.grid(alpha=0.3, which="both")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
