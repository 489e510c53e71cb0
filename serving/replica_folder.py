"""A replica's folder: how the agent and its worker processes tell each other things.

    lock                   held by the agent while it lives (`serving/process_lock.py`)
    plan.json              what every worker should hold and serve; written by the agent, also the replica's memory
    agent.json             what the agent knows of the ledger
    workers/<index>.json   what each worker holds and serves
    workers/<index>.lock   held by the worker while it lives; notes what it was made of
    workers/<index>.sock   where it lends the listening socket to the next agent
    workers/<index>.pulse  touched while it can answer
    workers/<index>.end    the exception that ended it
    workers/<index>.given-up  why no worker is started there any more; without this file one is
    cache/                 releases as downloaded, checked by SHA-256
    images/                pictures as served, least recently used ones removed
    metrics/               counters of all workers

Files are written beside and renamed, so a reader never sees half of one.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ConfigDict, Field

from vitrine.contracts.document import Document
from vitrine.errors import ContractError
from vitrine.files.whole import replace_file
from vitrine.processes.table import ProcessIdentity

Slot = Literal["blue", "green"]
SlotState = Literal["loading", "ready", "failed"]
SLOTS: tuple[Slot, Slot] = ("blue", "green")

D = TypeVar("D", bound=Document)


def other(slot: Slot) -> Slot:
    """Returns the other slot."""
    return "green" if slot == "blue" else "blue"


class _Note(Document):
    """What one process tells another: a field that a newer version adds stops no older reader."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SlotPlan(_Note):
    """A release to hold in a slot; a higher `attempt` asks for another try after a failure."""

    release_id: str
    attempt: int = 0


class CatalogPlan(_Note):
    """One catalog in the plan: what to hold, and which of it answers."""

    title: str
    description: str
    slots: dict[Slot, SlotPlan]
    live: str | None = None
    generation: int = 0
    activated_at: str = ""
    previous: str | None = None
    pinned: bool = False

    @property
    def live_slot(self) -> Slot | None:
        """The slot whose release answers, or None."""
        return self.slot_of(self.live) if self.live else None

    def slot_of(self, release_id: str) -> Slot | None:
        """The slot that holds a release, or None."""
        return next((slot for slot in SLOTS if slot in self.slots and self.slots[slot].release_id == release_id), None)


class Plan(_Note):
    """What every worker should hold and serve."""

    default_catalog: str
    catalogs: dict[str, CatalogPlan] = Field(default_factory=dict)


class SlotReport(_Note):
    """What a worker's slot holds."""

    release_id: str
    attempt: int
    state: SlotState
    detail: str = ""


class WorkerReport(_Note):
    """What one worker holds and serves."""

    index: int
    pid: int
    started: str = ""
    accepting: bool
    slots: dict[str, dict[Slot, SlotReport]] = Field(default_factory=dict)
    serving: dict[str, str] = Field(default_factory=dict)

    @property
    def identity(self) -> ProcessIdentity:
        """The process that reports."""
        return ProcessIdentity(self.pid, self.started)


class AgentReport(_Note):
    """What the agent knows.

    Attributes:
        live: the ledger's word.
        problems: why a live release is not served.
        replaced: how many workers have ended unasked in this agent's life.
        last_replaced: of which worker that was true last, and how it ended.
        given_up: why no worker is started any more, by place.
    """

    pid: int
    workers: int
    ledger_reachable: bool
    live: dict[str, str] = Field(default_factory=dict)
    problems: dict[str, str] = Field(default_factory=dict)
    replaced: int = 0
    last_replaced: str = ""
    given_up: dict[int, str] = Field(default_factory=dict)


