"""An S3 server and a ledger that live as long as a benchmark, and pictures for it."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.temporary_postgres import temporary_postgres
from benchmarks.temporary_s3 import temporary_s3
from vitrine.connections import open_ledger, open_object_store
from vitrine.settings import Settings


@contextmanager
def temporary_platform(tasks: int) -> Iterator[Settings]:
    """Starts an S3 server and a ledger of its own, and yields settings that name them."""
    from tests.free_ports import free_port

    # A short folder: the path of a Unix socket ends at 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="vtbench-"))
    try:
        with (
            temporary_s3(folder / "s3", port=free_port(), log=folder / "rclone.log") as s3,
            temporary_postgres(folder / "pg") as postgres_uri,
        ):
            settings = Settings(
                state_dir=folder / "state",
                catalogs_file=folder / "catalogs.yaml",
                bucket="benchmark",
                s3_endpoint_url=s3["endpoint_url"],
                s3_access_key=s3["access_key"],
                s3_secret_key=s3["secret_key"],
                database_url=postgres_uri.format(database="postgres"),
                spark_master=f"local[{tasks}]",
                spark_partitions=tasks,
                fetch_threads=tasks,
            )
            open_object_store(settings).ensure_bucket()
            ledger = open_ledger(settings)
            ledger.migrate()
            ledger.close()
            yield settings
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def picture(seed: int, *, side: int) -> bytes:
    """Returns a JPEG with about the detail of a product photograph."""
    noise = np.random.default_rng(seed).integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return stream.getvalue()
