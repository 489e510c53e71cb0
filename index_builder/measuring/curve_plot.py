"""The curve of recall over CPU time, drawn beside the index that it was measured on."""

from __future__ import annotations

from pathlib import Path

from index_builder.measuring.tuning import TunedSearch

PLOT_FILE = "recall_curve.png"


def draw_curve(tuned: TunedSearch, *, recall_target: float, title: str, path: Path) -> None:
    """Draws every setting that was tried, images and texts apart, and the one that was chosen."""
    from matplotlib.figure import Figure  # a second of imports, for builds that have a curve

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    points = sorted(tuned.curve, key=lambda point: point.cpu_ms)
    for name, color in (("image", "tab:blue"), ("text", "tab:orange")):
        measured = [(point.cpu_ms, getattr(point.recall, name)) for point in points]
        kept = [(cpu_ms, recall) for cpu_ms, recall in measured if recall is not None]
        if kept:
            costs, recalls = zip(*kept, strict=True)
            axes.scatter(costs, recalls, s=18, color=color, label=f"{name} queries")
    axes.axhline(recall_target, color="grey", linewidth=1, linestyle="--", label=f"target {recall_target:g}")
    setting = ", ".join(f"{name} {value}" for name, value in tuned.search_parameters.items())
    axes.axvline(tuned.cpu_ms, color="tab:green", linewidth=1, label=f"chosen: {setting}")
    axes.set(xscale="log", xlabel="CPU time of a query, one thread (ms)", ylabel="recall@10", title=title)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    figure.savefig(path, dpi=110, metadata={"Software": None})
