"""An S3 server and a ledger that live as long as a benchmark, and pictures for it."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.temporary_postgres import temporary_postgres
from vitrine.connections import open_ledger, open_object_store
from vitrine.settings import Settings


@contextmanager
def temporary_platform(tasks: int) -> Iterator[Settings]:
    """Starts an S3 server and a ledger of its own, and yields settings that name them."""
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
    try:
        with temporary_postgres(folder / "pg") as postgres_uri:
            settings = Settings(
                state_dir=folder / "state",
                catalogs_file=folder / "catalogs.yaml",
                bucket="benchmark",
                s3_endpoint_url=f"http://127.0.0.1:{port}",
                s3_access_key=access_key,
                s3_secret_key=secret_key,
                database_url=postgres_uri.format(database="postgres"),
                spark_master=f"local[{tasks}]",
                spark_partitions=tasks,
                fetch_threads=tasks,
            )
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
        shutil.rmtree(folder, ignore_errors=True)


def picture(seed: int, *, side: int) -> bytes:
    """Returns a JPEG with about the detail of a product photograph."""
    noise = np.random.default_rng(seed).integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88)
    return stream.getvalue()
