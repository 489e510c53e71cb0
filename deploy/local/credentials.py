"""The secrets of one platform, generated once and kept at mode 0600."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass, fields

from deploy.local.layout import Layout, write_private
from vitrine.errors import SettingsError


@dataclass(frozen=True)
class Credentials:
    """Every generated secret.

    Attributes:
        mark: names this platform's processes; no secret, but generated with them.
        database_password: of the PostgreSQL role `vitrine`, which owns the ledger and nothing else.
        airflow_database_password, mlflow_database_password: of the roles `airflow` and `mlflow`.
        database_admin_password: of PostgreSQL's superuser, which only the set-up uses.
        airflow_fernet_key: encrypts connections in Airflow's database.
        airflow_jwt_secret: signs Airflow's tokens; 64 bytes, because HS512 asks for as many.
        mlflow_user, mlflow_password: log in to MLflow.
        mlflow_webhook_key: a Fernet key that encrypts webhook secrets in MLflow's database.
        webhook_secret: MLflow signs its webhook to Airflow with it.
    """

    mark: str
    s3_access_key: str
    s3_secret_key: str
    database_password: str
    airflow_database_password: str
    mlflow_database_password: str
    database_admin_password: str
    airflow_user: str
    airflow_password: str
    airflow_fernet_key: str
    airflow_jwt_secret: str
    airflow_api_secret: str
    mlflow_user: str
    mlflow_password: str
    mlflow_webhook_key: str
    webhook_secret: str

    def __repr__(self) -> str:
        return "Credentials(…)"  # never in a log or a traceback


def load_or_generate(layout: Layout) -> Credentials:
    """Returns the platform's secrets; the first call writes them.

    Raises:
        SettingsError: the file is there but not readable as secrets.
    """
    known: dict[str, str] = {}
    if layout.secrets_file.exists():
        try:
            known = json.loads(layout.secrets_file.read_text(encoding="utf-8"))
            if not isinstance(known, dict):
                raise ValueError(f"expected an object, found {type(known).__name__}")
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{layout.secrets_file} cannot be read as JSON: {error}; restore it, or remove {layout.state_dir} "
                "to start afresh"
            ) from error
    generated = asdict(_generate())
    names = [field.name for field in fields(Credentials)]
    credentials = Credentials(**{name: known.get(name, generated[name]) for name in names})
    if any(name not in known for name in names):
        write_private(layout.secrets_file, json.dumps(asdict(credentials), indent=2) + "\n")
    passwords = json.dumps({credentials.airflow_user: credentials.airflow_password})
    if not layout.airflow_passwords.exists() or layout.airflow_passwords.read_text(encoding="utf-8") != passwords:
        write_private(layout.airflow_passwords, passwords)
    return credentials


def _generate() -> Credentials:
    return Credentials(
        mark=secrets.token_hex(16),
        s3_access_key="vitrine" + secrets.token_hex(8),
        s3_secret_key=secrets.token_hex(24),
        database_password=secrets.token_hex(24),
        airflow_database_password=secrets.token_hex(24),
        mlflow_database_password=secrets.token_hex(24),
        database_admin_password=secrets.token_hex(24),
        airflow_user="admin",
        airflow_password=secrets.token_urlsafe(15),
        airflow_fernet_key=_fernet_key(),
        airflow_jwt_secret=secrets.token_hex(64),
        airflow_api_secret=secrets.token_hex(32),
        mlflow_user="admin",
        mlflow_password=secrets.token_urlsafe(15),
        mlflow_webhook_key=_fernet_key(),
        webhook_secret=secrets.token_hex(32),
    )


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
