"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.index_comparison.figures import REFERENCE
from benchmarks.index_comparison.workspace import DISTRIBUTIONS


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table whose columns line up on a terminal, too."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def resources_table(systems: Sequence[Mapping[str, Any]]) -> str:
    """Returns what each system costs to build and to hold."""
    header = ["system", "build CPU s", "peak MB", "RAM bytes a vector", "mapped", "on disk", "opens in s"]
    rows = []
    for one in systems:
        build = one.get("build")
        rows.append(
            [
                one["name"],
                f"{build['cpu_s']:.0f}" if build else one["failure"],
                f"{build['peak_bytes'] / 1e6:.0f}" if build else "",
                *(f"{one[key]:.0f}" if key in one else "" for key in ("ram_bytes_a_vector", "mapped_bytes_a_vector")),
                f"{build['disk_bytes_a_vector']:.0f}" if build else "",
                f"{one['open_s']:.2f}" if "open_s" in one else "",
            ]
        )
    return markdown_table(header, rows)


def searches_table(systems: Sequence[Mapping[str, Any]], distribution: str) -> str:
    """Returns how each system answers the queries of one distribution."""
    header = ["system", "setting", "recall@10", "CPU ms", "P50 ms", "P99 ms", f"CPU / {REFERENCE}"]
    rows = []
    for one in systems:
        found = one.get(distribution)
        if found is None:
            continue
        setting = " ".join(f"{name} {value}" for name, value in found["setting"].items()) or "–"
        against = found[f"cpu_against_{REFERENCE}"]
        rows.append(
            [
                one["name"],
                setting if found["reached_when_tuned"] else f"not reached; at most: {setting}",
                f"{found['recall_at_10']:.3f}",
                *(f"{found[key]:.2f}" for key in ("cpu_ms", "p50_ms", "p99_ms")),
                f"{against:.2f}" if against else "",
            ]
        )
    return markdown_table(header, rows)


def filters_table(systems: Sequence[Mapping[str, Any]]) -> str:
    """Returns recall@10 and CPU milliseconds under filters."""
    filtered = [one for one in systems if one.get("filters")]
    kept = list(filtered[0]["filters"])
    rows = [
        [
            one["name"],
            *(f"{one['filters'][name]['recall_at_10']:.3f} / {one['filters'][name]['cpu_ms']:.2f}" for name in kept),
        ]
        for one in filtered
    ]
    return markdown_table(["recall@10 / CPU ms", *(name if name == "none" else f"keeps {name}" for name in kept)], rows)


def targets_table(targets: Sequence[Mapping[str, Any]]) -> str:
    """Returns each target beside what was measured."""
    rows = [[one["what"], one["limit"], one["measured"], "met" if one["met"] else "**not met**"] for one in targets]
    return markdown_table(["target", "limit", "measured", ""], rows)


def held_down_table(held: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns how mapped recipes search with little page cache."""
    header = ["recipe", "recall@10", "CPU ms", "P50 ms", "P99 ms", "pages read a query", "refinement cached at the end"]
    rows = [
        [
            name,
            f"{one['recall']:.3f}",
            *(f"{one[key]:.2f}" for key in ("cpu_ms", "p50_ms", "p99_ms")),
            f"{one['faults_a_query']:.1f}",
            f"{one['cached_share']:.1%}",
        ]
        for name, one in held.items()
    ]
    return markdown_table(header, rows)


def comparison_page(found: Mapping[str, Any]) -> str:
    """Returns all tables of one comparison."""
    systems = found["systems"]
    pieces = [f"# {found['title']}", found["about"], "## Targets", targets_table(found["targets"])]
    pieces += ["## Building and holding", resources_table(systems)]
    for distribution, title in zip(DISTRIBUTIONS, ("Pictures", "Texts, off the distribution"), strict=True):
        if any(distribution in one for one in systems):
            pieces += [f"## {title}", searches_table(systems, distribution)]
    pieces += ["## Filters", filters_table(systems)]
    if found["held_down"]:
        how = next(iter(found["held_down"].values()))["how"]
        pieces += ["## Little page cache", f"Held down by {how}.", held_down_table(found["held_down"])]
    return "\n\n".join(pieces) + "\n"
