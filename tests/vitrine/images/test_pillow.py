"""What the walks mirror of Pillow's parsers: of another version they may count something else than it does."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from PIL import ImageFile, TiffImagePlugin, TiffTags
from PIL.JpegImagePlugin import MARKER

from vitrine.images.formats import jpeg, tiff

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements.in"


def test_pillow_is_of_the_major_version_whose_parsers_the_walks_mirror() -> None:
    bound = re.search(r"^pillow==(\d+)\.\*$", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)

    assert bound is not None, "requirements.in bounds Pillow to no major version: vitrine/picture_work mirrors one"
    assert version("pillow").split(".")[0] == bound[1] == "13", (
        f"the walks of vitrine/picture_work mirror the parsers of Pillow 13, found {version('pillow')}: read its "
        "JpegImagePlugin, PngImagePlugin, TiffImagePlugin, GifImagePlugin, WebPImagePlugin, BmpImagePlugin and "
        "ImageFile.load again for what a file may have them do more than once, run "
        "`python -m benchmarks.attacks.scan_bombs`, then change the number here"
    )


def test_tiff_entries_are_of_the_types_and_sizes_that_pillow_reads() -> None:
    found = {kind: size for kind, (size, _) in TiffImagePlugin.ImageFileDirectory_v2._load_dispatch.items()}

    assert found == tiff._TYPE_BYTES


def test_tiff_directories_that_pillow_follows_are_unusual() -> None:
    assert set(TiffTags.TAGS_V2_GROUPS) <= tiff._SUB_DIRECTORIES


def test_jpeg_markers_have_a_length_where_pillow_reads_one() -> None:
    assert {marker & 0xFF for marker, (_, _, read) in MARKER.items() if read is not None} == jpeg._WITH_LENGTH


def test_pillow_reads_64_kb_at_a_time() -> None:
    assert ImageFile.MAXBLOCK == 65_536