class ReplicaFolder:
    """Paths and documents of one replica."""

    def __init__(self, state_dir: Path, replica_id: str) -> None:
        self.replica_id = replica_id
        self.path = state_dir.absolute() / "replicas" / replica_id
        self.cache = self.path / "cache"
        self.images = self.path / "images"
        self.metrics = self.path / "metrics"
        self.lock = self.path / "lock"
        self._workers = self.path / "workers"
        self._plan = self.path / "plan.json"
        self._agent = self.path / "agent.json"

    def make(self) -> None:
        """Makes the folders; only this user gets into those of the workers, whose sockets lie there."""
        for folder in (self.cache, self.images, self.metrics):
            folder.mkdir(parents=True, exist_ok=True)
        self._workers.mkdir(exist_ok=True)
        self._workers.chmod(0o700)

    def worker_indexes(self) -> list[int]:
        """Returns the index of every worker that ever ran in this folder."""
        return sorted(int(path.stem) for path in self._workers.glob("*.lock") if path.stem.isdigit())

    def worker_lock(self, index: int) -> Path:
        """The lock that a worker holds."""
        return self._workers / f"{index}.lock"

    def worker_socket(self, index: int) -> Path:
        """Where a worker lends the listening socket."""
        return self._workers / f"{index}.sock"

    def worker_pulse(self, index: int) -> Path:
        """What a worker touches while it can answer."""
        return self._workers / f"{index}.pulse"

    def read_plan(self) -> Plan | None:
        """Returns the plan, or None when there is none yet.

        Raises:
            ContractError: the file is not a plan.
        """
        return _read(self._plan, Plan)

    def write_plan(self, plan: Plan) -> None:
        """Replaces the plan; what it was is still there when the power fails meanwhile."""
        replace_file(self._plan, plan.to_bytes())

    def plan_stamp(self) -> tuple[int, int] | None:
        """Returns what changes whenever the plan was replaced."""
        try:
            found = self._plan.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def read_agent(self) -> AgentReport | None:
        """Returns the agent's report, or None."""
        return _read(self._agent, AgentReport)

    def write_agent(self, report: AgentReport) -> None:
        """Replaces the agent's report."""
        replace_file(self._agent, report.to_bytes(), durably=False)

    def read_workers(self) -> list[WorkerReport]:
        """Returns the report of every worker, by index; some may be of workers that have ended."""
        reports = (_read(path, WorkerReport) for path in self._workers.glob("[0-9]*.json"))
        return sorted((report for report in reports if report is not None), key=lambda report: report.index)

    def write_worker(self, report: WorkerReport) -> None:
        """Replaces a worker's report."""
        replace_file(self._workers / f"{report.index}.json", report.to_bytes(), durably=False)

    def forget_worker(self, index: int) -> None:
        """Removes what a worker that has ended left: its report, its pulse and its last words."""
        for name in (f"{index}.json", f"{index}.pulse", f"{index}.end"):
            (self._workers / name).unlink(missing_ok=True)

    def write_last_words(self, index: int, words: str) -> None:
        """Keeps what ends a worker."""
        (self._workers / f"{index}.end").write_text(words, encoding="utf-8")

    def last_words(self, index: int) -> str:
        """Returns what has ended a worker; nothing when a signal did, or when it ended in order."""
        return _text(self._workers / f"{index}.end")

    def give_up(self, index: int, reason: str) -> None:
        """Notes that no worker is started in a place any more, and why."""
        (self._workers / f"{index}.given-up").write_text(reason, encoding="utf-8")

    def given_up(self) -> dict[int, str]:
        """Returns why no worker is started any more, by place."""
        return {int(path.stem): _text(path) for path in self._workers.glob("[0-9]*.given-up")}

    def forget_given_up(self) -> list[int]:
        """Has workers started again in the places that were given up; returns which those are."""
        places = sorted(self.given_up())
        for index in places:
            (self._workers / f"{index}.given-up").unlink(missing_ok=True)
        return places

    def forget_agent(self) -> None:
        """Removes what an agent of an earlier life of this replica reported."""
        self._agent.unlink(missing_ok=True)

    def clear_scratch(self, *, living: Collection[int]) -> None:
        """Removes the halves of files that killed processes left; those of processes that live stay."""
        for path in (*self.path.glob(".*.json.*"), *self._workers.glob(".*.json.*")):
            if path.suffix[1:].isdigit() and int(path.suffix[1:]) not in living:
                path.unlink(missing_ok=True)


def _read(path: Path, kind: type[D]) -> D | None:
    try:
        return kind.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except ContractError as error:
        raise ContractError(f"{path}: {error}; remove the file, the replica writes it again") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
