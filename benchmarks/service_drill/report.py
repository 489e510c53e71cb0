"""The table of a drill, on the terminal and in the repository."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.service_drill.trials import LATER_S, SOON_S, Trial
from deploy.local.layout import ROOT

RESULTS = ROOT / "benchmarks" / "results"
_HEADINGS = ("process", "signal", "failed of sent", "healthy after", "by itself", "restarted too", "target")
_PREAMBLE = f"""\
Each process gets the signal under 20 searches a second. One that was suspended is told to go on after 20 s, unless the
keeper did that before. Health is asked of the service itself. Targets: the search agent and its workers are healthy
within {SOON_S:.0f} s and lose the requests in flight at most; everything else fails no search and is healthy within
{LATER_S:.0f} s; all by themselves."""


def as_markdown(trials: Sequence[Trial], *, title: str, seconds: float) -> str:
    """Returns the whole report as Markdown, its table aligned for terminals too."""
    rows = [_HEADINGS, *(_row(trial) for trial in trials)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [_line([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]) for row in rows]
    lines.insert(1, _line(["-" * width for width in widths]))
    met = sum(trial.is_met for trial in trials)
    return "\n".join(
        [
            f"# {title}",
            "",
            _PREAMBLE,
            "",
            *lines,
            "",
            f"{met} of {len(trials)} met their target, in {seconds / 60:.0f} min.",
            "",
        ]
    )


def write(trials: Sequence[Trial], *, name: str, title: str, seconds: float) -> str:
    """Writes `<name>.md` and `<name>.json`; returns the Markdown."""
    text = as_markdown(trials, title=title, seconds=seconds)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    body = {"seconds": round(seconds), "trials": [asdict(trial) | {"is_met": trial.is_met} for trial in trials]}
    (RESULTS / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return text


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _row(trial: Trial) -> tuple[str, ...]:
    if trial.healthy_s is not None:
        health, itself = f"{trial.healthy_s:.1f} s", "yes"
    else:
        health, itself = f"`make up`, {trial.by_hand_s:.0f} s", "no"
    return (
        trial.target,
        trial.signal,
        f"{trial.failed} of {trial.sent}",
        health,
        itself,
        ", ".join(trial.restarted) or "nothing",
        "met" if trial.is_met else "missed",
    )
