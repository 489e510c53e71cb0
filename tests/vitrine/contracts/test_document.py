"""What all documents of the store share, and the names of files in them."""

from __future__ import annotations

import json
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.contracts.document import StoredFile
from vitrine.contracts.index_builds import EncodedPart
from vitrine.errors import ContractError

FOLDER = "/scratch/build"
PARTS = st.sampled_from(["", ".", "..", "...", "a", "b.c", "rows", "a b", "\\", "a\\..\\b", "\0", "é", "~"])
NAMES = st.one_of(st.text(), st.lists(PARTS, max_size=6).map("/".join))
ORDINARY_PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1).filter(
    lambda part: part not in (".", "..")
)


@given(name=NAMES)
def test_a_file_that_a_document_names_lies_below_the_folder_it_is_joined_to(name: str) -> None:
    try:
        file = _read(name)
    except ContractError:
        return

    joined = posixpath.join(FOLDER, file.name)
    assert posixpath.normpath(joined) == joined
    assert joined.startswith(f"{FOLDER}/")
    assert not {"\\", "\0"} & set(joined)


@given(parts=st.lists(ORDINARY_PARTS, min_size=1, max_size=4))
def test_ordinary_names_are_taken_as_they_are(parts: list[str]) -> None:
    assert _read("/".join(parts)).name == "/".join(parts)


@pytest.mark.parametrize(
    "name", ["", "/etc/x", "a/../../x", "..", "a//etc/x", "a/", "./a", "a\\..\\x", "a\0b", "attempt//etc/passwd"]
)
def test_a_document_that_names_a_file_elsewhere_is_refused(name: str) -> None:
    part = {"part_id": "part-1", "quantizer_id": "quantizer-1", "rows": 1, "files": [_described(name)]}

    with pytest.raises(ContractError, match="expected the name of a file below a folder"):
        EncodedPart.from_bytes(json.dumps(part).encode())


def test_a_part_whose_own_name_leads_elsewhere_is_refused() -> None:
    part = {"part_id": "../part-1", "quantizer_id": "quantizer-1", "rows": 1, "files": []}

    with pytest.raises(ContractError, match="expected the name of a file below a folder"):
        EncodedPart.from_bytes(json.dumps(part).encode())


def _described(name: str) -> dict[str, object]:
    return {"name": name, "size_bytes": 1, "sha256": "0" * 64}


def _read(name: str) -> StoredFile:
    return StoredFile.from_bytes(json.dumps(_described(name)).encode())
