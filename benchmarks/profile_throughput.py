"""What profiling costs beside its decoding: `python -m benchmarks.profile_throughput --images 2000`.

Profiles deliveries of generated pictures by the job, through Spark and in its own process, and by bare loops that
decode and hash the same pictures, in turns, so that a noisy machine is as noisy for all; prints images a second of each
and the ratios. The jobs read pictures from an S3 server on this machine, judge every row, and write packs, listings and
candidate rows. One bare loop has its pictures in memory, the other fetches them from that server once; both have as
many threads as the jobs have tasks, and store nothing. Spark's session is started before.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from benchmarks.temporary_platform import picture, temporary_platform
from spark_jobs.deliveries.recording import read_delivery, record_delivery
from spark_jobs.profiling.job import run_profile_job
from spark_jobs.profiling.perceptual_hash import looks_of
from spark_runtime.session import spark_session
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.connections import open_object_store
from vitrine.identity import sha256_hex
from vitrine.settings import Settings
from vitrine.storage import ObjectStore

CATALOG = "bench"
_SHORTER_SIDE = 128  # what the job decodes pictures to
_ROWS = {"Spark": 0, "in process": 1_000_000}


def main() -> int:
    """Runs the rounds and prints what they found; returns 1 when a ratio is below the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2_000, help="of one round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--side", type=int, default=500, help="of a picture, in pixels (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=2, help="of the job, and threads of the bare loops")
    parser.add_argument("--limit", type=float, default=0.0, help="the least ratio to the fetching loop that passes")
    options = parser.parse_args()
    with temporary_platform(options.tasks) as settings:
        return run(settings, options)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Profiles by Spark, in this process and by the bare loops in turns."""
    declare_catalog(settings.catalogs_file, Catalog(catalog_id=CATALOG))
    store = open_object_store(settings)
    speeds: dict[str, list[float]] = {"Spark": [], "in process": [], "loop in memory": [], "loop from S3": []}
    with spark_session(settings, name="benchmark"):
        for number in range(options.rounds + 1):
            days = {}
            for place, system in enumerate(_ROWS):
                pictures = [
                    picture((2 * number + place) * options.images + row, side=options.side)
                    for row in range(options.images)
                ]
                days[system] = (f"2026-{place + 1:02d}-{number + 1:02d}", pictures)
            for system, (dt, pictures) in days.items():
                delivery_id = _deliver(settings, dt, pictures)
                own = settings.model_copy(update={"spark_in_process_rows": _ROWS[system]})
                profile = run_profile_job(own, catalog_id=CATALOG, dt=dt, delivery_id=delivery_id)
                speeds[system].append(options.images / profile.seconds)
            keys = _image_keys(store, dt, delivery_id)
            speeds["loop in memory"].append(_looped(pictures.__getitem__, options))
            speeds["loop from S3"].append(_looped(lambda row, keys=keys: store.get_bytes(keys[row]), options))
            shown = ", ".join(f"{system} {found[-1]:.0f}" for system, found in speeds.items())
            print(f"{f'round {number}' if number else 'warming up'}: images/s: {shown}", flush=True)
    kept = True
    for system in _ROWS:
        ratios = []
        for loop in ("loop in memory", "loop from S3"):
            pairs = zip(speeds[system][1:], speeds[loop][1:], strict=True)
            ratios.append((loop, statistics.median(own / its for own, its in pairs)))
        kept &= ratios[1][1] >= options.limit
        shown = ", ".join(f"{ratio:.2f} of the {loop}" for loop, ratio in ratios)
        print(
            f"{system}: {statistics.median(speeds[system][1:]):.0f} images/s, {shown} (median of {options.rounds}; "
            f"{options.images} images of {options.side} pixels, {options.tasks} tasks)"
        )
    return int(not kept)


def _deliver(settings: Settings, dt: str, pictures: Sequence[bytes]) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, content in enumerate(pictures):
            (folder / f"{number}.jpg").write_bytes(content)
        rows = [json.dumps({"item_id": f"i{number}", "image_uri": f"{number}.jpg"}) for number in range(len(pictures))]
        (folder / "items.jsonl").write_text("\n".join(rows) + "\n")
        return record_delivery(settings, catalog_id=CATALOG, dt=dt, source=str(folder))


def _image_keys(store: ObjectStore, dt: str, delivery_id: str) -> list[str]:
    delivery = read_delivery(store, catalog_id=CATALOG, dt=dt, delivery_id=delivery_id)
    prefix = delivery.images_base.removeprefix(f"s3://{store.bucket}/").rstrip("/")
    return [key for key in store.list_keys(f"{prefix}/") if key.endswith(".jpg")]


def _looped(content: Callable[[int], bytes], options: argparse.Namespace) -> float:
    def work(row: int) -> str:
        data = content(row)
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (_SHORTER_SIDE, _SHORTER_SIDE))
            return sha256_hex(data) + looks_of(image.convert("RGB")).perceptual_hash

    began = time.monotonic()
    with ThreadPoolExecutor(options.tasks) as pool:
        done = sum(1 for _ in pool.map(work, range(options.images)))
    return done / (time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
