"""An item table of 10 million rows, built, opened and asked: `python benchmarks/item_table.py [--items 10000000]`.

Builds it from a synthetic head in a process whose anonymous memory is limited, opens it in another, reads points and
filters, and prints a table; the same goes as JSON to `benchmarks/results/item_table.json`. 10 million rows need about
20 GB under `--folder` and half an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_head import SyntheticHead

RESULTS = Path(__file__).parent / "results" / "item_table.json"
LABEL = "synthetic"
SHARES = (0.5, 0.1, 0.01, 0.001)
_SAMPLE_S = 0.02
_ASKED = 30  # times each, of which the median counts


def main(arguments: list[str] | None = None) -> int:
    """Runs the steps in processes of their own and prints what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--memory-mb", type=int, default=2_500, help="limit of anonymous memory of the build")
    parser.add_argument("--folder", type=Path, help="where it works; a temporary folder if left out")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--step", choices=["build", "open"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        step = {"build": build_table, "open": ask_table}[options.step]
        print(json.dumps(step(options.folder, options.items, options.memory_mb)))
        return 0
    parent = options.folder or Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="item-table-", dir=parent))
    try:
        built = _run("build", folder, options)
        opened = _run("open", folder, options)
    finally:
        shutil.rmtree(folder)
    found = {"items": options.items, "memory_limit_mb": options.memory_mb, "build": built, "open": opened}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(_table(found))
    return 0


def build_table(folder: Path, items: int, memory_mb: int) -> dict[str, Any]:
    """Builds the table; anonymous memory above the limit ends it with a MemoryError."""
    from index_builder.metadata.staged_head import StagedHead

    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))
    head = SyntheticHead(items)
    generated, _ = _clocked(lambda: sum(batch.num_rows for batch in head.batches()))
    indexed, _ = _clocked(lambda: sum(batch.num_rows for batch in head.index_rows()))
    (folder / "table").mkdir()
    staging, staged = _clocked(
        lambda: StagedHead.stage(head.batches(), head.index_rows, items=items, folder=folder / "staged", label=LABEL)
    )
    writing, (groups, _) = _clocked(lambda: staged.write(folder / "table", near_duplicate_distance=3))
    # The head and the index's rows are made up on the way, each as often as they would be read.
    seconds = {"stage": staging - generated - 2 * indexed, "write": writing}
    (folder / "columns.json").write_text(json.dumps({column.name: column.kind for column in staged.columns}))
    (folder / "groups.json").write_text(json.dumps(groups))
    shutil.rmtree(folder / "staged")
    sizes = {
        part: sum(path.stat().st_size for path in (folder / "table").glob(pattern)) / items
        for part, pattern in (("sqlite", "*.sqlite"), ("columns", "columns/*"), ("groups", "groups/*"))
    }
    return {
        "seconds": {name: round(float(clocks[0]), 1) for name, clocks in seconds.items()},
        "cpu_seconds": {name: round(float(clocks[1]), 1) for name, clocks in seconds.items()},
        "disk_bytes_an_item": {name: round(size, 1) for name, size in sizes.items()},
        "groups": groups,
        "columns": len(staged.columns),
    }


def ask_table(folder: Path, items: int, memory_mb: int) -> dict[str, Any]:  # noqa: ARG001
    """Opens the table and asks it."""
    from vitrine.contracts.releases import ItemTable as Manifest
    from vitrine.item_table.table import ItemTable

    manifest = Manifest(
        item_table_id="items-of-a-benchmark",
        catalog_id=LABEL,
        index_version="index-of-a-benchmark",
        head_sequence=1,
        manifests={},
        items=items,
        columns=json.loads((folder / "columns.json").read_text()),
        groups=json.loads((folder / "groups.json").read_text()),
        files=(),
    )
    before = _memory("self")
    opening, table = _timed(lambda: ItemTable.open(folder / "table", manifest))
    generator = np.random.default_rng(4)
    some = [item.item_id for item in table.items(np.sort(generator.integers(0, items, 200)))]
    rows = generator.integers(0, items, (500, 10))
    for ten in rows:  # so that what is measured is warm
        table.items(ten)
    tens = [_timed(lambda ten=ten: table.items(ten))[0] for ten in rows]
    by_id = [_timed(lambda name=name: table.item(name))[0] for name in some]
    prices = table.columns["price"]
    ranges = [_filters_of(prices, share, np.random.default_rng(5)) for share in SHARES]
    filters = {}
    for share, wanted in zip(SHARES, ranges, strict=True):
        one = next(wanted)
        filters[f"{share:.1%}"] = {
            "new_ms": _cpu_ms(lambda wanted=wanted: table.filter_rows(next(wanted))),
            "kept_ms": _cpu_ms(lambda one=one: table.filter_rows(one)),
            "two_kept_ms": _cpu_ms(lambda one=one: table.filter_rows({**one, "in_stock": True})),
            "whole_mask_ms": _cpu_ms(lambda one=one: _whole_mask(prices.values, one["price"])),
        }
    after = _memory("self")
    return {
        "open_ms": round(opening * 1_000, 1),
        "ten_items_ms": _quantiles(tens),
        "item_by_id_ms": _quantiles(by_id),
        "items_a_second": round(10 * len(tens) / sum(tens)),
        "ten_items_cpu_ms": _cpu_ms(lambda: table.items(rows[7])),
        "item_by_id_cpu_ms": _cpu_ms(lambda: table.item(some[7])),
        "filters": filters,
        "filter_cache_mb": round(table._filter_cache.held_bytes / 1e6, 1),
        "anonymous_mb_of_opening_and_asking": round((after - before) / 1e6, 1),
    }


