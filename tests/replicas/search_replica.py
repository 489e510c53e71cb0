"""A real search replica for tests: `python -m serving run` in a process of its own, asked over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx

from vitrine.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


class SearchReplica:
    """`python -m serving run`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = f"http://{settings.search_host}:{settings.search_port}"
        self.folder = settings.state_dir / "replicas" / settings.replica_id
        self.log = settings.state_dir / f"{settings.replica_id}.log"
        self._process: subprocess.Popen[bytes] | None = None
        # A connection for each request, so that they meet every worker; certificates would only cost a start's time.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=self.url, timeout=120, limits=limits, verify=False, trust_env=False)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True, **changes: str) -> Self:
        """Starts it; `changes` are settings of this start only."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving", "run"],
                cwd=ROOT,
                env=self._environment(**changes),
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s: float = 600) -> dict[str, Any]:
        """Waits until every worker serves what is live."""
        deadline = time.monotonic() + timeout_s
        found: Any = None
        while time.monotonic() < deadline:
            try:
                response = self._client.get("/readyz")
                found = response.json()
                if response.status_code == 200:
                    return dict(found)
            except (httpx.HTTPError, ValueError) as error:
                found = error
            assert self.is_running(), self.log.read_text()[-6000:]
            time.sleep(0.1)
        raise AssertionError(f"the replica is not ready: {found}\n{self.log.read_text()[-6000:]}")

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        return self._client.get(path, params=parameters)

    def search(self, **body: Any) -> httpx.Response:
        return self._client.post("/v1/search", json=body)

    def stop(self) -> int:
        """Ends it with SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=180)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        """Ends it with its workers, which outlive an agent that died."""
        if self._process is None or (self.is_running() and self.stop() == 0):
            return
        if self._process.returncode != 0:
            subprocess.run(
                [sys.executable, "-m", "serving", "stop"], cwd=ROOT, env=self._environment(), check=True, timeout=180
            )

    def _environment(self, **changes: str) -> dict[str, str]:
        outer = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
        changed = {f"VITRINE_{name.upper()}": value for name, value in changes.items()}
        return outer | self.settings.to_environment() | changed
