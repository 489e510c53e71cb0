"""What a worker reports of itself is what is so, whichever of its threads says it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from serving import worker
from serving.replica_folder import Plan, ReplicaFolder, WorkerReport
from serving.worker import _Follower


class _SlowFirstReport(ReplicaFolder):
    """A folder on a disk that is slow once: the first report is written after a while."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir, "slow")
        self.begun = threading.Event()

    def write_worker(self, report: WorkerReport) -> None:
        if not self.begun.is_set():
            self.begun.set()
            threading.Event().wait(0.3)
        super().write_worker(report)


class _SettledSlots:
    """Slots without a release, which follow any plan at once."""

    def step(self, plan: Plan) -> bool:
        return True

    def is_settled(self, plan: Plan) -> bool:
        return True

    def reports(self) -> dict[str, object]:
        return {}

    def serving(self) -> dict[str, str]:
        return {}


def test_a_report_from_before_the_worker_accepts_is_not_written_over_the_one_that_says_so(tmp_path: Path) -> None:
    folder = _SlowFirstReport(tmp_path)
    folder.make()
    folder.write_plan(Plan(default_catalog="demo", catalogs={}))
    follower = _Follower(folder, _SettledSlots(), index=0)
    following = threading.Thread(target=follower.load_what_is_live)
    following.start()
    assert folder.begun.wait(120)

    follower.accept()

    following.join()
    assert [report.accepting for report in folder.read_workers()] == [True]


def test_a_worker_that_fails_leaves_the_reason_to_its_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("VITRINE_REPLICA_ID", "failing")
    folder = ReplicaFolder(tmp_path, "failing")
    folder.path.mkdir(parents=True)
    folder.make()

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room for the index")

    monkeypatch.setattr(worker, "run_worker", fail)
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(MemoryError):
        worker.main(["--index", "0", "--listen-fd", str(listening.fileno())])

    assert folder.last_words(0) == "MemoryError: no room for the index"
