"""The platform's settings: what the user chose, what the set-up adds, and the environment that services run in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from deploy.local import postgres, prerequisites, processes
from deploy.local.credentials import Credentials, load_or_generate
from deploy.local.layout import ROOT, Layout, write_private
from vitrine.errors import SettingsError
from vitrine.settings import PREFIX, Settings, read_env_file

# Tasks that run at once on this machine; each Spark task takes a JVM and two threads.
AIRFLOW_PARALLELISM = 4
# Slots of each pool. A missing pool leaves its tasks waiting for ever, without a warning.
# A catalog releases one at a time, because its DAG runs once at a time; catalogs do not wait for each other's replicas.
# The default pool is that of all other tasks: what it lets through beyond the workers waits in the executor, where no
# weight counts any more.
POOLS = {"default_pool": AIRFLOW_PARALLELISM, "spark": 1, "gpu": 1, "index": 1, "release": 4}


@dataclass(frozen=True)
class Configuration:
    """One platform, resolved.

    Attributes:
        layout: its folders.
        credentials: its secrets.
        settings: what the stages read.
        variables: the content of the env file: VITRINE_*, AWS_*, AIRFLOW__*, MLFLOW_*.
        chosen: names of those that a person chose.
    """

    layout: Layout
    credentials: Credentials
    settings: Settings
    variables: Mapping[str, str]
    chosen: frozenset[str]

    @property
    def search_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.search_port}"

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.mlflow_port}"

    @property
    def mlflow_login(self) -> tuple[str, str]:
        """User and password of MLflow."""
        return self.credentials.mlflow_user, self.credentials.mlflow_password

    @property
    def s3_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.s3_port}"

    @property
    def webhook_secret(self) -> str:
        """What MLflow signs its webhook to Airflow with; the generated one unless a person chose another, or none."""
        return self.variables.get("VITRINE_WEBHOOK_SECRET", self.credentials.webhook_secret)

    @property
    def environment_stamp(self) -> str:
        """Changes when `.venv` does: services that run older code are then restarted."""
        stamp = ROOT / ".venv" / "vitrine-environment"
        return stamp.read_text(encoding="utf-8") if stamp.is_file() else ""

    def readable(self, prefixes: tuple[str, ...]) -> dict[str, str]:
        """Returns the platform's variables whose names begin with one of `prefixes`."""
        return {name: value for name, value in self.variables.items() if name.startswith(prefixes)}

    def service_environment(self, reads: tuple[str, ...] = ("",)) -> dict[str, str]:
        """Returns the whole environment of a service, and of a stage that the platform runs.

        Args:
            reads: how the names begin of the platform's variables that it gets; all of them by default.
        """
        inherited = {name: value for name, value in os.environ.items() if not _is_ours(name)}
        # The keeper has this path already; what it starts again gets the environment that it had.
        path = os.pathsep.join(dict.fromkeys([str(ROOT / ".venv" / "bin"), *os.get_exec_path()]))
        return {
            **inherited,
            **self.readable(reads),
            **direct_connections(os.environ),
            # What a command starts is found by it when the command was killed; a service's own mark replaces it.
            processes.MARK: processes.service_mark(self.credentials.mark, "command"),
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            # One thread a worker: several spinning pools on few cores collapse.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }


def direct_connections(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables by which no proxy is asked for the loopback interface, where all services meet."""
    given = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    hosts = ",".join(dict.fromkeys([*filter(None, given.split(",")), "127.0.0.1", "localhost"]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def configure(layout: Layout, environment: Mapping[str, str]) -> Configuration:
    """Resolves the platform; `write_env_file` makes that lasting.

    Settings come from the environment, then from the env file, so that a port that was chosen once stays chosen.

    Raises:
        SettingsError: a setting is wrong, or names a service that the local platform brings itself.
    """
    layout.make()
    credentials = load_or_generate(layout)
    before = read_env_file(layout.env_file) if layout.env_file.is_file() else {}
    chosen = {name: value for name, value in before.items() if name.startswith(PREFIX)}
    chosen |= {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    if (checkpoint := Path(chosen.get("VITRINE_ENCODER_CHECKPOINT", ""))).is_dir() and checkpoint.name:
        chosen["VITRINE_ENCODER_CHECKPOINT"] = str(checkpoint.resolve())  # commands run in other folders than this one
    made = _made(Settings.from_environment({**chosen, "VITRINE_STATE_DIR": str(layout.state_dir)}), layout, credentials)
    for name in sorted(made.keys() & environment.keys()):
        if environment[name] != made[name] and name != "VITRINE_STATE_DIR":
            raise SettingsError(
                f"{name} is set in the environment, but the local platform runs its own; unset it, or run the stages "
                "against your own services without `make up`"
            )
    chosen = {name: value for name, value in chosen.items() if name not in made and name != PREFIX + "ENV_FILE"}
    settings = Settings.from_environment({**chosen, **made})
    java_home = _java_home(before.get("JAVA_HOME"))
    variables = {**chosen, **made, "JAVA_HOME": java_home, **_foreign(settings, layout, credentials)}
    return Configuration(layout, credentials, settings, variables, frozenset(chosen))


def write_env_file(configuration: Configuration) -> None:
    """Writes the env file: what services, stages run by hand and the next command read."""
    variables, chosen = configuration.variables, configuration.chosen
    lines = ["# Settings that were chosen; they stay until they are set to something else or removed here."]
    lines += [f"{name}={variables[name]}" for name in sorted(chosen)]
    lines += ["", "# Made by the set-up at every `make up`; do not change by hand. Holds secrets."]
    lines += [f"{name}={value}" for name, value in variables.items() if name not in chosen]
    write_private(configuration.layout.env_file, "\n".join(lines) + "\n")


def _made(settings: Settings, layout: Layout, credentials: Credentials) -> dict[str, str]:
    """The settings that follow from this platform; never chosen by hand."""
    return {
        "VITRINE_STATE_DIR": str(layout.state_dir),
        "VITRINE_CATALOGS_FILE": str(layout.catalogs_file),
        "VITRINE_S3_ENDPOINT_URL": f"http://127.0.0.1:{settings.s3_port}",
        "VITRINE_S3_ACCESS_KEY": credentials.s3_access_key,
        "VITRINE_S3_SECRET_KEY": credentials.s3_secret_key,
        "VITRINE_DATABASE_URL": postgres.database_url(layout, credentials, "vitrine"),
        "VITRINE_MLFLOW_TRACKING_URI": f"http://127.0.0.1:{settings.mlflow_port}",
    }


def _foreign(settings: Settings, layout: Layout, credentials: Credentials) -> dict[str, str]:
    """The variables of the libraries and servers that are not ours."""
    return {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{settings.s3_port}",
        "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
        "AWS_DEFAULT_REGION": settings.s3_region,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Without these two, range reads from the local S3 server fail.
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{settings.mlflow_port}",
        # What MLflow's own client sends; the stages read the same.
        "MLFLOW_TRACKING_USERNAME": credentials.mlflow_user,
        "MLFLOW_TRACKING_PASSWORD": credentials.mlflow_password,
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{settings.s3_port}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **_airflow(settings, layout, credentials),
    }


def _java_home(before: str | None) -> str:
    """Returns the home of the Java that Spark runs on; the one of last time while it is there: asking takes time."""
    if before and Path(before, "bin", "java").exists():
        return before
    java = prerequisites.find_java(os.environ)
    if java is None:
        raise SettingsError(prerequisites.JAVA_SENTENCE.format(found="none was found"))
    return java.home


def _airflow(settings: Settings, layout: Layout, credentials: Credentials) -> dict[str, str]:
    url = f"http://127.0.0.1:{settings.airflow_port}"
    section: dict[str, dict[str, str]] = {
        "CORE": {
            "DAGS_FOLDER": str(ROOT / "dags"),
            "PLUGINS_FOLDER": str(ROOT / "plugins"),
            "LOAD_EXAMPLES": "False",
            "EXECUTOR": "LocalExecutor",
            "PARALLELISM": str(AIRFLOW_PARALLELISM),
            "DAGS_ARE_PAUSED_AT_CREATION": "False",
            # The default, 30 s, is less than a busy machine takes to import Airflow; a DAG is missing then.
            "DAGBAG_IMPORT_TIMEOUT": "180",
            "FERNET_KEY": credentials.airflow_fernet_key,
            "SIMPLE_AUTH_MANAGER_USERS": f"{credentials.airflow_user}:admin",
            "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(layout.airflow_passwords),
            "EXECUTION_API_SERVER_URL": f"{url}/execution/",
            # The default asks the resolver for this machine's full name, which can take seconds.
            "HOSTNAME_CALLABLE": "socket.gethostname",
        },
        "DATABASE": {
            "SQL_ALCHEMY_CONN": postgres.database_url(layout, credentials, "airflow"),
            # The default, 5 + 10 for each process, is more than one machine needs.
            "SQL_ALCHEMY_POOL_SIZE": "5",
        },
        "API": {
            "HOST": "127.0.0.1",
            "PORT": str(settings.airflow_port),
            "WORKERS": "1",
            "BASE_URL": url,
            "SECRET_KEY": credentials.airflow_api_secret,
        },
        "API_AUTH": {"JWT_SECRET": credentials.airflow_jwt_secret},
        "DAG_PROCESSOR": {
            "REFRESH_INTERVAL": "10",
            # Parsing the three files takes a second; a new catalog asks for it by itself.
            "MIN_FILE_PROCESS_INTERVAL": "30",
            "PARSING_PROCESSES": "1",
            "DAG_FILE_PROCESSOR_TIMEOUT": "240",
        },
        # A task whose supervisor was killed is found dead after a minute rather than five, and tried again.
        "SCHEDULER": {
            "TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
            # The default, 1 s, passes between two tasks of a run, of which a day has some twenty.
            "SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        },
        "LOGGING": {"BASE_LOG_FOLDER": str(layout.airflow_home / "logs")},
        "USAGE_DATA_COLLECTION": {"ENABLED": "False"},
    }
    variables = {f"AIRFLOW__{name}__{key}": value for name, body in section.items() for key, value in body.items()}
    return {
        "AIRFLOW_HOME": str(layout.airflow_home),
        "AIRFLOW_CONN_SPARK_DEFAULT": spark_connection(settings.spark_master),
        **variables,
    }


def spark_connection(master: str) -> str:
    """Returns the URI of Airflow's connection `spark_default` for a Spark master, e.g. `spark://local%5B2%5D`."""
    return f"spark://{quote(master, safe='')}"


def _is_ours(name: str) -> bool:
    """Whether the platform alone decides this variable in its services."""
    # Without bytecode on disk every process and every task compiles Airflow, MLflow and torch again: 3 to 5 s each.
    if name == "PYTHONDONTWRITEBYTECODE":
        return True
    return name.startswith((PREFIX, "AIRFLOW__", "AIRFLOW_", "MLFLOW_", "AWS_", "SPARK_", "PYSPARK_", "_VITRINE_"))
