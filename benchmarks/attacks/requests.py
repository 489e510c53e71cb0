"""20,000 generated requests to a search tier of two workers: none is answered by 5xx, none hangs.

503 with its reason is no fault: it is how the tier says that a declared limit was reached.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from benchmarks.attacks.request_mutants import Mutant, mutants
from benchmarks.attacks.search_tier import search_tier
from benchmarks.attacks.sending import send_all

COUNT = 20_000
_BLOCK = 2_000
_SHOWN = 5


def main() -> int:
    """Sends them and says what came back; returns 1 when one was answered by 5xx, not at all, or hung."""
    shown: list[str] = []

    def tell(mutant: Mutant, outcome: str) -> None:
        if len(shown) < _SHOWN:
            shown.append(outcome)
            print(f"{outcome}: {mutant.kind} {mutant.data[:300]!r}", flush=True)

    found: Counter[str] = Counter()
    with search_tier() as tier:
        began = time.monotonic()
        for block in range(COUNT // _BLOCK):
            found += send_all(mutants(_BLOCK, seed=block), tier.port, tell=tell)
            print(f"{(block + 1) * _BLOCK:,} sent, {time.monotonic() - began:.0f} s", flush=True)
        lives = tier.is_healthy()
    faults = found["5xx"] + found["hung"] + found["dropped"]
    counts = ", ".join(f"{found[name]:,} {name}" for name in ("2xx", "3xx", "4xx", "503", "closed"))
    ended = "" if lives else "; the tier does not answer any more"
    print(
        f"requests: {COUNT:,} sent, {found['5xx']} of 5xx, {found['hung']} hung, {found['dropped']} whole ones without "
        f"an answer; {counts}{ended}"
    )
    return 1 if faults or not lives else 0


if __name__ == "__main__":
    sys.exit(main())
