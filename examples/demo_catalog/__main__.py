"""`python -m examples.demo_catalog --out DIR`: write a demo catalog."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.demo_catalog.events import write_event_log
from examples.demo_catalog.generation import generate_catalog
from examples.demo_catalog.views import KINDS

_PLAIN_LINE_EVERY_S = 3.0


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, write the catalog, say what was made."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        with _display() as show:
            summary = generate_catalog(
                options.out,
                items=options.items,
                seed=options.seed,
                days=options.days,
                start_date=options.start_date,
                kinds=tuple(options.kinds),
                include_faults=not options.no_faults,
                max_views=options.max_views,
                workers=options.workers,
                progress=show,
            )
        events = write_event_log(options.out, seed=options.seed, days=options.event_days) if options.event_days else {}
    except (ValueError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for dt, day in summary["days"].items():  # type: ignore[attr-defined]
        counts = f"{day['rows_accepted']} sound, {day['rows_rejected']} to be rejected"
        print(f"dt={dt}: {day['rows']} rows as {day['format']}, {counts}")
    print(
        f"{summary['rows']} rows of {summary['parents']} products in {options.out}, {time.monotonic() - started:.1f} s"
    )
    if events:
        print(f"{sum(map(sum, (day.values() for day in events.values())))} events of {len(events)} days")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo_catalog",
        description="Draw a seeded fashion and home catalog with its ground truth.",
    )
    parser.add_argument("--out", required=True, help="an empty or new folder")
    parser.add_argument("--items", type=int, default=2000, help="rows over all days (default: 2000)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=3, help="daily partitions (default: 3)")
    parser.add_argument("--start-date", default="2026-11-01", help="the first day, YYYY-MM-DD (default: 2026-11-01)")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, help="which pictures (default: all)")
    parser.add_argument("--max-views", type=int, default=None, help="only the first views of each product and kind")
    parser.add_argument("--no-faults", action="store_true", help="plant no faults")
    parser.add_argument("--event-days", type=int, default=0, help="days of an event log up to the last (default: none)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1); the result is the same")
    return parser


class _display:
    """A bar on a terminal, a plain line every few seconds elsewhere."""

    def __enter__(self) -> Callable[[int, int], None]:
        self._bar: Progress | None = None
        self._last = time.monotonic()
        if sys.stderr.isatty():
            self._bar = Progress(TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._task = self._bar.add_task("drawing", total=None)
            self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _show(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._last > _PLAIN_LINE_EVERY_S or done == total:
            self._last = time.monotonic()
            print(f"drawing: {done} of {total} pictures", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
