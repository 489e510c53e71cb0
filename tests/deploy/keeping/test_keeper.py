"""The keeper brings back what dies and what hangs, leaves alone what is healthy, and stops at a crash loop."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import processes, supervisor
from deploy.local.configuration import Configuration, configure, write_env_file
from deploy.local.keeping import wish
from deploy.local.keeping.charge import Charge, clear_away
from deploy.local.keeping.hangs import Patience, Silence
from deploy.local.keeping.history import History, read_history
from deploy.local.keeping.keeper import Keeper
from deploy.local.keeping.observer import Observer
from deploy.local.layout import Layout
from deploy.local.probes import is_port_taken
from deploy.local.processes import ProcessIdentity
from deploy.local.records import write_record
from deploy.local.services import Service
from deploy.local.supervisor import Record, ServiceError
from tests.deploy.test_processes import alive, wait_for_file
from tests.free_ports import free_port
from tests.platform_fixture import private_environment
from tests.waiting import is_gone, wait_for
from vitrine.processes.crash_loops import Death, Limits

WAIT = "import time; time.sleep(300)"
# A server in a child: the leader's death leaves it on the port.
SERVE_IN_A_CHILD = """
import pathlib, subprocess, sys, time
serve = (
    "import socket, time; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1);"
    "s.bind(('127.0.0.1', {port})); s.listen(); time.sleep(300)"
)
child = subprocess.Popen([sys.executable, "-c", serve])
with open({path!r}, "a") as told: told.write(f"{{child.pid}} ")
child.wait()
"""
QUICK = Limits(calm_s=30.0, first_pause_s=0.01, short_lives=3)
IMPATIENT = Patience(suspended_s=0.1, idle_s=0.5, busy_s=5.0, least_questions=3)

RunKeeper = Callable[..., Keeper]


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[Configuration]:
    """A platform that a person wants to run; what a test starts ends with it."""
    layout = Layout(tmp_path / "state")
    made = configure(layout, private_environment(layout.state_dir))
    write_env_file(made)
    wish.write_up(layout)
    yield made
    wish.write_down(layout)
    supervisor.stop(layout, made.credentials.mark, supervisor.read_records(layout).values(), grace_s=1)
    supervisor.stop_strays(layout, made.credentials.mark)


@pytest.fixture
def keep(configuration: Configuration) -> Iterator[RunKeeper]:
    """Runs a keeper of these services in this process."""
    running: list[tuple[Keeper, threading.Thread]] = []

    def run(*kept: Service) -> Keeper:
        keeper = Keeper(configuration.layout, lambda _: kept, limits=QUICK, patience=IMPATIENT)
        thread = threading.Thread(target=keeper.run)
        thread.start()
        running.append((keeper, thread))
        return keeper

    yield run
    for keeper, thread in running:
        keeper.end()
        thread.join()


def service(name: str, code: str = WAIT, **changes: object) -> Service:
    made = Service(name=name, command=(sys.executable, "-c", code), is_ready=lambda _: True, ready_timeout_s=10.0)
    return replace(made, **changes)


def kill(record: Record) -> None:
    os.kill(record.leader.pid, signal.SIGKILL)


def successor(configuration: Configuration, before: Record) -> Record:
    """Waits for the process that follows a service's leader."""

    def look() -> Record | None:
        record = supervisor.read_record(configuration.layout, before.name)
        return record if record is not None and record != before and processes.is_alive(record.leader) else None

    return wait_for(look, what=f"another process of {before.name}", timeout_s=120)


def test_a_killed_service_comes_back_and_no_other_is_touched(configuration: Configuration, keep: RunKeeper) -> None:
    killed, other = service("killed"), service("other")
    before, untouched = supervisor.start(killed, configuration), supervisor.start(other, configuration)
    keep(killed, other)

    kill(before)

    after = successor(configuration, before)
    assert after.specification == before.specification
    assert supervisor.read_record(configuration.layout, "other") == untouched
    history = read_history(configuration.layout, "killed")
    assert (history.restarts, history.gave_up) == (1, None)
    assert history.last_reason.startswith("ended")


