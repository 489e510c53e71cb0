"""What an opened index costs in memory, measured in a process of its own: `python -m …opened_memory FOLDER`.

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
    """Opens the shards in `folders` one after another, each in a process of its own, searches them and adds them up.

    Memory is that of the largest shard: an index of many would need as much as the replica that will serve it.

    Raises:
        ContractError: a shard cannot be opened, or this system does not tell the memory of a process.
    """
    shards = [_measured_apart(folder.resolve()) for folder in folders]
    return OpenedMemory(sum(shard.anonymous_bytes for shard in shards), sum(shard.file_bytes for shard in shards))


def anonymous_bytes() -> int | None:
    """Returns `RssAnon` of this process in bytes; None where there is no such figure (outside Linux)."""
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
    return int(found[0]) * 1024 if found else None


def _measured_apart(folder: Path) -> OpenedMemory:
    command = [sys.executable, "-m", "index_builder.planning.opened_memory", str(folder)]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ContractError(f"{folder}: no process could be started to measure its memory: {error}") from error
    if done.returncode:
        raise ContractError(
            f"{folder}: cannot be opened to measure its memory: status {done.returncode}, {done.stderr[-500:].strip()}"
        )
    return OpenedMemory(**json.loads(done.stdout))


def _open_and_measure(folder: Path) -> OpenedMemory:
    import faiss
    import numpy as np

    from vitrine.vector_index import VectorIndex

    faiss.omp_set_num_threads(1)
    before = _trimmed_anonymous_bytes()
    index = VectorIndex.open_folders([folder], index_version="measured")
    query = np.full((1, index.dimension), index.dimension**-0.5, dtype=np.float32)
    index.search(query, top_k=10)
    files = sum(path.stat().st_size for path in folder.glob("*.faiss"))
    return OpenedMemory(_trimmed_anonymous_bytes() - before, files)


def _trimmed_anonymous_bytes() -> int:
    """Gives free heap back first: what imports left free would take the index in unseen."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError) as error:
        raise ContractError("this system's allocator gives no free memory back (malloc_trim of glibc)") from error
    trim(0)
    if (now := anonymous_bytes()) is None:
        raise ContractError(f"{_STATUS} does not tell anonymous memory (RssAnon)")
    return now


if __name__ == "__main__":
    [argument] = sys.argv[1:]
    try:
        print(json.dumps(asdict(_open_and_measure(Path(argument)))))
    except ContractError as error:
        raise SystemExit(str(error)) from error
