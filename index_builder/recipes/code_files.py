"""Index files of plain codes (`Flat`, `SQ8`, a refinement) written by streaming: memory never holds their rows.

The file of an empty index ends with the length of its codes, and holds its number of rows after the 4 bytes of its kind
and the 4 of its dimension (faiss 1.15, `write_index_header`); so a filled one is the same file with two numbers changed
and the codes behind it. The result is opened and counted before it counts as written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import faiss

from vitrine.errors import ContractError

_ROWS_AT = 8
_LENGTH = struct.Struct("<q")


def write_codes(index: Any, codes: Iterable[bytes], path: Path) -> int:
    """Writes the file of an index that holds `codes`; returns its rows.

    Args:
        index: trained and empty, of a kind whose rows are codes of one size.

    Raises:
        ContractError: the codes are no whole number of rows, or the file does not open as what was written.
    """
    faiss.write_index(index, str(path))
    length_at = path.stat().st_size - _LENGTH.size
    code_size = int(index.code_size)
    with path.open("r+b") as stream:
        stream.seek(length_at + _LENGTH.size)
        size = 0
        for chunk in codes:
            stream.write(chunk)
            size += len(chunk)
        rows, rest = divmod(size, code_size)
        stream.seek(_ROWS_AT)
        stream.write(_LENGTH.pack(rows))
        stream.seek(length_at)
        # A flat index counts its codes in floats, all others in bytes.
        stream.write(_LENGTH.pack(size // 4 if isinstance(index, faiss.IndexFlat) else size))
    if rest:
        raise ContractError(f"{path}: expected codes of {code_size} bytes, found {size} bytes; encode the parts again")
    try:
        written = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise ContractError(
            f"{path}: expected a file of {type(index).__name__} that opens, found: {error}; its kind of codes is not "
            "written by streaming: take another VITRINE_INDEX_KEY"
        ) from error
    if (written.ntotal, written.d) != (rows, index.d):
        raise ContractError(f"{path}: expected {rows} rows of {index.d} dimensions, found {written.ntotal}")
    return rows
