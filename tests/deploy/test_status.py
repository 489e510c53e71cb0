"""What `make status` says of services that are not as they should be, and how it ends."""

from __future__ import annotations

import datetime
import io
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.local import services, summary, supervisor
from deploy.local.configuration import Configuration, configure, write_env_file
from deploy.local.keeping.history import History
from deploy.local.layout import Layout
from deploy.local.processes import identify
from deploy.local.records import Record, write_record
from deploy.local.service_states import PlatformState, ServiceState, read_states
from serving.replica_folder import AgentReport, ReplicaFolder
from tests.platform_fixture import private_environment
from tests.waiting import suspend
from vitrine.ledger import LivePointer

READY = ServiceState(
    name="s3", word="ready", detail="", pid=1, process_count=1, memory_bytes=1, url=None, history=History()
)


def configuration_in(folder: Path) -> Configuration:
    layout = Layout(folder / "state")
    return configure(layout, private_environment(layout.state_dir))


def said(configuration: Configuration, *states: ServiceState, is_wanted: bool = True) -> str:
    written = io.StringIO()
    state = PlatformState(services=states, is_wanted=is_wanted)
    summary.print_status(configuration, state, Console(file=written, width=160))
    return written.getvalue()


def test_a_service_that_was_given_up_is_shown_with_its_reason_and_its_restarts(tmp_path: Path) -> None:
    history = History(
        restarts=5, last_at=1_764_500_000.0, last_reason="ended; no such index", gave_up="it ended 6 times"
    )
    looping = replace(
        READY, name="search", word="gave up", detail="it ended 6 times; fix it", pid=None, history=history
    )

    text = said(configuration_in(tmp_path), READY, looping)

    assert "search: gave up, it ended 6 times" in text
    assert "search: started again 5 times, last at 2025-11-30" in text
    assert "no such index" in text
    assert "s3:" not in text


def test_a_pin_reason_is_shown_as_it_was_written_and_does_nothing_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = LivePointer(
        catalog_id="shop",
        release_id="release-1",
        previous_release_id=None,
        generation=1,
        head_sequence=1,
        action="release",
        verified_generation=1,
        pinned=True,
        pin_reason="until [/monday] \x1b[2J",
        previous_pinned=False,
        previous_pin_reason="",
        activated_at=datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
    )
    monkeypatch.setattr(summary, "_live_pointers", lambda _: {"shop": pointer})

    text = said(configuration_in(tmp_path), replace(READY, name="postgres"))

    assert r"pinned: until [/monday] \x1b[2J); not served" in text


def test_a_platform_whose_keepers_are_both_dead_says_what_to_do(tmp_path: Path) -> None:
    keepers = [replace(READY, name=name, word="stopped", pid=None, process_count=0) for name in services.KEEPERS]

    text = said(configuration_in(tmp_path), READY, *keepers)

    assert "nobody brings back what dies" in text
    assert "`make up`" in text


def test_the_status_succeeds_when_everything_is_as_a_person_wants_it() -> None:
    stopped = replace(READY, word="stopped", pid=None, process_count=0)
    left = replace(stopped, process_count=2)

    assert PlatformState(services=(READY,), is_wanted=True).is_as_wanted
    assert PlatformState(services=(stopped,), is_wanted=False).is_as_wanted
    assert not PlatformState(services=(READY, stopped), is_wanted=True).is_as_wanted
    assert not PlatformState(services=(READY,), is_wanted=False).is_as_wanted
    assert not PlatformState(services=(left,), is_wanted=False).is_as_wanted


def test_services_that_were_never_started_are_stopped(tmp_path: Path) -> None:
    configuration = configuration_in(tmp_path)
    write_env_file(configuration)

    state = read_states(configuration.layout, {})

    assert {service.word for service in state.services} == {"stopped"}
    assert state.is_as_wanted


def _platform_whose_agent_tells(tmp_path: Path, **told: Any) -> Configuration:
    configuration = configuration_in(tmp_path)
    write_env_file(configuration)
    folder = ReplicaFolder(configuration.layout.state_dir, configuration.settings.replica_id)
    folder.make()
    folder.write_agent(AgentReport(pid=1, workers=2, ledger_reachable=True, **told))
    return configuration


def _let_this_process_lead_search(monkeypatch: pytest.MonkeyPatch) -> None:
    leader = identify(os.getpid())
    assert leader is not None
    record = Record(name="search", leader=leader, specification="", started_at=0.0, stop_signal=15, port=None)
    monkeypatch.setattr(supervisor, "read_record", lambda _, name: record if name == "search" else None)


def test_workers_that_the_search_agent_replaced_are_told_of_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = "2026-11-30 18:00:00: worker 1 (process 77) ended with status -9 after 40 s"
    configuration = _platform_whose_agent_tells(tmp_path, replaced=2, last_replaced=last)

    down = said(configuration, *read_states(configuration.layout, {}).services)
    _let_this_process_lead_search(monkeypatch)
    up = said(configuration, *read_states(configuration.layout, {}).services)

    assert "replaced" not in down
    assert f"search: 2 workers replaced, last at {last}" in up


def test_a_worker_that_the_search_agent_gave_up_is_told_of_with_the_reason_and_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = _platform_whose_agent_tells(tmp_path, given_up={1: "it ended 10 times in a row"})
    _let_this_process_lead_search(monkeypatch)

    up = said(configuration, *read_states(configuration.layout, {}).services)

    assert "search: worker 1 was given up: it ended 10 times in a row; fix the cause, then `make up`" in up


def test_a_service_of_which_a_signal_holds_a_child_is_suspended_though_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = configuration_in(tmp_path)
    write_env_file(configuration)
    code = "import subprocess; child = subprocess.Popen(['sleep', '300']); print(child.pid, flush=True); child.wait()"
    leading = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert leading.stdout is not None
    child = int(leading.stdout.readline())
    leader = identify(leading.pid)
    assert leader is not None
    record = Record(name="s3", leader=leader, specification="", started_at=0.0, stop_signal=15, port=None)
    write_record(configuration.layout, record)
    monkeypatch.setattr(services, "answers_http", lambda *_, **__: True)

    try:
        suspend(child)
        (found,) = (state for state in read_states(configuration.layout, {}).services if state.name == "s3")
    finally:
        os.kill(child, signal.SIGKILL)
        leading.communicate()

    assert (found.word, found.detail) == ("suspended", f"a signal (SIGSTOP) holds process {child}")
