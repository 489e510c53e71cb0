"""A service is started once, is known again, and ends with all that it started and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploy.local import lifecycle, processes, services, supervisor
from deploy.local.configuration import Configuration, configure
from deploy.local.layout import Layout, write_private
from deploy.local.services import Service
from deploy.local.supervisor import ServiceError
from tests.deploy.test_processes import alive, wait_for_file
from tests.platform_fixture import private_environment
from tests.waiting import wait_for


@pytest.fixture
def configuration(tmp_path: Path) -> Iterator[Configuration]:
    """A platform of which nothing runs; what a test starts ends with it."""
    layout = Layout(tmp_path / "state")
    made = configure(layout, private_environment(layout.state_dir))
    yield made
    mark = made.credentials.mark
    supervisor.stop(layout, mark, supervisor.read_records(layout).values(), grace_s=1)
    supervisor.stop_strays(layout, mark)


def service(code: str, *, ready: bool = True, timeout_s: float = 10.0) -> Service:
    return Service(
        name="tried",
        command=(sys.executable, "-c", code),
        is_ready=lambda _: ready,
        ready_timeout_s=timeout_s,
        reads=("VITRINE_", "AWS_"),
    )


def test_a_started_service_is_recorded_as_the_process_that_it_is(configuration: Configuration) -> None:
    record = supervisor.start(service("import time; time.sleep(300)"), configuration)

    assert supervisor.read_records(configuration.layout) == {"tried": record}
    assert processes.is_alive(record.leader)
    assert (configuration.layout.records / "tried.json").stat().st_mode & 0o777 == 0o600


def test_stopping_ends_children_that_ignore_the_signal_and_children_of_their_own_session(
    configuration: Configuration, tmp_path: Path
) -> None:
    stubborn = (
        "import pathlib, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(300)\n"
    )
    record = supervisor.start(service(stubborn), configuration)
    child = alive(int(wait_for_file(tmp_path / "pid")))
    bystander = subprocess.Popen(["sleep", "300"], cwd=configuration.layout.work)

    killed = supervisor.stop(configuration.layout, configuration.credentials.mark, [record], grace_s=0.5)

    assert killed == 2  # the child inherited the deafness
    assert not processes.is_alive(record.leader)
    assert not processes.is_alive(child)
    assert supervisor.read_records(configuration.layout) == {}
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_stopping_one_service_leaves_the_others_running(configuration: Configuration) -> None:
    first = supervisor.start(service("import time; time.sleep(300)"), configuration)
    other = Service(name="other", command=("sleep", "300"), is_ready=lambda _: True)
    second = supervisor.start(other, configuration)

    supervisor.stop(configuration.layout, configuration.credentials.mark, [first], grace_s=5)

    assert not processes.is_alive(first.leader)
    assert processes.is_alive(second.leader)


def test_a_service_that_ends_while_starting_is_reported_with_the_end_of_its_log(configuration: Configuration) -> None:
    gate = configuration.layout.work / "gate"
    broken = service(
        "import pathlib, sys, time; print('no such index')\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)\n"
        "sys.exit(3)",
        ready=False,
        timeout_s=600,
    )
    record = supervisor.start(broken, configuration)
    gate.touch()

    with pytest.raises(ServiceError, match="tried ended while starting") as caught:
        supervisor.wait_until_ready(broken, record, configuration.layout)

    assert "no such index" in str(caught.value)


def test_a_service_that_never_answers_is_reported_with_its_time_limit(configuration: Configuration) -> None:
    silent = service("import time; time.sleep(300)", ready=False, timeout_s=0.3)
    record = supervisor.start(silent, configuration)

    with pytest.raises(ServiceError, match=r"did not answer within 0 s; its log is .*tried\.log"):
        supervisor.wait_until_ready(silent, record, configuration.layout)


def begun(tried: Service, configuration: Configuration) -> supervisor.Record:
    """Starts a service, and returns once its program runs: only then does its environment show its mark."""
    record = supervisor.start(tried, configuration)
    wait_for_program(record.leader, tried.command)
    return record


def wait_for_program(identity: processes.ProcessIdentity, command: Sequence[str]) -> None:
    wait_for(lambda: processes.command_of(identity) == tuple(command), what=f"{command[0]} as process {identity.pid}")


def test_what_carries_the_mark_without_a_record_is_ended_too(configuration: Configuration) -> None:
    record = begun(service("import time; time.sleep(300)"), configuration)
    (configuration.layout.records / "tried.json").unlink()

    ended = supervisor.stop_strays(configuration.layout, configuration.credentials.mark)

    assert ended == 1
    assert not processes.is_alive(record.leader)


@pytest.mark.parametrize("text", ["", "\0\0\0", "{}", "[]", '{"name": "tried", "leader": []}'])
def test_a_record_that_cannot_be_read_is_none_and_its_service_is_found_by_its_mark(
    configuration: Configuration, text: str
) -> None:
    layout = configuration.layout
    record = begun(service("import time; time.sleep(300)"), configuration)
    (layout.records / "tried.json").write_text(text)

    reported: list[str] = []

    found = supervisor.read_records(layout)
    lifecycle._clear_away(configuration, [service("")], found, reported.append)

    assert found == {}
    assert reported == ["the record of tried cannot be read; 1 processes that bear its mark were ended"]
    assert not processes.is_alive(record.leader)


def test_going_down_removes_a_record_that_cannot_be_read(configuration: Configuration) -> None:
    record = begun(service("import time; time.sleep(300)"), configuration)
    (configuration.layout.records / "tried.json").write_text("")
    reported: list[str] = []

    lifecycle.down(configuration.layout, reported.append)

    assert reported == ["ended 1 processes that were left over"]
    assert not processes.is_alive(record.leader)
    assert not list(configuration.layout.records.iterdir())


def test_what_is_written_reaches_the_disk_before_its_name_does(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configuration.layout.records / "tried.json"
    written: list[tuple[str, bool]] = []

    def note(handle: int) -> None:
        written.append((Path(f"/proc/self/fd/{handle}").read_text(), path.exists()))

    monkeypatch.setattr(os, "fsync", note)

    write_private(path, "whole")

    assert written == [("whole", False)]
    assert path.read_text() == "whole"


def test_a_changed_setting_is_a_reason_to_restart_and_another_terminal_is_not(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = service("pass")
    before = supervisor.specification(tried, configuration)
    monkeypatch.setenv("TERM_SESSION_ID", "another terminal")
    in_another_terminal = supervisor.specification(tried, configuration)
    environment = {**private_environment(configuration.layout.state_dir), "VITRINE_SPARK_MASTER": "local[3]"}
    with_another_setting = supervisor.specification(tried, configure(configuration.layout, environment))

    assert before == in_another_terminal
    assert before != with_another_setting


def test_a_service_gets_the_secrets_that_it_reads_and_no_others(configuration: Configuration, tmp_path: Path) -> None:
    tell = (
        f"import os, json, pathlib; pathlib.Path({str(tmp_path / 'told')!r}).write_text(json.dumps(dict(os.environ)))"
    )
    supervisor.start(service(f"{tell}\nimport time; time.sleep(300)"), configuration)

    told = json.loads(wait_for_file(tmp_path / "told"))

    assert told["VITRINE_S3_SECRET_KEY"] == configuration.credentials.s3_secret_key
    shown = " ".join(told.values())
    for secret in ("airflow_fernet_key", "airflow_jwt_secret", "airflow_database_password"):
        assert getattr(configuration.credentials, secret) not in shown


def test_no_service_but_airflow_holds_airflows_secrets_and_the_servers_hold_no_settings(
    configuration: Configuration,
) -> None:
    handed = {
        one.name: {**configuration.readable(one.reads), **one.variables} for one in services.all_services(configuration)
    }

    def holders(secret: str) -> set[str]:
        return {name for name, variables in handed.items() if any(secret in value for value in variables.values())}

    credentials = configuration.credentials
    airflow = {name for name in handed if name.startswith("airflow-")}
    assert holders(credentials.airflow_jwt_secret) == airflow
    assert holders(credentials.airflow_database_password) == airflow
    assert holders(credentials.mlflow_database_password) == {"mlflow"}
    assert holders(credentials.webhook_secret) == {"airflow-api-server"}
    assert holders(credentials.database_password) == {*airflow, "search"}
    assert holders(credentials.s3_secret_key) == {*airflow, "search", "s3"}
    assert holders(credentials.mlflow_password) == {*airflow, "mlflow"}
    assert holders(credentials.database_admin_password) == set()


def test_what_a_killed_command_had_started_is_found_by_its_mark(configuration: Configuration) -> None:
    command = ["sleep", "300"]
    child = subprocess.Popen(command, env=configuration.service_environment(), start_new_session=True)
    wait_for_program(alive(child.pid), command)

    ended = supervisor.stop_strays(configuration.layout, configuration.credentials.mark)

    assert ended == 1
    assert child.wait(timeout=300) != 0
