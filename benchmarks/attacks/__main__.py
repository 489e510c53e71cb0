"""Runs every attack of this package, or those named, and ends with a table: `python -m benchmarks.attacks [NAME…]`."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

PACKAGE = "benchmarks.attacks"
ROOT = Path(__file__).resolve().parents[2]
MAX_SECONDS = 3_600.0  # of one attack; none is meant to take half of it


@dataclass(frozen=True)
class Ran:
    """An attack that was run: `summary` is the last line that it printed."""

    name: str
    status: int
    seconds: float
    summary: str

    @property
    def outcome(self) -> str:
        """How it ended, in a word or two."""
        if self.status == 0:
            return "held"
        return "FAILED" if self.status == 1 else f"ENDED BY {self.status}"


def main(arguments: list[str] | None = None) -> int:
    """Runs attacks one after the other; returns 1 when one of them failed."""
    known = attacks()
    parser = argparse.ArgumentParser(prog=f"python -m {PACKAGE}", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; all if left out")
    names = parser.parse_args(arguments).names or known
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"there is no attack {', '.join(unknown)}; known are {', '.join(known)}")
    ran = []
    for name in names:
        print(f"== {name}", flush=True)
        ran.append(run_attack(name))
    print()
    for one in ran:
        print(f"{one.name:<12} {one.outcome:<10} {one.seconds:>6.0f} s  {one.summary}")
    return 1 if any(one.status for one in ran) else 0


def attacks() -> list[str]:
    """The names of the modules of this package that offer `main`."""
    names = sorted(module.name for module in iter_modules([str(Path(__file__).parent)]) if module.name != "__main__")
    return [name for name in names if hasattr(import_module(f"{PACKAGE}.{name}"), "main")]


def run_attack(name: str, *, max_seconds: float = MAX_SECONDS, say: Callable[[str], None] = print) -> Ran:
    """Runs one attack in a process of its own, which a crash of a native decoder ends and this one survives."""
    began, last = time.monotonic(), ""
    command = [sys.executable, "-c", f"import sys; from {PACKAGE}.{name} import main; sys.exit(main())"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    )
    # Its whole group, so that what it started goes with it.
    timer = threading.Timer(max_seconds, lambda: os.killpg(process.pid, signal.SIGKILL))
    timer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            say(line.rstrip())
            last = line.strip() or last
        status = process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:  # interrupted: what it started ends with it
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    return Ran(name, status, time.monotonic() - began, last.removeprefix(f"{name}: ") or "said nothing")


if __name__ == "__main__":
    sys.exit(main())
