"""What answers at a replica's address and is no replica fails the check in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vitrine.contracts.releases import Release
from vitrine.errors import ReleaseError
from vitrine.releases.replica_checks import check_replica


@pytest.fixture
def stranger() -> Iterator[str]:
    """A server of something else, which answers everything with a JSON list."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_an_answer_that_is_no_object_fails_the_check(stranger: str) -> None:
    release = Release.model_construct(catalog_id="demo", release_id="r1")

    with pytest.raises(ReleaseError, match=r"GET .*/readyz: expected a JSON object, found '\[\]'"):
        check_replica(stranger, release, [])