def test_a_service_that_comes_back_gets_the_environment_that_it_had(
    configuration: Configuration, keep: RunKeeper, tmp_path: Path
) -> None:
    tell = f"import json, os, pathlib; pathlib.Path({str(tmp_path)!r}, str(os.getpid())).write_text('\\n'.join("
    tell += f"sorted(f'{{n}}={{v}}' for n, v in os.environ.items()))); {WAIT}"
    told = service("told", tell, reads=("VITRINE_", "AWS_"))
    before = supervisor.start(told, configuration)
    first = wait_for_file(tmp_path / str(before.leader.pid))
    keep(told)

    kill(before)

    after = successor(configuration, before)
    assert wait_for_file(tmp_path / str(after.leader.pid)) == first


def test_what_a_dead_leader_left_on_the_port_is_ended_first(
    configuration: Configuration, keep: RunKeeper, tmp_path: Path
) -> None:
    port, path = free_port(), tmp_path / "children"
    serving = service("serving", SERVE_IN_A_CHILD.format(port=port, path=str(path)), port=port)
    before = supervisor.start(serving, configuration)
    wait_for(lambda: is_port_taken(port), what="the server", timeout_s=60)
    orphan = alive(int(wait_for_file(path)))
    keep(serving)

    kill(before)

    successor(configuration, before)
    wait_for(lambda: len(path.read_text().split()) == 2 and is_port_taken(port), what="the next server", timeout_s=60)
    assert not processes.is_alive(orphan)


def test_survivors_that_the_next_leader_takes_over_are_left_alone(
    configuration: Configuration, keep: RunKeeper, tmp_path: Path
) -> None:
    path = tmp_path / "children"
    leading = service(
        "leading",
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        f"with open({str(path)!r}, 'a') as told: told.write(f'{{child.pid}} ')\n"
        "child.wait()",
        survivors_are_adopted=True,
    )
    before = supervisor.start(leading, configuration)
    survivor = alive(int(wait_for_file(path)))
    keep(leading)

    kill(before)

    successor(configuration, before)
    wait_for(lambda: len(path.read_text().split()) == 2, what="the next leader's child", timeout_s=60)
    assert processes.is_alive(survivor)


def test_a_suspended_service_is_told_to_go_on_and_not_started_again(
    configuration: Configuration, keep: RunKeeper
) -> None:
    held = service("held")
    record = supervisor.start(held, configuration)
    keep(held)

    os.kill(record.leader.pid, signal.SIGSTOP)
    wait_for(lambda: read_history(configuration.layout, "held").continued, what="a continuation", timeout_s=60)

    wait_for(lambda: not processes.suspended([record.leader]), what="the service going on", timeout_s=60)
    assert supervisor.read_record(configuration.layout, "held") == record
    assert "SIGSTOP" in read_history(configuration.layout, "held").last_reason


@pytest.mark.parametrize("answers", [False, True], ids=["and is silent", "and answers"])
def test_a_service_whose_child_is_suspended_is_told_to_go_on(
    configuration: Configuration, keep: RunKeeper, tmp_path: Path, answers: bool
) -> None:
    path = tmp_path / "child"
    code = (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        f"open({str(path)!r}, 'w').write(str(child.pid))\n"
        "child.wait()"
    )
    child: list[ProcessIdentity] = []
    held = service("held", code, is_ready=lambda _: answers or not processes.suspended(child))
    record = supervisor.start(held, configuration)
    child.append(alive(int(wait_for_file(path))))
    keep(held)

    os.kill(child[0].pid, signal.SIGSTOP)
    wait_for(lambda: read_history(configuration.layout, "held").continued, what="a continuation", timeout_s=60)

    wait_for(lambda: not processes.suspended(child), what="the child going on", timeout_s=60)
    assert supervisor.read_record(configuration.layout, "held") == record


