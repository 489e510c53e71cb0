"""The protocol of everything that can answer a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.evaluate.tasks.task import Entry, Query, Task


class Retriever(Protocol):
    """Scores a gallery for queries.

    Attributes:
        name: short and unique in a report.
        description: what it is, in one sentence.
    """

    name: str
    description: str

    def refusal(self, task: Task) -> str | None:
        """Returns why it cannot answer a task; None when it can."""
        ...

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Looks at the galleries of all tasks that it will answer, once, before the first `scores`."""
        ...

    def scores(self, queries: Sequence[Query], entries: Sequence[Entry]) -> NDArray[np.float32]:
        """Returns (n_queries, n_entries), float32; higher is nearer."""
        ...
