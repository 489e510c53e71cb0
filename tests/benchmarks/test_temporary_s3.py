"""A temporary S3 server answers to its own keys, ends with its block, and says why it does not start."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from benchmarks.temporary_s3 import temporary_s3, wait_for_port
from tests.free_ports import free_port
from vitrine.storage import ObjectStore


def test_what_is_stored_in_the_block_lies_in_the_folder_and_the_server_ends_with_it(tmp_path: Path) -> None:
    port = free_port()

    with temporary_s3(tmp_path / "s3", port=port, log=tmp_path / "log") as server:
        store = ObjectStore("bucket", **server)
        store.ensure_bucket()
        store.put_bytes("name", b"content")

    assert (tmp_path / "s3" / "bucket" / "name").read_bytes() == b"content"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_server_that_ends_before_it_listens_is_an_error_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(["sh", "-c", "echo no such folder; exit 3"], stdout=output)

    with pytest.raises(RuntimeError, match=r"found its end with status 3(.|\n)*no such folder"):
        wait_for_port(free_port(), process, log=log)