def test_a_service_that_hangs_is_ended_and_started_again(configuration: Configuration, keep: RunKeeper) -> None:
    port, has_answered = free_port(), threading.Event()
    code = (
        "import socket, time\n"
        "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        f"s.bind(('127.0.0.1', {port})); s.listen()\n"
        "s.accept()[0].send(b'yes')\n"  # answers once, and never again
        "time.sleep(300)"
    )

    def answers(_: float) -> bool:
        with socket.socket() as asking:
            asking.settimeout(0.2 if has_answered.is_set() else 300.0)  # it says yes once, however late
            try:
                asking.connect(("127.0.0.1", port))
                said = asking.recv(3)
            except OSError:
                return False
        if said == b"yes":
            has_answered.set()
        return said == b"yes"

    hanging = service("hanging", code, is_ready=answers)
    before = supervisor.start(hanging, configuration)
    keep(hanging)

    after = successor(configuration, before)

    assert is_gone(before.leader.pid)
    assert after.leader != before.leader
    assert "did not answer" in read_history(configuration.layout, "hanging").last_reason


def test_of_a_hanging_leader_whose_survivors_are_adopted_only_the_leader_is_ended(
    configuration: Configuration, keep: RunKeeper, tmp_path: Path
) -> None:
    path, is_hanging, answered = tmp_path / "children", tmp_path / "hanging", threading.Event()
    code = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        f"open({str(path)!r}, 'a').write(f'{{child.pid}} ')\n"
        "time.sleep(300)"
    )
    leading = service(
        "leading", code, survivors_are_adopted=True, is_ready=lambda _: answered.set() or not is_hanging.exists()
    )
    before = supervisor.start(leading, configuration)
    survivor = alive(int(wait_for_file(path)))
    keep(leading)
    answered.wait()

    is_hanging.touch()

    successor(configuration, before)
    assert processes.is_alive(survivor)


