"""The whole platform: who listens where, what a second start does, what one service's end does."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from benchmarks.service_drill.trials import ENDS_WITHOUT_POSTGRES
from deploy.local import keeper_pulse as pulse
from deploy.local import lifecycle, postgres, processes, services, supervisor
from deploy.local.configuration import POOLS
from deploy.local.keeping import observer, wish
from deploy.local.keeping.hangs import Patience
from deploy.local.keeping.history import read_history
from deploy.local.layout import Layout
from deploy.local.mlflow_api import MlflowApi
from deploy.local.probes import answers_http
from deploy.local.promotion_webhook import register_webhook
from deploy.local.service_states import PlatformState, read_states
from deploy.local.supervisor import Record
from serving.replica_folder import ReplicaFolder
from tests.platform_fixture import Platform, private_environment
from tests.waiting import suspend, wait_for
from vitrine.connections import open_ledger
from vitrine.settings import Settings

LOOPBACK = "0100007F"  # 127.0.0.1 as /proc/net/tcp writes it
LISTEN = "0A"

HTTP_TIMEOUT_S = 120.0

pytestmark = pytest.mark.timeout(3000)  # the first of them starts the platform


def listening_addresses(pids: set[int]) -> set[tuple[str, int]]:
    """Returns (address as the kernel writes it, port) of each TCP socket on which these processes listen."""
    inodes = set()
    for pid in pids:
        try:
            handles = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:  # the processes that parse DAG files come and go
            continue
        for handle in handles:
            try:
                inodes.add(str(handle.readlink()))
            except OSError:
                continue
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and f"socket:[{fields[9]}]" in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def test_every_service_listens_on_loopback_only(platform: Platform) -> None:
    configuration = platform.configuration
    ours = processes.find_ours([], mark=configuration.credentials.mark, state_dir=configuration.layout.state_dir)
    ours |= {
        identity
        for record in supervisor.read_records(configuration.layout).values()
        for identity in supervisor.find_processes(configuration.layout, configuration.credentials.mark, record)
    }

    listening = listening_addresses({identity.pid for identity in ours})

    settings = platform.settings
    assert {address for address, _ in listening} == {LOOPBACK}
    expected = {settings.search_port, settings.airflow_port, settings.mlflow_port, settings.s3_port}
    assert {port for _, port in listening} == expected


def test_make_up_has_given_up_search_workers_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path / "state")
    layout.make()
    folder = ReplicaFolder(layout.state_dir, Settings.from_environment({}).replica_id)
    folder.path.mkdir(parents=True)
    folder.make()
    folder.give_up(1, "it ended 10 times in a row")
    monkeypatch.setattr(services, "all_services", lambda _: ())
    monkeypatch.setattr(lifecycle, "_start", lambda *_: None)
    said: list[str] = []

    lifecycle.up(layout, private_environment(layout.state_dir), report=said.append)

    assert folder.given_up() == {}
    assert said == ["search worker 1, which was given up, is tried again", "everything is running"]


@pytest.fixture
def every_service(platform: Platform) -> None:
    """Waits for every service: Airflow notices late that an earlier test took its database away."""
    whole_state(platform)


def whole_state(platform: Platform) -> PlatformState:
    """The state of all services, once each is as wanted."""
    layout = platform.configuration.layout
    return wait_for(
        lambda: (state := read_states(layout, {})).is_as_wanted and state,
        what="every service",
        timeout_s=600,
        every_s=0.5,
    )


def test_every_service_runs_and_is_told_with_its_place(platform: Platform) -> None:
    state = whole_state(platform)

    assert {service.name: service.word for service in state.services if not service.is_ready} == {}
    urls = {service.url for service in state.services}
    assert urls >= {platform.search_url, platform.airflow_url, platform.mlflow_url}
    assert all(service.memory_bytes > 1_000_000 for service in state.services)


def test_starting_again_restarts_nothing(platform: Platform) -> None:
    layout = platform.configuration.layout
    before = supervisor.read_records(layout)
    said: list[str] = []

    lifecycle.up(layout, {}, report=said.append)

    assert supervisor.read_records(layout) == before
    assert said == ["everything is running"]


def test_a_service_that_runs_and_does_not_answer_yet_is_waited_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "Patience", lambda **_: Patience(suspended_s=600.0))  # let nobody else go on with it
    layout = platform.configuration.layout
    pid = supervisor.read_records(layout)["s3"].leader.pid
    suspend(pid)
    try:
        with ThreadPoolExecutor(1) as other:
            starting = other.submit(lifecycle.up, layout, {}, report=lambda _: None)
            too_early, _ = wait([starting], timeout=2)
            os.kill(pid, signal.SIGCONT)

            starting.result()
    finally:
        os.kill(pid, signal.SIGCONT)

    assert too_early == set()


def test_a_killed_service_is_the_only_one_that_is_started_again(platform: Platform) -> None:
    layout = platform.configuration.layout
    before = supervisor.read_records(layout)
    variables = _environment(before["s3"])
    os.kill(before["s3"].leader.pid, signal.SIGKILL)

    lifecycle.up(layout, {}, report=lambda _: None)

    after = supervisor.read_records(layout)
    assert {name for name in after if after[name] != before[name]} == {"s3"}
    assert _environment(after["s3"]) == variables
    wait_for(
        lambda: answers_http(platform.s3_url, refusals_count=True), what="an answer of the S3 server", timeout_s=300
    )


def test_make_up_after_many_deaths_starts_the_dead_and_nothing_else(platform: Platform) -> None:
    layout = platform.configuration.layout
    before = supervisor.read_records(layout)
    dead = {"keeper", "keeper-watch", "postgres", "mlflow"}
    with wish.alone(layout, report=lambda _: None):  # the keepers bring nothing back while another command works
        for name in dead:
            kill(before[name])
        stopped = read_states(layout, {})
    said: list[str] = []

    lifecycle.up(layout, {}, report=said.append)

    after = supervisor.read_records(layout)
    down = {service.name for service in stopped.services if service.word == "stopped"}
    changed = {name for name in after if after[name] != before[name]}
    assert dead <= changed
    assert changed - dead <= ENDS_WITHOUT_POSTGRES
    assert dead <= down
    assert down - dead <= ENDS_WITHOUT_POSTGRES
    assert not stopped.is_as_wanted
    whole_state(platform)


def test_a_killed_keeper_comes_back_by_itself_and_harms_nothing(platform: Platform) -> None:
    layout = platform.configuration.layout
    before = supervisor.read_records(layout)

    kill(before["keeper"])

    wait_for(lambda: _runs_anew(layout, before["keeper"]), what="another keeper", timeout_s=300)
    after = supervisor.read_records(layout)
    assert {name for name in after if after[name] != before[name]} - ENDS_WITHOUT_POSTGRES == {"keeper"}
    wait_for(lambda: read_history(layout, "keeper").restarts, what="the noted restart", timeout_s=300)


def test_a_suspended_service_does_not_count_as_running_and_goes_on_by_itself(platform: Platform) -> None:
    layout = platform.configuration.layout
    before = supervisor.read_records(layout)
    continued = read_history(layout, "s3").continued
    with wish.alone(layout, report=lambda _: None):
        suspend(before["s3"].leader.pid)
        suspended = read_states(layout, {})

    wait_for(lambda: read_history(layout, "s3").continued > continued, what="the service going on", timeout_s=300)

    words = {service.name: service.word for service in suspended.services}
    after = supervisor.read_records(layout)
    assert words["s3"] == "suspended"
    # Airflow's processes may end a while after the test in which their database was away.
    assert {name for name in after if after[name] != before[name]} <= ENDS_WITHOUT_POSTGRES


def kill(record: Record) -> None:
    os.kill(record.leader.pid, signal.SIGKILL)
    wait_for(lambda: not processes.is_alive(record.leader), what=f"the end of {record.name}")


def _environment(record: Record) -> set[bytes]:
    variables = Path(f"/proc/{record.leader.pid}/environ").read_bytes().split(b"\0")
    return {variable for variable in variables if not variable.startswith(b"PYTEST_")}


def _runs_anew(layout: Layout, before: Record) -> bool:
    record = supervisor.read_record(layout, before.name)
    return record is not None and record != before and pulse.beats(layout, record.name, since=record.started_at)


@pytest.mark.usefixtures("every_service")
def test_a_move_that_mlflow_tells_of_is_noted_by_airflow(platform: Platform) -> None:
    registry = MlflowApi(platform.mlflow_url, login=platform.configuration.mlflow_login)
    with closing(registry), closing(open_ledger(platform.settings)) as ledger:
        [webhook] = registry.webhooks()
        before = ledger.promotions.signals()

        status = registry.try_webhook(webhook.webhook_id)  # MLflow signs it and sends it, as it does for a real one

        assert (status, ledger.promotions.signals() - before) == (202, 1)


@pytest.mark.parametrize("change", [{"url": "http://127.0.0.1:9/elsewhere"}, {"description": "an older secret"}])
@pytest.mark.usefixtures("every_service")
def test_a_webhook_of_another_port_or_secret_is_brought_up_to_date(platform: Platform, change: dict[str, str]) -> None:
    with closing(MlflowApi(platform.mlflow_url, login=platform.configuration.mlflow_login)) as registry:
        [before] = registry.webhooks()
        stale = {"name": before.name, "url": before.url, "description": before.description, **change}
        registry.update_webhook(before.webhook_id, **stale, secret="another")
        registry.create_webhook(**stale, secret="another")  # of two commands that ran at once

        outcomes = [register_webhook(platform.configuration) for _ in range(2)]

        [after] = registry.webhooks()
        assert outcomes == [True, False]
        assert (after.url, after.description, after.is_active) == (before.url, before.description, True)
        assert registry.try_webhook(after.webhook_id) == 202


@pytest.mark.usefixtures("every_service")
def test_every_pool_exists(platform: Platform) -> None:
    token = httpx.post(
        f"{platform.airflow_url}/auth/token",
        json={"username": platform.credentials.airflow_user, "password": platform.credentials.airflow_password},
        timeout=HTTP_TIMEOUT_S,
    ).json()["access_token"]

    answer = httpx.get(
        f"{platform.airflow_url}/api/v2/pools", headers={"Authorization": f"Bearer {token}"}, timeout=HTTP_TIMEOUT_S
    )

    assert {pool["name"] for pool in answer.json()["pools"]} >= set(POOLS)


@pytest.mark.usefixtures("every_service")
def test_airflow_refuses_a_wrong_password(platform: Platform) -> None:
    login = {"username": "admin", "password": "admin"}

    answer = httpx.post(f"{platform.airflow_url}/auth/token", json=login, timeout=HTTP_TIMEOUT_S)

    assert answer.status_code == 401


def test_mlflow_keeps_artifacts_in_a_folder_of_its_own(platform: Platform, tmp_path: Path) -> None:
    code = (
        "import mlflow, pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1]); path.write_text('kept')\n"
        "with mlflow.start_run() as run: mlflow.log_artifact(str(path))\n"
        "print(mlflow.artifacts.load_text(f'{run.info.artifact_uri}/{path.name}'))\n"
    )
    python = Path(platform.env["PATH"].split(os.pathsep)[0]) / "python"

    done = subprocess.run(
        [str(python), "-c", code, str(tmp_path / "note.txt")],
        env={**platform.env, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "kept" in done.stdout
    assert list(platform.configuration.layout.mlflow_artifacts.rglob("note.txt"))
    assert not (platform.configuration.layout.s3 / "mlflow").exists()


def test_nothing_that_the_platform_wrote_is_open_to_others(platform: Platform) -> None:
    layout = platform.configuration.layout
    inner = [layout.env_file, layout.secrets_file, layout.airflow_passwords, layout.logs, layout.airflow_home]

    modes = {path.name: path.stat().st_mode & 0o077 for path in [layout.state_dir, *inner, *layout.logs.iterdir()]}

    assert {name for name, mode in modes.items() if mode} == set()
    assert postgres.socket_dir(layout).stat().st_mode & 0o077 == 0
