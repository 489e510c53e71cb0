"""An S3 server for as long as a benchmark or the tests need one: rclone's, on the loopback interface."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_S = 600.0
_END_S = 120.0
_TOLD = 4_000  # characters of the log's end


@contextmanager
def temporary_s3(folder: Path, *, port: int, log: Path) -> Iterator[dict[str, str]]:
    """Runs a server over a folder, with keys of its own.

    Args:
        folder: of the buckets; made when it is not there, and left.
        port: of the loopback interface, on which nothing listens.
        log: what the server says.

    Yields:
        The arguments of an `ObjectStore`: `endpoint_url`, `access_key` and `secret_key`.

    Raises:
        RuntimeError: it does not start; the message holds the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"access_key": "test" + secrets.token_hex(6), "secret_key": secrets.token_hex(16)}
    rclone = shutil.which("rclone") or str(Path(sys.executable).with_name("rclone"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [rclone, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--config", "/dev/null"],
            env={**os.environ, "RCLONE_AUTH_KEY": f'"{keys["access_key"]},{keys["secret_key"]}"'},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_port(port, process, log=log)
        yield {"endpoint_url": f"http://127.0.0.1:{port}", **keys}
    finally:
        process.terminate()
        process.wait(timeout=_END_S)


def wait_for_port(port: int, process: subprocess.Popen[bytes], *, log: Path, timeout_s: float = _START_S) -> None:
    """Waits until a process listens on a port.

    Raises:
        RuntimeError: it ended, or does not within `timeout_s`; the message holds the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    ended = "nothing" if process.poll() is None else f"its end with status {process.returncode}"
    told = log.read_text(encoding="utf-8", errors="replace")[-_TOLD:]
    raise RuntimeError(f"expected a server on port {port} within {timeout_s:.0f} s, found {ended}\n{log}:\n{told}")