def test_a_crash_loop_stops_with_its_reason(configuration: Configuration, keep: RunKeeper, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    record = configuration.layout.records / "looping.json"
    code = (
        "import json, os, pathlib, time\n"
        f"record = pathlib.Path({str(record)!r})\n"
        # What ends before it was recorded has not started, and is told otherwise.
        "def is_recorded(): return json.loads(record.read_text())['leader']['pid'] == os.getpid()\n"
        "while not (record.exists() and is_recorded()): time.sleep(0.01)\n"
        f"open({str(starts)!r}, 'a').write('x'); print('no such index: shoes', flush=True); raise SystemExit(3)"
    )
    looping = service("looping", code, is_ready=lambda _: False)
    keep(looping)
    supervisor.start(service("looping", WAIT), configuration)
    kill(supervisor.read_records(configuration.layout)["looping"])

    history = wait_for(
        lambda: (found := read_history(configuration.layout, "looping")).gave_up and found, what="the end of the loop"
    )

    assert "3 times in a row" in str(history.gave_up)
    assert "no such index: shoes" in str(history.gave_up)
    assert len(starts.read_text()) == history.restarts == 2


def test_a_service_waits_for_what_it_needs_and_its_death_meanwhile_counts_for_nothing(
    configuration: Configuration, keep: RunKeeper, tmp_path: Path
) -> None:
    is_back = tmp_path / "back"
    needed = service("needed", is_ready=lambda _: is_back.exists())
    needing = service("needing", needs=("needed",))
    supervisor.start(needed, configuration)
    before = supervisor.start(needing, configuration)
    keep(needed, needing)
    kill(before)
    wait_for(lambda: read_history(configuration.layout, "needing").deaths, what="the noted death", timeout_s=60)
    while_away = supervisor.read_record(configuration.layout, "needing")

    is_back.touch()

    successor(configuration, before)
    assert while_away == before
    assert [death.is_excused for death in read_history(configuration.layout, "needing").deaths] == [True]


@pytest.mark.parametrize("hindrance", ["down", "busy"])
def test_nothing_comes_back_after_make_down_or_beside_another_command(
    configuration: Configuration, hindrance: str
) -> None:
    kept = service("kept")
    record = supervisor.start(kept, configuration)
    kill(record)
    wait_for(lambda: is_gone(record.leader.pid), what="the end of the killed process")
    charge = Charge(
        "kept", configuration.layout, limits=QUICK, patience=IMPATIENT, ended=threading.Event(), charges=dict
    )

    if hindrance == "down":
        wish.write_down(configuration.layout)
        charge.round(kept, configuration)
    else:
        with wish.alone(configuration.layout, report=lambda _: None):
            charge.round(kept, configuration)

    assert supervisor.read_record(configuration.layout, "kept") == record
    assert read_history(configuration.layout, "kept") == History()


def test_two_keepers_bring_a_service_back_once_and_the_second_goes_on_where_the_first_was(
    configuration: Configuration,
) -> None:
    kept, layout = service("kept"), configuration.layout
    before = supervisor.start(kept, configuration)
    kill(before)
    wait_for(lambda: is_gone(before.leader.pid), what="the end of the killed process")
    ended = threading.Event()
    first, second = (
        Charge("kept", layout, limits=Limits(), patience=IMPATIENT, ended=ended, charges=dict) for _ in range(2)
    )
    first.round(kept, configuration)  # notes the death and waits, for a life this short

    wait_for(lambda: second.round(kept, configuration) or read_history(layout, "kept").restarts, what="a restart")

    assert len(read_history(layout, "kept").deaths) == 1


def test_pauses_grow_with_short_lives_and_a_long_life_ends_them() -> None:
    history, pauses = History(), []
    for lived_s in (0.0, 1.0, 2.0, 500.0, 3.0):
        now = 1000.0 + 600 * len(pauses)
        death = Death(at=now, lived_s=lived_s, is_excused=False)
        history = history.with_death(death, dead="", reason="ended", limits=Limits())
        pauses.append(history.next_at - now)

    assert pauses == [1.0, 2.0, 4.0, 0.0, 1.0]
    assert history.gave_up is None


def test_a_slow_loop_is_given_up_too() -> None:
    history, deaths = History(), 0
    while history.gave_up is None:
        deaths += 1
        death = Death(at=deaths * 100.0, lived_s=90.0, is_excused=False)
        history = history.with_death(death, dead="", reason="ended", limits=Limits())

    assert deaths == 20
    assert "within an hour" in history.gave_up


def test_a_service_that_works_is_given_more_time_than_one_that_does_nothing() -> None:
    idle, working = Silence(Patience()), Silence(Patience())
    ends: dict[str, int] = {}

    for second in range(0, 1000, 5):
        if idle.unanswered(now=second, cpu_s=7.0):
            ends.setdefault("idle", second)
        if working.unanswered(now=second, cpu_s=7.0 + second / 10):
            ends.setdefault("working", second)

    assert ends == {"idle": 60, "working": 600}


def test_a_keeper_that_asked_seldom_blames_nobody() -> None:
    starved = Silence(Patience())

    verdicts = [starved.unanswered(now=now, cpu_s=1.0) for now in (0.0, 300.0, 900.0)]

    assert verdicts == [None, None, None]


def test_an_answer_ends_the_silence() -> None:
    silence = Silence(Patience())
    for second in range(0, 60, 5):
        silence.unanswered(now=float(second), cpu_s=1.0)

    silence.answered()

    assert silence.unanswered(now=61.0, cpu_s=1.0) is None


def test_a_history_survives_its_keeper(configuration: Configuration) -> None:
    from deploy.local.keeping.history import write_history

    death = Death(at=time.time(), lived_s=3.0, is_excused=True)
    history = History().with_death(death, dead="1 boot:2", reason="ended", limits=Limits()).with_restart()

    write_history(configuration.layout, "kept", history)

    assert read_history(configuration.layout, "kept") == history


def test_a_start_that_fails_is_a_short_life_however_long_the_one_before_was(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, layout = service("kept"), configuration.layout
    before = supervisor.start(kept, configuration)
    before = replace(before, started_at=before.started_at - 7_200)
    write_record(layout, before)
    limits = Limits(first_pause_s=0.01, short_lives=3)
    charge = Charge("kept", layout, limits=limits, patience=IMPATIENT, ended=threading.Event(), charges=dict)
    charge.round(kept, configuration)  # it answers

    def fail(*_: object) -> Record:
        raise ServiceError("no room for another process")

    monkeypatch.setattr(supervisor, "start", fail)
    kill(before)
    wait_for(lambda: is_gone(before.leader.pid), what="the end of the killed process")

    wait_for(lambda: charge.round(kept, configuration) or read_history(layout, "kept").gave_up, what="the end")

    history = read_history(layout, "kept")
    long, *short = [death.lived_s for death in history.deaths]
    assert long > 7_000
    assert short == [0.0, 0.0, 0.0]
    assert str(history.gave_up).endswith("no room for another process")
    assert history.restarts == 0


def test_a_leader_that_stands_in_no_record_makes_room_for_the_next_and_its_survivors_stay(
    configuration: Configuration, tmp_path: Path
) -> None:
    path, layout = tmp_path / "child", configuration.layout
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], start_new_session=True)\n"
        f"open({str(path)!r}, 'w').write(str(child.pid))\n"
        "child.wait()"
    )
    leading = service("leading", code, survivors_are_adopted=True)
    recorded = supervisor.start(leading, configuration)
    kill(recorded)
    wait_for(lambda: is_gone(recorded.leader.pid), what="the end of the killed process")
    path.unlink(missing_ok=True)
    stray = supervisor.start(leading, configuration)
    survivor = alive(int(wait_for_file(path)))
    write_record(layout, recorded)  # whoever started the stray was killed before writing its record

    clear_away(leading, recorded, configuration)

    assert not processes.is_alive(stray.leader)
    assert processes.is_alive(survivor)


