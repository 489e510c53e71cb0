"""What every recipe does, so that builds never ask which one they hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Trained(Protocol):
    """A trained, empty index: encodes any part of an embedding set, and makes shards of parts.

    With one thread each method gives the same bytes for the same input, on machines of one kind.

    Attributes:
        dimension: of the vectors.
    """

    dimension: int

    def write(self, folder: Path) -> None:
        """Writes the trained index into `folder`, from which `Recipe.read` takes it again."""

    def encode(self, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
        """Writes an encoded part of vectors in row order into the folder `into`; returns its rows.

        Args:
            batches: each (n, dimension), float32, unit L2 norm. Memory is bounded by one of them and its codes.
        """

    def merge(self, parts: Sequence[Path], *, into: Path) -> int:
        """Makes one shard of encoded parts, in the order of their rows, in the folder `into`; returns its rows.

        Memory is that of the opened shard and a bounded run of parts; what the shard only maps goes file to file.

        Raises:
            ContractError: a part is none of this quantizer's.
        """

    def build(self, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
        """Makes one shard of vectors in row order, in the folder `into`; returns its rows."""

    def sampled_error(self, sample: NDArray[np.float32]) -> float:
        """Returns the mean squared error of what the training fitted to its sample: the measure of drift."""

    def sampled_imbalance(self, sample: NDArray[np.float32]) -> float:
        """Returns the number of lists times the sum of the squared shares of a sample that they hold.

        1 when all are equally long, and where there are none: the factor by which a search compares more rows.
        """


class Recipe(Protocol):
    """How an index is made.

    Attributes:
        name: of its family, e.g. `ivf-rabitq`.
        index_key: a faiss factory string.
        merges: making a shard of encoded parts only copies their codes. Otherwise (a graph) it is most of the work.
        refines: a refinement stands beside the index.
        train_rows: rows of the sample that training asks for.
        seed: of everything random.
    """

    @property
    def name(self) -> str: ...
    @property
    def index_key(self) -> str: ...
    @property
    def merges(self) -> bool: ...
    @property
    def refines(self) -> bool: ...
    @property
    def train_rows(self) -> int: ...
    @property
    def seed(self) -> int: ...

    def identity(self) -> dict[str, Any]:
        """Returns what decides the bytes of the index, for ids."""

    def train(self, sample: NDArray[np.float32], *, threads: int = 1) -> Trained:
        """Trains on a sample of the whole set: (n, dimension), float32, unit L2 norm.

        Raises:
            SettingsError: the sample is too small for the index key.
        """

    def read(self, folder: Path) -> Trained:
        """Reads what `Trained.write` wrote.

        Raises:
            ContractError: it does not lie there, or is of another recipe.
        """


def build_of_one_part(trained: Trained, batches: Iterable[NDArray[np.float32]], *, into: Path) -> int:
    """Is `Trained.build` by way of a part, which needs no memory for the vectors; it lies in `into` meanwhile."""
    into.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=into, prefix="part-") as part:
        trained.encode(batches, into=Path(part))
        return trained.merge([Path(part)], into=into)
