"""What a file asks for is counted without decoding it: bombs are found, and ordinary files stay ordinary."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from benchmarks.attacks import picture_files as files
from vitrine.errors import ImageError
from vitrine.images.decoding import ALLOWED_FORMATS, decode_image, read_header
from vitrine.images.inspection import pillow_formats, structure_of
from vitrine.processes.state import garbage_kept

COLOUR = files.photograph(160, 120)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_blocks": 1}),
        ("JPEG", {"icc_profile": bytes(1_500_000), "comment": b"by a camera"}),
        ("MPO", {"save_all": True, "append_images": [COLOUR, COLOUR]}),
        ("PNG", {}),
        ("PNG", {"save_all": True, "append_images": [COLOUR, COLOUR]}),
        ("PNG", {"icc_profile": bytes(5_000)}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("GIF", {"save_all": True, "append_images": [COLOUR, COLOUR]}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
def test_what_encoders_write_is_decoded_in_this_process(file_format: str, options: dict[str, object]) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"

    found = structure_of(files.encoded(COLOUR, file_format, **({"exif": exif} | options)))

    assert found.ordinary
    assert found.work_s < 0.1
    assert found.size in (None, (160, 120))


@pytest.mark.parametrize("name", sorted(files.sound_pictures()))
def test_a_file_is_opened_as_what_it_was_counted_as(name: str) -> None:
    data = files.sound_pictures()[name]

    with (
        Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS) as anyhow,
        Image.open(io.BytesIO(data), formats=pillow_formats(data)) as counted,
    ):
        assert (counted.format, counted.size) == (anyhow.format, anyhow.size)


@pytest.mark.parametrize("beginning", [b"II\0\0", b"MM\0\0", b"BM\0\0", b"RIFF", b"GIF8", b"\xff\xd8\xff\xe0"])
def test_no_file_is_counted_as_one_format_and_opened_as_another(beginning: bytes) -> None:
    data = beginning + files.encoded(COLOUR, "AVIF")[4:]  # `ftyp`, by which Pillow knows an AVIF, still stands there

    assert "AVIF" not in pillow_formats(data)
    with pytest.raises(ImageError):
        decode_image(data)


@pytest.mark.parametrize(
    "data",
    [
        files.encoded(COLOUR, "AVIF"),
        files.encoded(COLOUR, "WEBP", save_all=True, append_images=[COLOUR.rotate(180)]),
        files.encoded(COLOUR, "TIFF", compression="jpeg"),
        files.encoded(COLOUR, "TIFF", big_tiff=True),
        files.sound_pictures()["bmp runs"],
        files.sound_pictures()["tiff fax"],
    ],
)
def test_what_counting_says_too_little_about_is_decoded_apart(data: bytes) -> None:
    assert not structure_of(data).ordinary


def test_scans_are_those_of_the_picture_not_of_what_follows_it() -> None:
    film = b"\xff\xda\x00\x04ab" * 5_000
    exif = b"\xff\xe1" + (60_002).to_bytes(2, "big") + (b"\xff\xda\x00\x04" * 15_000)
    sound = files.encoded(COLOUR, "JPEG", progressive=True)

    found = structure_of(sound[:2] + exif + sound[2:] + film)

    assert found.ordinary
    assert found.found == "10 scans over 160 x 120 pixels"


def test_scans_are_counted_past_segments_fill_bytes_and_restarts_between_them() -> None:
    sound = files.encoded(COLOUR, "JPEG", progressive=True)
    between = b"\xff\xd0\xff\xfe\x00\x06\xff\xd9ab" + b"\xff" * 9

    bomb = files.scan_bomb(scans=300, width=64, height=64)
    spread = sound[:-2] + between + bomb[bomb.index(b"\xff\xda") :]

    assert structure_of(spread).found.startswith("315 scans")


def _tiff_of_whole_files(strips: int) -> bytes:
    jpeg = files.scan_bomb(scans=500, width=100, height=8).ljust(4_000_000, b"\0")
    return files.tiff(jpeg, 100, strips, compression=7, rows=1, strips=strips)


def _with_entry_before(tiff: bytes, entry: tuple[int, int, int, int]) -> bytes:
    """The same file, its directory at its end with one more entry in front of the others."""
    (start,) = struct.unpack_from("<I", tiff, 4)
    (entries,) = struct.unpack_from("<H", tiff, start)
    return tiff[:start] + struct.pack("<HHHII", entries + 1, *entry) + tiff[start + 2 :]


def _with_type(tiff: bytes, tag: int, kind: int) -> bytes:
    """The same file, with the entry of one tag of another type."""
    (start,) = struct.unpack_from("<I", tiff, 4)
    at = next(at for at in range(start + 2, len(tiff), 12) if tiff[at : at + 2] == struct.pack("<H", tag))
    return tiff[: at + 2] + struct.pack("<H", kind) + tiff[at + 4 :]


BOMBS = {
    "jpeg": files.scan_bomb(scans=500),
    "jpeg in colour": files.scan_bomb(scans=2_000, width=1_000, height=1_000, mode="RGB"),
    "jpeg of a few pixels": files.scan_bomb(scans=600_000, width=16, height=16),
    "mpo": files.mpo_bomb(scans=500),
    "tiff": files.tiff_bomb(scans=500),
    "tiff of strips": files.tiff_bomb(scans=500, strips=50),
    "jpeg segments": files.encoded(COLOUR, "JPEG").replace(b"\xff\xdb", b"\xff\xfe\0\2" * 1_000_000 + b"\xff\xdb", 1),
    "jpeg fill": files.encoded(COLOUR, "JPEG").replace(b"\xff\xdb", b"\xff" * 8_000_000 + b"\xdb", 1),
    "jpeg junk": files.encoded(COLOUR, "JPEG").replace(b"\xff\xdb", b"\0" * 8_000_000 + b"\xff\xdb", 1),
    "jpeg exif": files.encoded(COLOUR, "JPEG").replace(b"\xff\xdb", files.exif_segment(1) * 200 + b"\xff\xdb", 1),
    "png chunks": files.encoded(COLOUR, "PNG").replace(b"\0\0\0\0IEND", files.chunk(b"IDAT", b"") * 900_000, 1),
    "png text": files.encoded(COLOUR, "PNG")[:33]
    + files.chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 4_000
    + files.encoded(COLOUR, "PNG")[33:],
    "gif blocks": files.encoded(COLOUR, "GIF").replace(b",", b"!\xfe" + b"\1a" * 3_000_000 + b"\0,", 1),
    "gif junk": files.encoded(COLOUR, "GIF").replace(b",", b"\0" * 8_000_000 + b",", 1),
    "bmp runs": files.bmp_runs(7_000, 7_000, b"\1\7\0\0" * 7_000),
    "tiff strips": files.tiff(bytes(2_000_000), 1_000, 60_000, compression=5, rows=1, strips=60_000),
    "tiff of plain halves": files.plain_tiff(bytes(500_000), 1_000, 1_000, rows=500, offsets=[0] * 20_000),
    "tiff of strips that each hold all scans": _tiff_of_whole_files(400_000),
    "tiff whose strips stand twice": _with_entry_before(files.tiff_bomb(scans=500, strips=50), (273, 0, 1, 8)),
    "jpeg quantization tables": files.quantization_bomb(120),
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_is_refused_by_counting(name: str) -> None:
    began = time.thread_time()

    with (
        garbage_kept(),
        pytest.raises(ImageError, match="expected a picture that is decoded in a few seconds, found") as caught,
    ):
        decode_image(BOMBS[name])

    assert caught.value.reason == "image_too_much_work"
    assert time.thread_time() - began < 1.0


def _small_tiff(**options: Any) -> bytes:
    return files.tiff(bytes(100), 10, 10, **({"compression": 1, "rows": 10} | options))


_ROOM = 1_000 * 1_000
_FRACTIONS = struct.pack("<II", 1, 3) * 100_000
_LONG_ROW = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 400_001, 1, 1, 24, 0, 0, 0, 0, 0, 0)
_MORE_THAN_STATED = {
    "tiff, strips that each cover half": files.plain_tiff(
        bytes(_ROOM * 9), 2_000, 2_000, rows=1_000, offsets=[number * _ROOM for number in range(9)]
    ),
    "tiff, strips without a height": files.plain_tiff(bytes(9), 2_000, 2_000, rows=0, offsets=[0, 2_000, 4_000]),
    "tiff, the same strip twice": files.plain_tiff(bytes(50), 10, 10, rows=5, offsets=[0, 0]),
    "tiff, strips a byte apart": files.plain_tiff(bytes(99), 10, 2, rows=1, offsets=[0, 1]),
    "tiff, a long row": files.tiff(bytes(9), 1_000_001, 1, compression=1, rows=1),
    "tiff, a tag that stands twice": _with_entry_before(_small_tiff(), (259, 3, 1, 5)),
    "tiff, a tag of an unknown type": _with_type(_small_tiff(), 262, 17),
    "tiff, a tag of an unknown type before the same": _with_entry_before(_small_tiff(), (259, 99, 1, 5)),
    "tiff, sides of another type": _with_type(_small_tiff(), 256, 9),
    "tiff, strips and tiles": _with_entry_before(_small_tiff(), (324, 4, 1, 8)),
    "tiff, values that are not there": files.tiff_of(
        [*files.tiff_entries(bytes(100), 10, 10, compression=1, rows=10)[:-1], (279, 4, 3, 1_000_000)], bytes(100)
    ),
    "tiff, more values than bytes": _with_entry_before(_small_tiff(), (700, 1, 5_000, 8)),
    "tiff, fractions": _with_entry_before(
        files.tiff(_FRACTIONS, 10, 10, compression=1, rows=10), (282, 5, len(_FRACTIONS) // 8, 8)
    ),
    "png, EXIF of fractions": files.encoded(
        COLOUR,
        "PNG",
        exif=b"Exif\0\0" + files.tiff_of([(274, 5, len(_FRACTIONS) // 8, 8)], _FRACTIONS),
    ),
    "webp, another size behind": files.encoded(Image.new("RGB", (1_000, 1_000)), "WEBP", lossless=True, method=0)
    + b"VP8X\x0a\0\0\0"
    + bytes(10),
    "bmp, a long row": _LONG_ROW,
    "jpeg, quantization tables": files.quantization_bomb(1),
}


@pytest.mark.parametrize("name", sorted(_MORE_THAN_STATED))
def test_what_a_decoder_does_more_often_than_is_stated_is_decoded_apart(name: str) -> None:
    assert not structure_of(_MORE_THAN_STATED[name]).ordinary


def test_plain_strips_are_ordinary_side_by_side_and_plane_by_plane() -> None:
    rows = files.plain_tiff(bytes(100 * 77), 100, 77, rows=1, offsets=[100 * row for row in range(77)])
    arrays = struct.pack("<3H6I", 8, 8, 8, 8, 10_008, 20_008, 10_000, 10_000, 10_000)
    head = 8 + 30_000
    planes = [
        *[(256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 3, head), (259, 3, 1, 1), (262, 3, 1, 2)],
        *[(273, 4, 3, head + 6), (277, 3, 1, 3), (279, 4, 3, head + 18), (284, 3, 1, 2)],
    ]

    apart = files.tiff_of(planes, bytes([1]) * 10_000 + bytes([2]) * 10_000 + bytes([3]) * 10_000, arrays)

    assert structure_of(rows).ordinary
    assert structure_of(apart).ordinary
    assert decode_image(apart).getpixel((99, 99)) == (1, 2, 3)


def test_of_a_tag_that_stands_twice_pillow_takes_the_first_whose_type_it_knows() -> None:
    plain = files.tiff(bytes([7]) * 100, 10, 10, compression=1, rows=10)

    found = decode_image(_with_entry_before(plain, (259, 99, 1, 5)))

    assert found.getpixel((5, 5)) == (7, 7, 7)


_FILLERS = {
    "fill": b"\xff",
    "zeros": b"\0",
    "stuffed fill": b"\xff\0",
    "runs of fill": b"\xff" * 1_000 + b"\0",
    "scans": b"\xff\xda",
    "segments": b"\xff\xfe\0\2",
    "blocks": b"!\xfe\1a\0",
    "short blocks": b"\1a",
    "chunks": b"\0\0\0\0IDAT\0\0\0\0",
    "chunks of the other order": b"EXIF\0\0\0\0",
}


def _long_files(size_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Files of each kind that are long by one thing repeated: near their start, in the middle, and before their end."""
    for kind in ("jpeg", "jpeg progressive", "mpo", "png", "webp", "gif", "bmp", "tiff", "tiff jpeg", "avif"):
        data = files.sound_pictures()[kind]
        for what, filler in _FILLERS.items():
            for at in (2, len(data) // 2, len(data) - 2):
                long = filler * (size_bytes // len(filler))
                yield f"{kind}, {what} at {at}", data[:at] + long + data[at:] + b"\xff\xda" * 21
    yield "jpeg, fill in a scan", files.fill_bomb(size_bytes)
    yield "jpeg, runs of fill in a scan", files.fill_bomb(size_bytes, runs=min(2_000, size_bytes // 8))
    strips = size_bytes // 8
    scans = (b"\xff\xda" * 30).ljust(size_bytes // 2, b"\0")
    for compression in (1, 5, 7):
        yield (
            f"tiff of compression {compression} whose strips are all the file",
            files.tiff(scans, 100, strips, compression=compression, rows=1, strips=strips),
        )
    yield (
        "tiff, every tag of as many values as there are",
        files.tiff_of([(tag, 4, strips, 8) for tag in range(250, 330)], bytes(size_bytes)),
    )
    entries = min(65_535, size_bytes // 12)
    yield "tiff, one tag over and over", files.tiff_of([(273, 4, 1_000, 8)] * entries, bytes(size_bytes))


@pytest.mark.parametrize("size_bytes", [16_000, 250_000, 4_000_000])  # what is quadratic fails early, and ends
def test_no_walk_takes_longer_than_a_file_is_long(size_bytes: int) -> None:
    """A second is a hundred times what reading as much takes; the walk has no other end than its own."""
    for name, data in _long_files(size_bytes):
        began = time.thread_time()

        with garbage_kept():
            structure_of(data)

        assert time.thread_time() - began < 1.0, name


def test_a_header_is_read_of_no_bomb_either() -> None:
    with pytest.raises(ImageError, match=r"50\d scans"):
        read_header(BOMBS["jpeg"])


def test_a_bomb_of_too_many_pixels_has_too_many_pixels() -> None:
    with pytest.raises(ImageError, match="at most 1,000,000 pixels") as caught:
        decode_image(BOMBS["jpeg"], max_pixels=1_000_000)

    assert caught.value.reason == "image_too_many_pixels"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"RIFF", b"GIF89a"])
def test_what_is_cut_short_is_counted_without_an_error(data: bytes) -> None:
    assert structure_of(data).work_s == 0.0


def test_a_walk_over_any_mutant_ends_without_an_error() -> None:
    for number in range(3_000):
        _, data = files.mutant(number)
        structure_of(data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_stands_as_pillow_would_turn_it_and_is_turned_once(orientation: int) -> None:
    from PIL import ImageOps

    from vitrine.images.decoding import upright_rgb

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = files.encoded(COLOUR, "PNG", exif=exif)

    found = decode_image(data)

    with Image.open(io.BytesIO(data)) as image:
        assert found.tobytes() == ImageOps.exif_transpose(image).tobytes()
    assert upright_rgb(found).tobytes() == found.tobytes()
