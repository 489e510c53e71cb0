"""The services of the platform, in the order of their start: what each runs, where it listens, when it is ready."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import keeper_pulse as pulse
from deploy.local import postgres
from deploy.local.configuration import Configuration
from deploy.local.layout import ROOT
from deploy.local.probes import airflow_component_beats, answers_http

KEEPERS = ("keeper", "keeper-watch")
_BIN = ROOT / ".venv" / "bin"
_AGENT_LATE_S = 120.0  # a round may wait for a ledger that does not answer


@dataclass(frozen=True)
class Service:
    """One process that the platform keeps running.

    Attributes:
        name: of the service, its log and its record.
        command: what runs.
        is_ready: told the Unix time at which the process started.
        variables: on top of the platform's environment.
        port: that it listens on, on 127.0.0.1.
        port_setting: the setting that moves the port.
        url: for people.
        reads: how the names begin of the platform's variables that it gets, no more secrets than it needs; changing one
            of these variables restarts it.
        stop_signal: what ends it in order.
        ready_timeout_s: after which the start has failed.
        needs: the services without which it cannot start, and may end.
        told_by: the services that are asked whether it is ready; while one of them is away, nobody knows.
        survivors_are_adopted: its leader's other processes outlive the leader and go on with the next one; those of
            every other service are ended before it is started again.
    """

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[float], bool]
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    port_setting: str | None = None
    url: str | None = None
    reads: tuple[str, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    ready_timeout_s: float = 480.0
    needs: tuple[str, ...] = ()
    told_by: tuple[str, ...] = ()
    survivors_are_adopted: bool = False


def database(configuration: Configuration) -> Service:
    """PostgreSQL."""
    layout, credentials = configuration.layout, configuration.credentials
    return Service(
        name="postgres",
        command=postgres.server_command(layout),
        is_ready=lambda _: postgres.is_ready(layout, credentials),
        url=f"socket {postgres.socket_dir(layout)}",
        stop_signal=signal.SIGINT,  # its fast shutdown; SIGTERM waits for clients to leave
        ready_timeout_s=300.0,
    )


def object_store(configuration: Configuration) -> Service:
    """The S3 server."""
    credentials = configuration.credentials
    address = f"127.0.0.1:{configuration.settings.s3_port}"
    rclone = str(_BIN / "rclone")
    return Service(
        name="s3",
        command=(
            rclone,
            "serve",
            "s3",
            str(configuration.layout.s3),
            "--addr",
            address,
            "--config",
            os.devnull,
        ),
        # The key is in the environment: every user of the machine can read a command line.
        variables={"RCLONE_AUTH_KEY": f'"{credentials.s3_access_key},{credentials.s3_secret_key}"'},
        is_ready=lambda _: answers_http(configuration.s3_url, refusals_count=True),  # unsigned requests are refused
        port=configuration.settings.s3_port,
        port_setting="VITRINE_S3_PORT",
        url=configuration.s3_url,
        ready_timeout_s=300.0,
    )


def tracking(configuration: Configuration) -> Service:
    """MLflow, behind its login; artifacts go through it to a folder of its own, so it holds no key of the S3 server."""
    port = configuration.settings.mlflow_port
    artifacts = str(configuration.layout.mlflow_artifacts)
    return Service(
        name="mlflow",
        command=(sys.executable, "-m", "deploy.local.mlflow_server", "--port", str(port), "--artifacts", artifacts),
        reads=("MLFLOW_", "DO_NOT_TRACK"),
        variables={
            "MLFLOW_BACKEND_STORE_URI": postgres.database_url(
                configuration.layout, configuration.credentials, "mlflow"
            ),
            # Saves eight processes and 1.3 GB.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_WEBHOOK_CACHE_TTL": "5",  # seconds for which a webhook that was changed still goes where it went
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": configuration.credentials.mlflow_webhook_key,
        },
        is_ready=lambda _: answers_http(f"{configuration.mlflow_url}/health"),
        needs=("postgres",),
        port=port,
        port_setting="VITRINE_MLFLOW_PORT",
        url=configuration.mlflow_url,
    )


def airflow(configuration: Configuration) -> tuple[Service, ...]:
    """Airflow's four processes."""
    program = str(_BIN / "airflow")
    health_url = f"{configuration.airflow_url}/api/v2/monitor/health"

    def component(name: str, heartbeat: str, *options: str) -> Service:
        return Service(
            name=f"airflow-{name}",
            command=(program, name, *options),
            is_ready=lambda since: airflow_component_beats(configuration.airflow_url, heartbeat, since=since),
            reads=("",),  # its tasks are the stages
            needs=("postgres",),
            told_by=("airflow-api-server",),
        )

    port = configuration.settings.airflow_port
    api_server = Service(
        name="airflow-api-server",
        command=(program, "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        is_ready=lambda _: answers_http(health_url),
        needs=("postgres",),
        reads=("",),
        variables={"VITRINE_WEBHOOK_SECRET": configuration.webhook_secret},  # of the route that MLflow calls
        port=port,
        port_setting="VITRINE_AIRFLOW_PORT",
        url=configuration.airflow_url,
    )
    # Log servers would listen on all interfaces; on one machine the API server reads the files.
    return (
        api_server,
        component("scheduler", "scheduler", "--skip-serve-logs"),
        component("dag-processor", "dag_processor"),
        component("triggerer", "triggerer", "--skip-serve-logs"),
    )


def search(configuration: Configuration) -> Service:
    """The search tier: an agent, which leads, and workers, which answer whether it lives or not."""
    settings, url = configuration.settings, f"{configuration.search_url}/healthz"
    # The agent writes it with every round, some a second; one that hangs leaves the workers answering.
    rounds = configuration.layout.state_dir / "replicas" / settings.replica_id / "agent.json"
    return Service(
        name="search",
        command=(sys.executable, "-m", "serving", "run"),
        reads=("VITRINE_",),
        is_ready=lambda since: pulse.was_written(rounds, since=since, within_s=_AGENT_LATE_S) and answers_http(url),
        port=settings.search_port,
        port_setting="VITRINE_SEARCH_PORT",
        url=configuration.search_url,
        survivors_are_adopted=True,  # the workers go on answering, and the next agent takes them over
    )


def keepers(configuration: Configuration) -> tuple[Service, Service]:
    """The keeper, which brings back what dies, and the watch, which brings back the keeper."""
    layout = configuration.layout

    def pair(name: str, module: str) -> Service:
        return Service(
            name=name,
            command=(sys.executable, "-m", f"deploy.local.keeping.{module}", str(layout.state_dir)),
            is_ready=lambda since: pulse.beats(layout, name, since=since),
            # They read no setting, but work with the records that `make up` writes: of one code, one format.
            variables={"_VITRINE_CODE": _code_digest()},
        )

    keeper, watch = KEEPERS
    return pair(keeper, "keeper"), pair(watch, "watch")


def all_services(configuration: Configuration) -> tuple[Service, ...]:
    """Every service, in the order in which they start."""
    return (
        database(configuration),
        object_store(configuration),
        tracking(configuration),
        *airflow(configuration),
        search(configuration),
        *keepers(configuration),
    )


def _code_digest() -> str:
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
