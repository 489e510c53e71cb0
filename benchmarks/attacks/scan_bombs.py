"""Small files that are much work: against the decoder as a query's picture and as a row, and against a running worker.

Scans in JPEG, MPO and TIFF, runs, chunks, strips, filters and frames; also files that are just allowed, which are the
dearest that get through. CPU seconds are those of this process and of its decoder processes.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

from benchmarks.attacks import picture_files as files
from benchmarks.attacks.search_tier import search_tier
from spark_jobs.profiling.images import profile_bytes
from vitrine.catalogs import Catalog
from vitrine.errors import ImageError
from vitrine.images.decoding import WorkLimit, decode_image
from vitrine.images.formats.jpeg import SCAN_S
from vitrine.items.policy import IngestPolicy
from vitrine.processes.table import cpu_s_in, stat_fields
from vitrine.settings import Settings

QUERY_S, ROW_S = 2.0, 10.0
UPLOADS, OTHERS = 12, 800


def bombs(side: int, *, counted_s: float) -> Iterator[tuple[str, bytes]]:
    """Yields bombs of side x side pixels, by name; those that are just allowed come to `counted_s`."""
    pixels = side * side
    allowed = int(0.97 * counted_s / (pixels * SCAN_S))
    size: dict[str, Any] = {"width": side, "height": side}
    for scans in (500, 2_000, 20_000):
        yield f"jpeg, {scans:,} scans", files.scan_bomb(scans=scans, **size)
    yield "jpeg in colour, 500 scans", files.scan_bomb(scans=500, mode="RGB", **size)
    yield f"jpeg, {allowed} scans, just allowed", files.scan_bomb(scans=allowed - 6, **size)
    yield "jpeg, 20 scans in colour", files.scan_bomb(scans=10, mode="RGB", **size)
    yield "mpo, 500 scans", files.mpo_bomb(scans=500, **size)
    yield "tiff, 500 scans", files.tiff_bomb(scans=500, **size)
    yield "tiff, 500 scans in each of 50 strips", files.tiff_bomb(scans=500, strips=50, **size)
    yield f"tiff, {allowed} scans, just allowed", files.tiff_bomb(scans=allowed - 6, **size)
    small = files.encoded(Image.new("RGB", (64, 64)), "JPEG")
    yield "jpeg, a million segments", small.replace(b"\xff\xdb", b"\xff\xfe\0\2" * 1_000_000 + b"\xff\xdb", 1)
    yield "jpeg, EXIF that points at itself", small[:2] + files.exif_segment(5_000) + small[2:]
    yield "jpeg, 8 MB of fill before 21 scans", files.fill_bomb(8_000_000)
    yield "jpeg, 8 MB of fill in 2,000 runs before 21 scans", files.fill_bomb(8_000_000, runs=2_000)
    yield "jpeg, 12 MB of quantization tables", files.quantization_bomb(180)
    rows = (b"\4" + bytes(side * 8)) * side
    yield "png of 16 bits, with transparency and filters", files.png(rows, side, side, kind=6, depth=16)
    png = files.encoded(Image.new("RGB", (64, 64)), "PNG")
    yield "png, 800,000 chunks", png[:33] + files.chunk(b"IDAT", b"") * 800_000 + png[33:]
    runs = int((0.95 * counted_s / 2.5e-7) ** 0.5)
    yield "bmp in runs, just allowed", files.bmp_runs(min(side, runs), min(side, runs), b"\1\7\0\0" * min(side, runs))
    yield (
        "tiff of rows that are each the whole file",
        files.tiff(bytes(2_000_000), side, side, compression=5, rows=1, strips=side),
    )
    half = side // 2
    same, apart = [0] * 20_000, [0, 1]
    yield "tiff of 20,000 halves", files.plain_tiff(bytes(side * half), side, side, rows=half, offsets=same)
    yield "tiff of strips a byte apart", files.plain_tiff(bytes(side * half + 1), side * half, 2, rows=1, offsets=apart)
    yield "tiff, 400,000 strips that each hold all scans", _tiff_of_whole_files(side)
    yield "gif", files.encoded(Image.new("P", (side, side)), "GIF")
    yield "webp, lossless", files.encoded(Image.new("RGB", (side, side)), "WEBP", lossless=True, method=0)
    yield "avif", files.encoded(Image.new("RGB", (side, side)), "AVIF", speed=10)
    grain = np.random.default_rng(1).integers(0, 256, (1_000, 1_000, 3), dtype=np.uint8)
    yield "avif of grain", files.encoded(Image.fromarray(grain), "AVIF", speed=10)


def _tiff_of_whole_files(side: int) -> bytes:
    jpeg = files.scan_bomb(scans=500, width=side, height=8).ljust(8_000_000, b"\0")
    return files.tiff(jpeg, side, side, compression=7, rows=1, strips=400_000)


def attack_decoder(settings: Settings) -> float:
    """Decodes bombs as queries; returns the most CPU seconds of one."""
    work = WorkLimit.of(settings.search_max_decode_s)

    def decode(data: bytes) -> str:
        try:
            return str(decode_image(data, max_pixels=settings.search_max_pixels, shorter_side=448, work=work).size)
        except ImageError as error:
            return str(error.reason)

    return _worst("query", decode, side=4_000, counted_s=settings.search_max_decode_s / 2)


def attack_rows(settings: Settings) -> float:
    """Profiles bombs as rows of a delivery; returns the most CPU seconds of one."""
    policy = IngestPolicy.of(Catalog(catalog_id="demo"), settings)

    def profile(data: bytes) -> str:
        verdict = profile_bytes(data, policy=policy).verdict
        return "accepted" if verdict is None else str(verdict.reason)

    return _worst("row", profile, side=7_000, counted_s=settings.image_max_decode_s / 2)


def attack_worker() -> int:
    """Uploads bombs to a running replica as plain forms, beside searches; returns how many of those failed."""
    bodies = dict(bombs(4_000, counted_s=Settings().search_max_decode_s / 2))
    failed = 0
    # A connection for each request: one that threads share may be closed under one of them, by httpcore's own race.
    limits = httpx.Limits(max_keepalive_connections=0)
    with search_tier() as tier, httpx.Client(base_url=tier.replica.url, limits=limits, timeout=60.0) as client:

        def search(_: int) -> int:
            return client.post("/v1/search", json={"item_id": "item/1"}).status_code

        for name in ("jpeg, 500 scans", "bmp in runs, just allowed", "avif"):
            with ThreadPoolExecutor(UPLOADS + 8) as pool:
                began = time.monotonic()
                uploads = [pool.submit(_upload, tier.replica.url, bodies[name]) for _ in range(UPLOADS)]
                others = list(pool.map(search, range(OTHERS)))
                statuses = Counter(upload.result() for upload in uploads)
            bad = sum(status != 200 for status in others)
            failed += bad
            print(
                f"worker: {UPLOADS} uploads of {len(bodies[name]):,} bytes ({name}): {dict(statuses)}; "
                f"{bad} of {OTHERS} searches failed, in {time.monotonic() - began:.1f} s",
                flush=True,
            )
    return failed


def _worst(what: str, act: Callable[[bytes], str], *, side: int, counted_s: float) -> float:
    act(files.sound_pictures()["avif"])  # a decoder process is there already
    worst = 0.0
    for name, data in bombs(side, counted_s=counted_s):
        before = _cpu_s()
        outcome = act(data)
        took = _cpu_s() - before
        worst = max(worst, took)
        print(f"{what}: {name:<46} {len(data):>11,} bytes  {took:>6.2f} CPU s  {outcome}", flush=True)
    return worst


def _cpu_s() -> float:
    """CPU seconds of this process, of the children that it has, and of those that ended."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    children = psutil.Process().children()
    return total + sum(cpu_s_in(stat_fields(Path(f"/proc/{child.pid}/stat"))) for child in children)


def _upload(url: str, data: bytes) -> int:
    import httpx

    return httpx.post(f"{url}/v1/search", files={"image": data}, timeout=120, trust_env=False).status_code


def main(arguments: list[str] | None = None) -> int:
    """Runs the attack; returns 1 when a bomb costs more than it may, or a search beside it failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks.scan_bombs", description=__doc__)
    parser.add_argument("--parts", nargs="*", default=["query", "row", "worker"], choices=["query", "row", "worker"])
    parts = parser.parse_args(arguments).parts
    warnings.simplefilter("ignore")
    settings = Settings()
    query_s = attack_decoder(settings) if "query" in parts else 0.0
    row_s = attack_rows(settings) if "row" in parts else 0.0
    failed = attack_worker() if "worker" in parts else 0
    print(
        f"scan_bombs: worst query {query_s:.2f} CPU s (at most {QUERY_S:g}), "
        f"worst row {row_s:.2f} (at most {ROW_S:g}); {failed} searches failed beside them"
    )
    return 1 if query_s > QUERY_S or row_s > ROW_S or failed else 0


if __name__ == "__main__":
    sys.exit(main())