def test_a_hanging_leader_is_found_though_the_survivors_work(configuration: Configuration, tmp_path: Path) -> None:
    path = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'while True: pass'], start_new_session=True)\n"
        f"open({str(path)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(300)"
    )
    hanging = service("hanging", code, survivors_are_adopted=True, is_ready=lambda _: False, ready_timeout_s=0.0)
    record = supervisor.start(hanging, configuration)
    wait_for_file(path)
    observer = Observer(record, Patience(idle_s=1.0, busy_s=1e9, least_questions=3, idle_share=0.2))

    reason = wait_for(lambda: observer.look(hanging, configuration).hangs, what="the verdict", timeout_s=300)

    assert "did nothing for the last" in reason


@pytest.mark.parametrize("was_ready", [True, False])
@pytest.mark.parametrize("is_seen", [True, False], ids=["seen at work", "only by its CPU time"])
def test_a_service_that_worked_and_then_does_nothing_hangs_from_then_on(was_ready: bool, is_seen: bool) -> None:
    """It is loading for 100 s, and waits for ever after; nobody may be patient with it for what it did before."""
    silence, ends, used_s = Silence(Patience()), list[int](), 0.0
    for second in range(0, 300, 5):
        works = second < 100
        used_s += 2.0 if works and not is_seen else 0.01
        if silence.unanswered(now=second, cpu_s=used_s, wants_to_work=works and is_seen, was_ready=was_ready):
            ends.append(second)

    assert 155 <= ends[0] <= 160


def test_a_service_that_works_on_its_first_answer_is_not_begun_again() -> None:
    starting = Silence(Patience())
    verdicts = [
        starting.unanswered(now=now, cpu_s=now / 10, was_ready=False) for now in map(float, range(0, 9_000, 60))
    ]

    assert set(verdicts) == {None}
