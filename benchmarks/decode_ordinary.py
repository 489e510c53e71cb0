"""What an ordinary picture costs to decode, now and before anything was counted: `-m benchmarks.decode_ordinary`.

Both ways decode the same file in turn, so that whatever else the machine does meets both; a figure is the median of the
pairs' ratios. Photographs of `--folder` are taken when it is given, else made ones. The limit is 1.1; kinds that are
decoded apart are shown by wall time, with the handing over of their pixels, and have none.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks.attacks.picture_files import encoded, photograph
from vitrine.images.decoding import ALLOWED_FORMATS, DEFAULT_MAX_PIXELS, decode_image, upright_rgb

LIMIT = 1.1

_KINDS: dict[str, tuple[str, dict[str, object]]] = {
    "JPEG": ("JPEG", {"quality": 88}),
    "JPEG progressive": ("JPEG", {"quality": 88, "progressive": True}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {"quality": 85}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "TIFF": ("TIFF", {}),
    "TIFF deflated": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "AVIF, apart": ("AVIF", {"speed": 8}),
    "TIFF of JPEG, apart": ("TIFF", {"compression": "jpeg"}),
}
_SIZES = (224, 500, 1_500)


def decode_before(data: bytes, *, shorter_side: int | None) -> Image.Image:
    """Decodes as Vitrine did before it counted."""
    image: Image.Image = Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS)
    if image.width * image.height > DEFAULT_MAX_PIXELS:
        raise ValueError("too many pixels")
    if shorter_side is not None:
        image.draft(None, (shorter_side, shorter_side))
    image.load()
    if image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return image if image.mode == "RGB" and not image.has_transparency_data else upright_rgb(image)


def ratio(
    files: list[bytes], *, rounds: int, shorter_side: int | None, clock: Callable[[], float] = time.thread_time
) -> tuple[float, float]:
    """Returns the median ratio of seconds, now to before, and the milliseconds that one took before."""
    ratios, before = [], []
    for round_number in range(rounds):
        for data in files:
            ways = [
                (0, lambda data=data: decode_before(data, shorter_side=shorter_side)),
                (1, lambda data=data: decode_image(data, shorter_side=shorter_side)),
            ]
            took = [0.0, 0.0]
            for place, way in ways if round_number % 2 else reversed(ways):
                took[place] = _seconds(way, clock)
            ratios.append(took[1] / took[0])
            before.append(took[0])
    return float(np.median(ratios)), float(np.median(before)) * 1_000


def _seconds(call: Callable[[], Image.Image], clock: Callable[[], float]) -> float:
    began = clock()
    call()
    return clock() - began


def _photographs(folder: Path | None, count: int) -> list[Image.Image]:
    if folder is None:
        return [photograph(1_500, 1_500, seed=seed) for seed in range(count)]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return [Image.open(path).convert("RGB") for path in chosen]


def main(arguments: list[str] | None = None) -> int:
    """Prints a line for each kind and size; returns 1 when one is above the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode_ordinary", description=__doc__)
    parser.add_argument("--folder", type=Path, help="of photographs; made ones if left out")
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    pictures = _photographs(options.folder, options.pictures)
    worst = 0.0
    for kind, (file_format, how) in _KINDS.items():
        for side in _SIZES:
            sized = [picture.resize((side, side), Image.Resampling.BICUBIC) for picture in pictures]
            files = [encoded(picture, file_format, **how) for picture in sized]
            rounds = options.rounds if side < 1_000 else max(3, options.rounds // 4)
            for shorter_side in (None, 128) if "JPEG" in kind else (None,):
                apart = kind.endswith("apart")
                clock = time.perf_counter if apart else time.thread_time
                found, before_ms = ratio(files, rounds=rounds, shorter_side=shorter_side, clock=clock)
                worst = worst if apart else max(worst, found)
                reduced = "" if shorter_side is None else f", reduced to {shorter_side}"
                print(f"{kind + reduced:<32} {side:>5} px  {before_ms:>8.2f} ms before  ratio {found:.3f}", flush=True)
    print(f"worst ratio {worst:.3f} (limit {LIMIT})")
    return 1 if worst > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
