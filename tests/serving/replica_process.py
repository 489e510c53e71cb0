"""A real search replica for tests: its own process, its own ledger, ready to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy

from serving.process_lock import lock_holder
from serving.replica_folder import ReplicaFolder
from serving.stopping import stop_replica
from tests.waiting import wait_for
from vitrine.ledger import Ledger
from vitrine.processes.table import ProcessIdentity, is_alive, send
from vitrine.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def new_ledger(postgres_uri: str) -> str:
    """Returns the URL of a migrated ledger of the test's own: a replica serves every catalog that its ledger holds."""
    name = f"t_{uuid.uuid4().hex[:10]}"
    engine = sqlalchemy.create_engine(postgres_uri.format(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    ledger = Ledger(postgres_uri.format(database=name))
    ledger.migrate()
    ledger.close()
    return postgres_uri.format(database=name)


class ReplicaProcess:
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

    def start(self, *, wait: bool = True, **changes: str) -> ReplicaProcess:
        """Starts it; `changes` are settings of this start only."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")}
        environment |= self.settings.to_environment() | {f"VITRINE_{k.upper()}": v for k, v in changes.items()}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving", "run"], cwd=ROOT, env=environment, stdout=log, stderr=log
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

    def kill_agent(self) -> None:
        """Ends the agent with SIGKILL; its workers go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=180)

    def kill(self) -> None:
        """Ends the agent and all workers with SIGKILL."""
        workers = self.workers()
        self.kill_agent()
        for identity in workers.values():
            send(identity, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, workers.values())), what="the end of the workers")

    def workers(self) -> dict[int, ProcessIdentity]:
        """The living workers by index, as the system knows them."""
        folder = ReplicaFolder(self.settings.state_dir, self.settings.replica_id)
        found = {index: lock_holder(folder.worker_lock(index)) for index in folder.worker_indexes()}
        return {index: holder for index, holder in found.items() if holder is not None}

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        """Ends whatever is left of it."""
        if self.is_running():
            self.stop()
        stop_replica(self.settings)
