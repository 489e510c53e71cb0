"""Ranges of lines yield every line once, and damaged files end in a line that says so."""

from __future__ import annotations

import gzip
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vitrine.items import byte_ranges
from vitrine.items.byte_ranges import LocalBytes, Unreadable, lines, unzipped_lines
from vitrine.storage import ObjectStore
from vitrine.storage.object_file import RangeFile, StoredBytes


class _Held:
    """Bytes in memory as a source."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, start: int, length: int) -> bytes:
        return self.data[start : start + length]


@given(st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\n")), st.integers(1, 12))
def test_cut_anywhere_every_line_is_yielded_once_and_in_order(data: bytes, step: int) -> None:
    source = _Held(data)

    found = [
        line
        for start in range(0, len(data), step)
        for line in lines(source, start=start, end=min(len(data), start + step))
    ]

    assert b"".join(found) == data  # type: ignore[arg-type]


def test_a_line_longer_than_a_row_may_be_is_not_held(monkeypatch) -> None:
    monkeypatch.setattr(byte_ranges, "MAX_LINE_BYTES", 100)
    source = _Held(b"one\n" + b"x" * 500 + b"\nthree\n")

    found = list(lines(source, start=0, end=source.size_bytes))

    assert found[0] == b"one\n"
    assert isinstance(found[1], Unreadable) and "501 bytes" in found[1].detail
    assert found[2] == b"three\n"


def test_gzip_members_are_read_one_after_the_other() -> None:
    source = _Held(gzip.compress(b"one\ntwo\n") + gzip.compress(b"three\n"))

    assert list(unzipped_lines(source, max_bytes=1 << 30)) == [b"one\n", b"two\n", b"three\n"]


def test_a_gzip_file_that_is_cut_short_ends_in_an_unreadable_line() -> None:
    whole = gzip.compress(b"".join(b"line %d %s\n" % (n, str(hash(n * 7919)).encode()) for n in range(2000)))

    found = list(unzipped_lines(_Held(whole[: len(whole) // 2]), max_bytes=1 << 30))

    assert found[0].startswith(b"line 0")
    assert isinstance(found[-1], Unreadable) and "cut short" in found[-1].detail


def test_zeros_that_were_squeezed_a_thousandfold_are_never_held_whole() -> None:
    source = _Held(gzip.compress(b"\0" * (64 << 20)))

    found = list(unzipped_lines(source, max_bytes=1 << 30))

    assert len(found) == 1
    assert isinstance(found[0], Unreadable)


@given(st.binary(max_size=200))
def test_no_bytes_make_unzipping_fail(data: bytes) -> None:
    for line in unzipped_lines(_Held(data), max_bytes=1 << 30):
        assert isinstance(line, bytes | Unreadable)


def test_an_object_and_a_file_are_read_alike(tmp_path: Path, object_store: ObjectStore) -> None:
    data = bytes(range(256)) * 10
    (tmp_path / "file").write_bytes(data)
    object_store.put_bytes("file", data)

    for source in (LocalBytes(tmp_path / "file"), StoredBytes(object_store, "file", len(data))):
        reader = RangeFile(source)
        reader.seek(-5, 2)

        assert reader.read() == data[-5:]
        assert source.read(len(data) - 3, 100) == data[-3:]