def _filters_of(prices: Any, share: float, generator: np.random.Generator) -> Any:
    """Yields ranges of prices that a share of all rows is in, another one each time."""
    count = len(prices.order)
    while True:
        start = int(generator.integers(0, count - int(count * share)))
        stop = min(start + int(count * share), count - 1)
        low, high = (float(prices.values[prices.order[place]]) for place in (start, stop))
        # Prices of a synthetic head have two decimals, so that the bound makes it another filter than any before.
        yield {"price": {"gte": low - float(generator.random()) * 1e-3, "lt": high}}


def _whole_mask(values: Any, wanted: dict[str, float]) -> Any:
    """What a filter cost before: a mask over every row, and its bits."""
    mask = ~np.isnan(values)
    mask = mask & (values >= wanted["gte"])
    mask = mask & (values < wanted["lt"])
    np.count_nonzero(mask)
    return np.packbits(mask, bitorder="little")


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def _clocked(work: Callable[[], Any]) -> tuple[Any, Any]:
    """Returns the seconds that it took, by the clock and of the CPU, and what it returned."""
    started = np.array([time.perf_counter(), time.process_time()])
    found = work()
    return np.array([time.perf_counter(), time.process_time()]) - started, found


def _cpu_ms(work: Callable[[], Any]) -> float:
    """Returns the median CPU milliseconds of some runs after the first: by the clock, neighbours would count too."""
    work()
    clocks = []
    for _ in range(_ASKED):
        started = time.thread_time()
        work()
        clocks.append(time.thread_time() - started)
    return round(statistics.median(clocks) * 1_000, 3)


def _quantiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{share}": round(float(np.percentile(seconds, share)) * 1_000, 3) for share in (50, 99)}


def _run(step: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Runs a step in a process of its own and watches its anonymous memory from outside."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    command += ["--items", str(options.items), "--memory-mb", str(options.memory_mb)]
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(_SAMPLE_S)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{step} failed with {process.returncode}")
    return {**json.loads(output), "peak_anonymous_mb": round(peak / 1e6)}


def _memory(process: int | str) -> int:
    """Returns the anonymous memory of a process, in bytes."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("RssAnon")]
    return int(lines[0].split()[1]) << 10 if lines else 0


def _table(found: dict[str, Any]) -> str:
    build, opened, items = found["build"], found["open"], found["items"]
    rows = [
        ("items", f"{items:,}"),
        ("build, seconds", ", ".join(f"{name} {value}" for name, value in build["seconds"].items())),
        ("build, CPU seconds", ", ".join(f"{name} {value}" for name, value in build["cpu_seconds"].items())),
        ("peak anonymous memory of the build", f"{build['peak_anonymous_mb']} MB, limit {found['memory_limit_mb']} MB"),
        ("the same an item", f"{build['peak_anonymous_mb'] * 1e6 / items:.0f} bytes"),
        ("disk, bytes an item", ", ".join(f"{name} {size}" for name, size in build["disk_bytes_an_item"].items())),
        ("groups", ", ".join(f"{count:,} by {name}" for name, count in build["groups"].items())),
        ("opening", f"{opened['open_ms']} ms"),
        ("ten items by row, warm", f"P50 {opened['ten_items_ms']['p50']} ms, P99 {opened['ten_items_ms']['p99']} ms"),
        ("an item by id, warm", f"P50 {opened['item_by_id_ms']['p50']} ms, P99 {opened['item_by_id_ms']['p99']} ms"),
        ("CPU of them", f"{opened['ten_items_cpu_ms']} ms and {opened['item_by_id_cpu_ms']} ms"),
        ("items read a second", f"{opened['items_a_second']:,}"),
        ("anonymous memory of opening and asking", f"{opened['anonymous_mb_of_opening_and_asking']} MB"),
    ]
    for share, figures in opened["filters"].items():
        shown = ", ".join(f"{name.removesuffix('_ms').replace('_', ' ')} {ms} ms" for name, ms in figures.items())
        rows.append((f"filter that keeps {share}, CPU", shown))
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


if __name__ == "__main__":
    sys.exit(main())
