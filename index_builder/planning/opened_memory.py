"""What an opened index costs in memory, measured in a process of its own: `python -m …opened_memory FOLDER …`.

Anonymous memory is what the machine cannot take back; mapped bytes are pages of files, which it can.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vitrine.errors import ContractError

_ROOT = Path(__file__).resolve().parent.parent.parent
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class OpenedMemory:
    """Of one opened index.

    Attributes:
        anonymous_bytes: by which opening it and searching it once made the process grow.
        file_bytes: size of its files.
    """

    anonymous_bytes: int
    file_bytes: int


def measure_opened_memory(folders: Sequence[Path]) -> OpenedMemory:
    """Opens the shards in `folders` as one index in a process of its own, and searches it.

    Raises:
        ContractError: it cannot be opened.
    """
    command = [sys.executable, "-m", "index_builder.planning.opened_memory", *map(str, folders)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContractError(f"the index in {folders[0]} cannot be opened to measure its memory: {done.stderr[-500:]}")
    return OpenedMemory(**json.loads(done.stdout))


def anonymous_bytes() -> int:
    """Returns the anonymous memory of this process now (`RssAnon`)."""
    [line] = [line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


def _open_and_measure(folders: list[Path]) -> OpenedMemory:
    import faiss
    import numpy as np

    from vitrine.vector_index import VectorIndex

    faiss.omp_set_num_threads(1)
    before = _trimmed_anonymous_bytes()
    index = VectorIndex.open_folders(folders, index_version="measured")
    files = index.touch()
    query = np.full((1, index.dimension), index.dimension**-0.5, dtype=np.float32)
    index.search(query, top_k=10)
    return OpenedMemory(_trimmed_anonymous_bytes() - before, files)


def _trimmed_anonymous_bytes() -> int:
    """Gives free heap back first: what imports left free would take the index in unseen."""
    ctypes.CDLL(None).malloc_trim(0)
    return anonymous_bytes()


if __name__ == "__main__":
    print(json.dumps(asdict(_open_and_measure([Path(argument) for argument in sys.argv[1:]]))))
