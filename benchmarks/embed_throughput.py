"""What embedding costs beside inference: `python -m benchmarks.embed_throughput --images 2000 --encoder vit-b-16`.

Embeds generated pictures by the job, through Spark and in its own process, and by a bare loop over the same engine, in
turns, so that a noisy machine is as noisy for all; prints images a second of each and the ratios. The jobs read packs
from an S3 server on this machine and commit their blocks; the bare loop gets as many threads as they have tasks, its
pictures in memory, and stores nothing. Spark's session is started before. Servers and files are temporary.
"""

from __future__ import annotations

import argparse
import io
import shutil
import statistics
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.temporary_platform import picture, temporary_platform
from spark_jobs.embedding import run_embed_job
from spark_jobs.profiling.packs.image_packs import pack_bytes
from spark_runtime.session import spark_session
from training.bootstrap import ENCODER_FOLDER
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.connections import open_object_store
from vitrine.contracts.datasets import Manifest, PartFile
from vitrine.contracts.items import manifest_items_schema
from vitrine.encoder import fetch_encoder, load_encoder, publish_encoder
from vitrine.head.reader import manifest_key
from vitrine.identity import content_id, sha256_hex
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

CATALOG, IMAGES_A_PACK = "bench", 512


def main() -> int:
    """Runs the rounds and prints what they found; returns 1 when a ratio is below the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512, help="of one round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--side", type=int, default=500, help="of a picture, in pixels (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=2, help="of the job, and threads of the bare loop")
    parser.add_argument("--encoder", default="bootstrap", help="`bootstrap`, `vit-b-16` (random weights), or a folder")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="(default: %(default)s)")
    parser.add_argument("--limit", type=float, default=0.0, help="the least ratio to the bare loop that passes")
    options = parser.parse_args()
    with temporary_platform(options.tasks) as settings:
        folder = encoder_folder(options.encoder, settings.state_dir)
        return run(settings.model_copy(update={"inference_precision": options.precision}), options, folder)


def encoder_folder(name: str, scratch: Path) -> Path:
    """Returns the folder of an encoder, which is made where it is ViT-B/16."""
    if name == "bootstrap":
        return ENCODER_FOLDER
    if name != "vit-b-16":
        return Path(name)
    from benchmarks.training_throughput import write_vit_b_16

    folder = scratch / "vit-b-16"
    shutil.copytree(ENCODER_FOLDER, folder)
    write_vit_b_16(folder)
    return folder


def run(settings: Settings, options: argparse.Namespace, encoder: Path) -> int:
    """Embeds by Spark, in this process and by the bare loop in turns."""
    store = open_object_store(settings)
    declare_catalog(settings.catalogs_file, Catalog(catalog_id=CATALOG))
    fingerprint = publish_encoder(encoder, store)
    bare = load_encoder(
        fetch_encoder(fingerprint, store, settings.state_dir / "bare"),
        engine=settings.inference_engine,
        precision=settings.inference_precision,
        threads=options.tasks,
        batch_size=settings.embed_batch_size,
    )
    speeds: dict[str, list[float]] = {"Spark": [], "in process": [], "bare loop": []}
    rows = {"Spark": 0, "in process": 1_000_000}
    with spark_session(settings, name="benchmark"):
        for number in range(options.rounds + 1):
            for system, found in speeds.items():
                seed = (3 * number + list(speeds).index(system)) * options.images
                pictures = [picture(seed + row, side=options.side) for row in range(options.images)]
                if system == "bare loop":
                    began = time.monotonic()
                    bare.encode_images(pictures)
                    found.append(options.images / (time.monotonic() - began))
                    continue
                dt = f"2026-{rows[system] % 7 + 1:02d}-{number + 1:02d}"
                manifests = {dt: write_day(store, dt, pictures)}
                own = settings.model_copy(update={"spark_in_process_rows": rows[system]})
                summary = run_embed_job(own, catalog_id=CATALOG, fingerprint=fingerprint, manifests=manifests)
                found.append(summary.images_per_s)
            shown = ", ".join(f"{system} {found[-1]:.1f}" for system, found in speeds.items())
            print(f"{f'round {number}' if number else 'encoders loading'}: images/s: {shown}", flush=True)
    loop = speeds.pop("bare loop")[1:]
    kept = True
    for system, found in speeds.items():
        ratio = statistics.median(own / its for own, its in zip(found[1:], loop, strict=True))
        kept &= ratio >= options.limit
        print(
            f"{system}: {statistics.median(found[1:]):.1f} images/s, bare loop {statistics.median(loop):.1f}, ratio "
            f"{ratio:.2f} (median of {options.rounds}; {options.images} images, {options.tasks} tasks, "
            f"{options.encoder}, {bare.engine} {bare.precision})"
        )
    return int(not kept)


def write_day(store: ObjectStore, dt: str, pictures: list[bytes]) -> str:
    """Packs pictures and writes a manifest that names them; returns its id."""
    contents = {sha256_hex(content): content for content in pictures}
    names = sorted(contents)
    rows = []
    for start in range(0, len(names), IMAGES_A_PACK):
        chosen = names[start : start + IMAGES_A_PACK]
        data = pack_bytes(chosen, [contents[name] for name in chosen], rows_per_group=64)
        pack_id = content_id("pack", chosen)
        store.put_bytes(keys.image_pack(CATALOG, pack_id), data)
        for group in range(pq.ParquetFile(io.BytesIO(data)).num_row_groups):
            rows.append({"item_id": f"{pack_id}-{group}", "source_id": pack_id, "row_group": group, "deleted": False})
    schema = manifest_items_schema()
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema=schema), stream)
    manifest_id = content_id("manifest", [dt, names])
    part = PartFile(
        key=f"{keys.manifest_prefix(CATALOG, dt, manifest_id)}/items/part-00000.parquet",
        rows=len(rows),
        sha256=sha256_hex(stream.getvalue()),
    )
    store.put_bytes(part.key, stream.getvalue())
    manifest = Manifest(
        manifest_id=manifest_id,
        catalog_id=CATALOG,
        dt=dt,
        delivery_id="benchmark",
        full=False,
        policy_digest="benchmark",
        space="encoder",
        dimension=None,
        rows_in=len(rows),
        rows_accepted=len(rows),
        rows_rejected=0,
        rows_deleted=0,
        rejected_by_reason={},
        parts=(part,),
        quarantine_parts=(),
    )
    store.put_bytes(manifest_key(CATALOG, dt, manifest_id), manifest.to_bytes())
    return manifest_id


if __name__ == "__main__":
    sys.exit(main())
