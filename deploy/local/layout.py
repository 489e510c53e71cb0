"""Where the local platform keeps things: one ignored folder, closed to everybody else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vitrine.errors import SettingsError
from vitrine.files.whole import replace_file

ROOT = Path(__file__).resolve().parents[2]
_MARKER = "made-by-vitrine"
# What stages that were run by hand leave in a state folder before the set-up sees it.
_STAGES_MAKE = {"catalogs.yaml", "data_docs", "encoders", "register.lock", "replicas", "scratch"}


@dataclass(frozen=True)
class Layout:
    """Paths of one platform.

    Attributes:
        state_dir: absolute; everything that the platform writes lies under it.
    """

    state_dir: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Layout:
        """Returns the layout of `VITRINE_STATE_DIR`, by default `.vitrine` in the checkout."""
        named = environment.get("VITRINE_STATE_DIR")
        return cls((Path.cwd() / Path(named).expanduser()) if named else ROOT / ".vitrine")

    @property
    def env_file(self) -> Path:
        """KEY=VALUE lines: all that services, and stages run by hand, read."""
        return self.state_dir / "env"

    @property
    def secrets_file(self) -> Path:
        return self.state_dir / "secrets.json"

    @property
    def catalogs_file(self) -> Path:
        return self.state_dir / "catalogs.yaml"

    @property
    def logs(self) -> Path:
        """One log for each service."""
        return self.state_dir / "logs"

    @property
    def records(self) -> Path:
        """One record for each service that was started."""
        return self.state_dir / "run"

    @property
    def histories(self) -> Path:
        """What the keeper did for each service: a file of each that it had to do something for."""
        return self.state_dir / "keeping"

    @property
    def wish(self) -> Path:
        """What a person asked for last: that the services run, or that they do not."""
        return self.state_dir / "wish"

    @property
    def work(self) -> Path:
        """The working folder of every service; what Spark leaves in its working folder stays here."""
        return self.state_dir / "work"

    @property
    def airflow_home(self) -> Path:
        return self.state_dir / "airflow"

    @property
    def airflow_passwords(self) -> Path:
        return self.airflow_home / "passwords.json"

    @property
    def s3(self) -> Path:
        """The S3 server's folder; each folder in it is a bucket."""
        return self.state_dir / "s3"

    @property
    def mlflow_artifacts(self) -> Path:
        """MLflow's artifacts; no other service writes here, and MLflow nowhere else."""
        return self.state_dir / "mlflow" / "artifacts"

    @property
    def postgres(self) -> Path:
        return self.state_dir / "postgres"

    @property
    def data_docs(self) -> Path:
        """What Great Expectations found in each day of each catalog, as pages to open in a browser."""
        return self.state_dir / "data_docs"

    @property
    def lock(self) -> Path:
        """Held while services are started or ended."""
        return self.state_dir / "lock"

    def make(self) -> None:
        """Makes the folders, all of mode 0700; what is there already keeps its mode.

        Raises:
            SettingsError: the state folder is not ours: it belongs to somebody else, others may write to it, or other
                things lie in it.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.state_dir.stat().st_uid != os.geteuid():
            raise SettingsError(
                f"{self.state_dir} belongs to user {self.state_dir.stat().st_uid}, found user {os.geteuid()}; run "
                "as its owner or set VITRINE_STATE_DIR to a folder of your own"
            )
        if self.state_dir.stat().st_mode & 0o022:
            raise SettingsError(
                f"{self.state_dir} can be written to by others, who could replace the secrets in it; close it "
                f"(chmod go-w {self.state_dir}) or set VITRINE_STATE_DIR to another folder"
            )
        foreign = sorted(path.name for path in self.state_dir.iterdir() if path.name not in _STAGES_MAKE)
        if foreign and not (self.state_dir / _MARKER).exists() and not self.secrets_file.exists():
            raise SettingsError(
                f"{self.state_dir} holds other things ({', '.join(foreign[:3])}) and was not made by Vitrine; set "
                "VITRINE_STATE_DIR to a folder that is empty or not there yet"
            )
        (self.state_dir / _MARKER).touch(0o600)
        made = (self.logs, self.records, self.histories, self.work, self.airflow_home, self.s3, self.postgres)
        for folder in (*made, self.mlflow_artifacts.parent, self.mlflow_artifacts):
            folder.mkdir(exist_ok=True, mode=0o700)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all, also when the power fails."""
    replace_file(path, text.encode(), private=True)
