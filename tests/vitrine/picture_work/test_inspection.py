"""What a file asks for is counted without decoding it: bombs are found, and ordinary files stay ordinary."""

from __future__ import annotations

import io
import time
import zlib

import pytest
from PIL import Image

from benchmarks.attacks import picture_files as files
from vitrine.errors import ImageError
from vitrine.image_decoding import decode_image, read_header
from vitrine.picture_work.inspection import structure_of

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
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_a_bomb_is_refused_by_counting(name: str) -> None:
    began = time.process_time()

    with pytest.raises(ImageError, match="expected a picture that is decoded in a few seconds, found") as caught:
        decode_image(BOMBS[name])

    assert caught.value.reason == "image_too_much_work"
    assert time.process_time() - began < 1.0


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

    from vitrine.image_decoding import upright_rgb

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = files.encoded(COLOUR, "PNG", exif=exif)

    found = decode_image(data)

    with Image.open(io.BytesIO(data)) as image:
        assert found.tobytes() == ImageOps.exif_transpose(image).tobytes()
    assert upright_rgb(found).tobytes() == found.tobytes()
