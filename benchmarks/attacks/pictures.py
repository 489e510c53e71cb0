"""Mutants of picture files against the decoders: nothing but a picture or an ImageError, and nothing hangs or crashes.

They are decoded in processes of this attack's own, which say how far they are: a crash or a hang has a number, and
`--only NUMBER` runs that one again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from benchmarks.attacks.picture_files import mutant
from vitrine.errors import ImageError
from vitrine.images.decoding import WorkLimit, decode_image

BATCH = 250
MOST_S = 10.0
"""CPU seconds of one mutant that count as a hang: its sides may say millions of pixels, and they are decoded."""

_MAX_PIXELS = 4_000_000
_PATIENCE_S = 120.0
_SAY_EVERY_S = 15.0
_MOST_SAID = 5  # faults of one batch


@dataclass
class Tally:
    """What mutants came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: int = -1

    def add(self, other: Tally) -> None:
        """Adds what another process found."""
        self.outcomes += other.outcomes
        self.faults += other.faults
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest


def attack(numbers: Iterable[int]) -> Tally:
    """Decodes mutants in this process."""
    tally = Tally()
    work = WorkLimit.of(MOST_S)
    for number in numbers:
        name, data = mutant(number)
        began = time.process_time()
        try:
            image = decode_image(data, max_pixels=_MAX_PIXELS, shorter_side=16 if number % 2 else None, work=work)
            outcome = "pictures"
            if image.mode != "RGB" or len(image.tobytes()) != image.width * image.height * 3:
                tally.faults.append(f"mutant {number} ({name}): {image}")
        except ImageError as error:
            outcome = str(error.reason)
            if "crashed" in str(error):
                tally.faults.append(f"mutant {number} ({name}): {error}")
        except Exception as error:  # noqa: BLE001 - to find these is what this is for
            outcome = "other errors"
            tally.faults.append(f"mutant {number} ({name}): {type(error).__name__}: {error}")
        took = time.process_time() - began
        tally.outcomes[outcome] += 1
        if took > tally.slowest_s:
            tally.slowest_s, tally.slowest = took, number
        if took > MOST_S:
            tally.faults.append(f"mutant {number} ({name}): {took:.1f} s")
    return tally


def attack_apart(count: int, *, first: int = 0, processes: int = 2) -> Tally:
    """Decodes `count` mutants in processes that may crash or hang."""
    tally = Tally()
    batches = [range(start, min(start + BATCH, first + count)) for start in range(first, first + count, BATCH)]
    context = multiprocessing.get_context("spawn")
    workers = [_Worker(context) for _ in range(min(processes, len(batches)))]
    said, done = time.monotonic(), 0
    for worker in workers:
        worker.give(batches.pop(0) if batches else None)
    while any(worker.numbers for worker in workers):
        multiprocessing.connection.wait([worker.connection for worker in workers if worker.numbers], timeout=1.0)
        for place, worker in enumerate(workers):
            if not worker.numbers:
                continue
            found = worker.found()
            if found is None:
                continue
            done += found.outcomes.total()
            tally.add(found)
            for fault in found.faults[:_MOST_SAID]:
                print(fault, flush=True)
            if found.outcomes["crashes"] or found.outcomes["hangs"]:
                workers[place] = _Worker(context)
            workers[place].give(batches.pop(0) if batches else None)
        if time.monotonic() - said > _SAY_EVERY_S:
            said = time.monotonic()
            print(f"{done:,} of {count:,}; {len(tally.faults)} faults", flush=True)
    return tally


class _Worker:
    """A process of this attack."""

    def __init__(self, context: multiprocessing.context.SpawnContext) -> None:
        self.connection, other = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(other,), daemon=False)
        self._process.start()
        other.close()
        self.numbers: range | None = None
        self._given = 0.0

    def give(self, numbers: range | None) -> None:
        """Hands it a batch; None ends it."""
        self.numbers, self._given = numbers, time.monotonic()
        self.connection.send(numbers)

    def found(self) -> Tally | None:
        """Returns what it found, once it has; a crash and a hang are found by going through the batch one by one."""
        assert self.numbers is not None
        if self.connection.poll():
            try:
                tally: Tally = self.connection.recv()
                return tally
            except (EOFError, ConnectionResetError):
                self._process.join()
                return self._fault("crashes", f"ended by {self._process.exitcode}")
        if time.monotonic() - self._given > _PATIENCE_S:
            self._process.kill()
            return self._fault("hangs", f"no answer in {_PATIENCE_S:g} s")
        return None

    def _fault(self, what: str, how: str) -> Tally:
        assert self.numbers is not None
        numbers = f"mutants {self.numbers.start} to {self.numbers.stop - 1}"
        return Tally(Counter({what: 1}), [f"{numbers}: {how}; see --only for each"])


def _serve(connection: Connection) -> None:
    warnings.simplefilter("ignore")
    while (numbers := connection.recv()) is not None:
        connection.send(attack(numbers))


def main(arguments: list[str] | None = None) -> int:
    """Runs the attack; returns 1 when anything but a picture or an ImageError came of a mutant."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks.pictures", description=__doc__)
    defaults = {"count": 300_000, "first": 0, "processes": min(2, os.cpu_count() or 1)}
    parser.add_argument("--count", type=int, help="mutants (default 300,000)")
    parser.add_argument("--first", type=int, help="number of the first one (default 0)")
    parser.add_argument("--only", type=int, help="run one mutant, in this process")
    parser.add_argument("--processes", type=int, help="that decode them (default 2, or 1 on a single CPU)")
    options = parser.parse_args(arguments)
    given = {name: value for name in defaults if (value := getattr(options, name)) is not None}
    if options.only is not None:
        if given:
            named = ", ".join(f"--{name}" for name in given)
            parser.error(f"--only runs one mutant in this process, so {named} would change nothing; leave it out")
        tally = attack([options.only])
        print(*tally.faults, sep="\n")
    else:
        tally = attack_apart(**(defaults | given))
    outcomes = ", ".join(f"{count:,} {name}" for name, count in sorted(tally.outcomes.items()))
    print(
        f"pictures: {tally.outcomes.total():,} mutants: {outcomes}; {len(tally.faults)} faults; "
        f"slowest {tally.slowest_s:.2f} CPU s (mutant {tally.slowest})"
    )
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
