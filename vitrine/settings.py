"""Every setting, read once from the environment into one frozen object.

A setting `image_max_bytes` is the environment variable `VITRINE_IMAGE_MAX_BYTES`. What the environment does not hold is
looked for in the file named by `VITRINE_ENV_FILE`, by default `<state_dir>/env`, which the local set-up writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from vitrine.errors import SettingsError

PREFIX = "VITRINE_"


class Settings(BaseModel):
    """All settings of Vitrine, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Places
    state_dir: Path = Field(Path(".vitrine"), description="The one folder for local state, logs, caches and secrets.")
    catalogs_file: Path = Field(
        Path(".vitrine/catalogs.yaml"), description="The file in which catalogs are declared, with their thresholds."
    )
    env_file: Path | None = Field(None, description="A file of KEY=VALUE lines that stands in for the environment.")

    service_log_max_bytes: int = Field(
        20_000_000, description="A local service's log above it is moved to .log.1, which holds as much again.", ge=1
    )

    # Ports on this machine
    search_port: int = Field(8000, description="Port of the search tier.", ge=1, le=65535)
    airflow_port: int = Field(8080, description="Port of Airflow's UI and API.", ge=1, le=65535)
    mlflow_port: int = Field(5000, description="Port of MLflow.", ge=1, le=65535)
    s3_port: int = Field(9000, description="Port of the local S3 server.", ge=1, le=65535)

    # Object store
    bucket: str = Field("vitrine", description="Bucket of everything immutable.", min_length=3)
    s3_endpoint_url: str | None = Field(None, description="S3 endpoint; empty means AWS.")
    s3_access_key: str | None = Field(None, description="S3 access key; empty means boto3's credential chain.")
    s3_secret_key: SecretStr | None = Field(None, description="S3 secret key.")
    s3_region: str = Field("us-east-1", description="S3 region.")
    s3_timeout_s: float = Field(30.0, description="Connect and read timeout of one S3 request, in seconds.", gt=0)

    # Ledger
    database_url: SecretStr = Field(
        SecretStr(""), description="SQLAlchemy URL of the ledger, e.g. postgresql+psycopg2://user@host/vitrine."
    )

    # Encoder
    mlflow_tracking_uri: str = Field("http://127.0.0.1:5000", description="MLflow tracking and registry URI.")
    encoder_checkpoint: str | None = Field(
        None,
        description="A transformers CLIP by name or folder; `make up` registers it. It becomes `champion` only where "
        "nothing was ever promoted.",
    )
    promotion_poll_s: float = Field(
        10.0,
        description="How often MLflow is asked where the alias `champion` stands, in seconds; a webhook asks at once.",
        gt=0,
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description=(
            "What MLflow signs its webhooks to Airflow at `/vitrine/promotions` with; empty: none is taken, and moves "
            "of the alias are found by asking. On one machine `make up` makes one and registers the webhook, unless "
            "this is set."
        ),
    )
    inference_engine: Literal["openvino", "torch"] = Field("openvino", description="Engine that runs the encoder.")
    inference_device: str = Field("cpu", description="Device of the torch engine: cpu, cuda, cuda:0.")
    inference_precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Pinned precision; the same for the catalog and its queries."
    )
    inference_threads: int = Field(1, description="Threads of one encoder.", ge=1)
    embed_batch_size: int = Field(32, description="Images in one batch through the encoder.", ge=1)

    # Encoder reports
    challenger_max_slice_fall: float = Field(
        0.05,
        description="An encoder becomes challenger only when no slice of its report falls by more than this.",
        ge=0,
        le=1,
    )
    challenger_max_text_fall: float = Field(
        0.02, description="The same for recall@10 of text-to-image as a whole.", ge=0, le=1
    )
    challenger_min_slice_queries: int = Field(
        30, description="Slices with fewer queries are shown in the report and refuse nothing.", ge=1
    )
    evaluation_max_gallery: int = Field(
        50_000,
        description="Pictures that an encoder's report searches: those of the test split and, up to this many, others.",
        ge=100,
    )
    resnet_checkpoint: str | None = Field(
        None, description="A transformers ResNet by name or folder, which encoder reports show as a baseline."
    )

    # Ingest
    items_max_rows: int = Field(
        1_000_000_000, description="A delivery of more rows is refused, whether it has them or only claims to.", ge=1
    )
    items_max_row_group_rows: int = Field(
        10_000_000,
        description="A Parquet file with more rows in one row group, which one task reads, is refused.",
        ge=1,
    )
    items_max_inflated_bytes: int = Field(
        20_000_000_000,
        description="A gzipped items file or Parquet row group that inflates to more is refused; one task reads it.",
        ge=1,
    )
    csv_max_record_lines: int = Field(
        200, description="A CSV record of more lines is rejected with those lines: a quote was not closed.", ge=1
    )
    image_max_bytes: int = Field(20_000_000, description="Larger images are rejected before they are read.", ge=1)
    image_max_pixels: int = Field(50_000_000, description="Larger images are rejected before they are decoded.", ge=1)
    image_max_decode_s: float = Field(
        8.0,
        description="CPU seconds that one item's image may take to decode; one whose scans, chunks and strips come to "
        "half of it is rejected before it is decoded.",
        gt=0,
    )
    fetch_threads: int = Field(8, description="Threads that fetch objects inside one Spark task.", ge=1)
    pack_rows: int = Field(256, description="Images in a row group of a pack, which is the unit of embedding.", ge=1)
    pack_max_bytes: int = Field(64_000_000, description="Image bytes in one pack before the next begins.", ge=1)
    validation_pandas_rows: int = Field(
        200_000, description="Partitions up to this many rows are validated in pandas, larger ones in Spark.", ge=0
    )

    # Spark
    spark_master: str = Field("local[*]", description="Spark master; a cluster's URL moves every Spark job there.")
    spark_secret: SecretStr | None = Field(
        None,
        description=(
            "`spark.authenticate.secret` of a standalone cluster: jobs prove themselves by it and encrypt what they "
            "send. Empty: the cluster's own configuration decides. A local master makes a secret of its own."
        ),
    )
    spark_driver_memory: str = Field("1g", description="Memory of the Spark driver.")
    spark_executor_memory: str = Field("1g", description="Memory of one Spark executor.")
    spark_executor_tmp_dir: Path | None = Field(
        None,
        description=(
            "Folder on each worker of a cluster for the executors' temporary files; it must be there. Empty: the "
            "cluster's own. Where they keep blocks and shuffles is the cluster's matter (`SPARK_LOCAL_DIRS`). On this "
            "machine they lie in the state folder."
        ),
    )
    spark_partitions: int = Field(
        2, description="Partitions of a Spark job; on a cluster, about two for each core.", ge=1
    )
    spark_in_process_rows: int | None = Field(
        None,
        description=(
            "A delivery of up to this many rows is profiled, and as many pictures are embedded, in the task's own "
            "process: a JVM takes longer to start. Empty: 20,000 where the master is local with up to four cores, "
            "5,000 with more, 0 on a cluster."
        ),
        ge=0,
    )
    spark_gpus_per_task: float = Field(0.0, description="GPUs of one embedding task, by stage-level resources.", ge=0)

    # Index
    index_key: str = Field(
        "auto",
        description=(
            "How vectors are indexed: a recipe's name (docs/indexes.md), a faiss factory string, or `auto`: Flat for "
            "small catalogs, above that what the planner ranks first."
        ),
    )
    index_memory: str | None = Field(
        None,
        description=(
            "Memory that `auto` may take for one slot, e.g. 8G: anonymous, and mapped pages that each search walks; "
            "empty: any."
        ),
    )
    index_disk: str | None = Field(
        None, description="Disk that `auto` may take for one slot, item table included, e.g. 60G; empty: any."
    )
    index_latency_ms: float | None = Field(
        None, description="CPU time of one query that `auto` may take, as predicted; empty: any.", gt=0
    )
    index_flat_max_items: int = Field(5_000, description="Up to this many items `auto` searches exactly.", ge=0)
    index_recall_target: float = Field(
        0.95, description="Recall@10 against exact search that a build must reach.", ge=0, le=1
    )
    near_duplicate_distance: int = Field(
        3,
        description=(
            "Pictures whose perceptual hashes differ in at most so many of 64 bits, and what they are connected to, "
            "are one group of an item table: a search can show one of each group."
        ),
        ge=0,
        le=6,
    )
    index_threads: int = Field(2, description="Threads of an index build.", ge=1)
    index_build_max_bytes: int = Field(
        4_000_000_000,
        description=(
            "Anonymous memory that a build plans with: it bounds samples, sorting and the shards that are merged or "
            "built at a time. The peak is measured and stands in the manifest."
        ),
        ge=100_000_000,
    )
    index_max_shard_rows: int = Field(
        20_000_000,
        description="Rows of one shard at most; each is merged, or its graph built, in memory, and all are served.",
        ge=1,
    )
    index_part_rows: int = Field(
        65_536, description="Rows that one task encodes at most; a unit of embedding is never divided.", ge=1
    )
    index_encode_in_process_rows: int = Field(
        200_000, description="Rows up to which an index build encodes by itself; more go through Spark.", ge=0
    )
    index_drift_max_error_growth: float = Field(
        0.1,
        description=(
            "A quantizer is trained again when its error on the present head is larger by this share than on the one "
            "that it was trained on. Recall does not depend on it, since each build is tuned; latency does."
        ),
        ge=0,
    )
    index_drift_max_imbalance_growth: float = Field(
        0.5,
        description=(
            "The same for the imbalance of its lists, which is the factor by which a search compares more rows than it "
            "would with lists of one length."
        ),
        ge=0,
    )
    index_retrain: Literal["when_due", "by_hand"] = Field(
        "when_due", description="`by_hand`: a build only says that a retrain is due; `build --retrain` does it."
    )
    first_release_min_image_recall: float = Field(
        0.5,
        description=(
            "Golden recall@10 of pictures that a catalog's first release must reach where the catalog declares no "
            "threshold of its own; 0: shown, not gated."
        ),
        ge=0,
        le=1,
    )
    first_release_min_text_recall: float = Field(
        0.0,
        description=(
            "The same of texts. Not gated by default: how well titles find their items depends on the encoder's "
            "language and field, and a catalog may be searched by pictures only."
        ),
        ge=0,
        le=1,
    )
    build_max_wait_s: float = Field(1800.0, description="A build waits for running ingests at most this long.", ge=0)
    promotion_catalogs_at_once: int = Field(
        2,
        description="Catalogs that a promotion builds and releases side by side. With 2 the next one is embedded while "
        "the one before is built and released; with 1 it waits until that is live.",
        ge=1,
    )

    # Search tier
    search_host: str = Field(
        "127.0.0.1",
        description="Address that a search replica listens on; an unspecified one (`0.0.0.0`, `::`) needs a URL, too.",
        pattern=r"^[A-Za-z0-9.:_-]+$",
    )
    search_url: str | None = Field(
        None,
        description=(
            "URL by which other machines reach this replica: whoever verifies a release asks there; empty: made of the "
            "host and the port."
        ),
        pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
    )
    replica_id: str = Field(
        "replica-0",
        description="Name of this search replica, and of its folder: a-z, 0-9 and dashes.",
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
    )
    search_hosts: str = Field(
        "",
        description=(
            "Names, comma separated, by which a search replica answers besides its own (those of loopback, the address "
            "that a client connects to, the advertised URL's): `shop.example`, `shop.example:8443`, or `*` for any, "
            "where a proxy in front checks them."
        ),
        pattern=r"^[A-Za-z0-9.:\[\]_*, -]*$",
    )
    search_origins: str = Field(
        "",
        description=(
            "Origins, comma separated, of web pages besides its own that may search at a replica: "
            "`https://shop.example`. Programs send none and need none."
        ),
        pattern=r"^\s*(https?://[^/,\s]+/?\s*(,\s*|$))*$",
    )
    search_workers: int = Field(2, description="Worker processes of a search replica.", ge=1)
    default_catalog: str = Field("demo", description="Catalog of a request that names none.")
    search_max_body_bytes: int = Field(12_000_000, description="Larger request bodies are refused.", ge=1)
    search_body_timeout_s: float = Field(
        15.0, description="A request's body must be here within this many seconds.", gt=0
    )
    search_write_timeout_s: float = Field(
        20.0,
        description=(
            "A client that takes nothing of its answer for this many seconds is cut off, and so is one that takes less "
            "than 8 KB a second."
        ),
        gt=0,
    )
    search_max_held_bytes: int = Field(
        256_000_000, description="Of all bodies above 64 KB that one search worker receives at once.", ge=1
    )
    picture_cache_max_bytes: int = Field(
        512_000_000, description="Item pictures that a search replica keeps on its disk.", ge=0
    )
    search_max_pixels: int = Field(
        16_000_000,
        description="Larger query pictures are refused before they are decoded; a phone takes 12 million.",
        ge=1,
    )
    search_max_decode_s: float = Field(
        1.5,
        description="CPU seconds that one query picture may take to decode; one whose scans, chunks and strips come to "
        "half of it is refused at once.",
        gt=0,
    )
    search_max_top_k: int = Field(200, description="The largest top_k of a request.", ge=1)
    replica_poll_s: float = Field(0.25, description="How often a replica looks at the ledger, in seconds.", gt=0)
    stage_timeout_s: float = Field(300.0, description="Staging must be ready within this many seconds.", gt=0)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Reads the settings from the environment, then from the env file for what it leaves out.

        Raises:
            SettingsError: a value is malformed, or a `VITRINE_` variable is unknown.
        """
        environment = dict(os.environ if environment is None else environment)
        state_dir = Path(environment.get(PREFIX + "STATE_DIR") or ".vitrine")
        named = environment.get(PREFIX + "ENV_FILE")
        if named and not Path(named).is_file():
            raise SettingsError(f"{PREFIX}ENV_FILE names {named}, which is not a file; write it or unset the variable")
        env_file = Path(named) if named else state_dir / "env"
        values = read_env_file(env_file) if env_file.is_file() else {}
        values |= {name: value for name, value in environment.items() if name.startswith(PREFIX)}
        fields: dict[str, Any] = {}
        for name, value in values.items():
            if not name.startswith(PREFIX):
                continue
            field = name.removeprefix(PREFIX).lower()
            if field not in cls.model_fields:
                raise SettingsError(f"{name} is not a Vitrine setting; see docs/settings.md for the list")
            if value != "":
                fields[field] = value
        if "catalogs_file" not in fields:
            fields["catalogs_file"] = state_dir / "catalogs.yaml"
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            name = PREFIX + str(first["loc"][0]).upper()
            raise SettingsError(f"{name}={first.get('input')!r}: {first['msg']}; see docs/settings.md") from error

    def to_environment(self) -> dict[str, str]:
        """Returns the variables that make `from_environment` return these settings again."""
        result = {}
        for name, value in self:
            if value is None:
                continue
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            result[PREFIX + name.upper()] = text
        return result

    @property
    def advertised_search_url(self) -> str:
        """The URL by which others reach this search replica, without a trailing slash.

        Raises:
            SettingsError: it listens on every address, and nobody says which of them others know.
        """
        if self.search_url is not None:
            return self.search_url.rstrip("/")
        if _is_unspecified(self.search_host):
            raise SettingsError(
                f"VITRINE_SEARCH_HOST={self.search_host} listens on every address of this machine, and none of them is "
                "known to other machines; set VITRINE_SEARCH_URL to the URL by which they reach this replica"
            )
        host = f"[{self.search_host}]" if ":" in self.search_host else self.search_host
        return f"http://{host}:{self.search_port}"


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return set(host) <= set("0.")  # short for 0.0.0.0


def read_env_file(path: Path) -> dict[str, str]:
    """Reads KEY=VALUE lines; blank lines and lines that begin with `#` are left out.

    Raises:
        SettingsError: a line is neither.
    """
    values = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, value = text.partition("=")
        if not separator:
            raise SettingsError(f"{path}:{number}: expected KEY=VALUE, found {text[:40]!r}")
        values[name.strip()] = value.strip()
    return values
