"""What an ingest judges by: a catalog's thresholds and the platform's hard limits, with the digests that enter ids."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from vitrine.catalogs import Catalog, QualityThresholds
from vitrine.identity import ID_LENGTH, canonical_json, sha256_hex
from vitrine.settings import Settings

# Moves when the rules that judge a row change, so that a profile made under old rules is never taken for a new one.
RULES_VERSION = 3

_DECODE = "image_max_decode_s"
_DECODE_S: float = Settings.model_fields[_DECODE].default


class IngestPolicy(BaseModel):
    """Everything that decides which rows of a delivery are accepted, and whether the partition is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: Literal["encoder", "vectors"]
    dimension: int | None
    quality: QualityThresholds
    image_buckets: tuple[str, ...]
    csv_max_record_lines: int
    image_max_bytes: int
    image_max_pixels: int
    image_max_decode_s: float = _DECODE_S

    @classmethod
    def of(cls, catalog: Catalog, settings: Settings) -> IngestPolicy:
        """Returns the policy of a catalog on this platform."""
        return cls(
            space=catalog.space,
            dimension=catalog.dimension,
            quality=catalog.quality,
            image_buckets=catalog.image_buckets,
            csv_max_record_lines=settings.csv_max_record_lines,
            image_max_bytes=settings.image_max_bytes,
            image_max_pixels=settings.image_max_pixels,
            image_max_decode_s=settings.image_max_decode_s,
        )

    def digest(self) -> str:
        """Returns a short hash of the whole policy, which the verdict on a partition depends on; it enters no id."""
        return _digest([RULES_VERSION, self.model_dump(mode="json", exclude={_DECODE}) | self._own_decode_limit()])

    def rows_digest(self) -> str:
        """Returns a short hash of what decides about single rows; it enters the manifest's id.

        The shares that stop a partition are left out: another threshold gives another verdict on the same manifest.
        """
        rows = {
            "space": self.space,
            "dimension": self.dimension,
            "image_buckets": sorted(self.image_buckets),
            "csv_max_record_lines": self.csv_max_record_lines,
            "image_max_bytes": self.image_max_bytes,
            "image_max_pixels": self.image_max_pixels,
            "image_min_side": self.quality.image_min_side,
            "image_max_aspect_ratio": self.quality.image_max_aspect_ratio,
        }
        return _digest([RULES_VERSION, rows | self._own_decode_limit()])

    def _own_decode_limit(self) -> dict[str, float]:
        """Names a limit that a shop chose. The default stands in no digest: it came later, and days keep their ids."""
        return {} if self.image_max_decode_s == _DECODE_S else {_DECODE: self.image_max_decode_s}


def profile_key(catalog_id: str, delivery_id: str, policy: IngestPolicy) -> str:
    """Returns the key of a profile in the ledger's attempts (scope `profile`).

    Raising the share of rejects that a partition may have needs no new profile, so only the rows' rules enter.
    """
    return f"{catalog_id}/{delivery_id}/{policy.rows_digest()}"


def _digest(value: object) -> str:
    return sha256_hex(canonical_json(value))[:ID_LENGTH]
