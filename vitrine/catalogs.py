"""Catalogs are declared in one YAML file, each with its own space, source and thresholds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitrine.errors import CatalogError
from vitrine.files.locks import locked
from vitrine.files.whole import replace_file

_ID = re.compile(r"[a-z][a-z0-9_-]{1,39}")
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}(/[^/]+)*/?")
_RESERVED = {"encoders", "journal"}  # key prefixes beside the catalogs


class QualityThresholds(BaseModel):
    """What a partition must keep to; shares are of delivered rows, 0 to 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_reject_share: float = Field(0.10, ge=0, le=1, description="Above it the partition stops before any embedding.")
    max_undecodable_share: float = Field(0.05, ge=0, le=1, description="Images that cannot be decoded.")
    max_missing_image_share: float = Field(0.05, ge=0, le=1, description="Images that are not there.")
    max_duplicate_id_share: float = Field(0.05, ge=0, le=1, description="Rows whose item_id comes again later.")
    max_removed_share: float = Field(
        0.30,
        ge=0,
        le=1,
        description="Items that a delivery takes out of the catalog's head, of those in it, unless that is meant.",
    )
    min_rows: int = Field(1, ge=0, description="A delivery with fewer rows stops.")
    image_min_side: int = Field(32, ge=1, description="Pixels of the shorter side.")
    image_max_aspect_ratio: float = Field(6.0, ge=1, description="Longer side over shorter side.")


class ReleaseThresholds(BaseModel):
    """What a candidate must pass to become a release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_ann_recall: float = Field(0.95, ge=0, le=1, description="Recall@10 of the index against exact search.")
    min_golden_image_recall: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Golden recall@10 of image queries; empty: gated by the settings for a first release, then shown.",
    )
    min_golden_text_recall: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Golden recall@10 of text queries; empty: gated by the settings for a first release, then shown.",
    )
    max_golden_drop: float = Field(0.05, ge=0, le=1, description="Against the live release on the same golden queries.")
    max_item_drop_share: float = Field(0.30, ge=0, le=1, description="Items lost against the live release.")


class Catalog(BaseModel):
    """One declared catalog."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalog_id: str
    title: str = Field("", description="Shown on the search page.")
    description: str = Field("", description="What is in it, for people.")
    space: Literal["encoder", "vectors"] = Field(
        "encoder", description="`vectors`: items bring their own embedding and no encoder runs."
    )
    dimension: int | None = Field(None, ge=1, description="Dimension of the vectors, when `space` is `vectors`.")
    space_inferred: bool = Field(
        False,
        description="Written by `make ingest`: space and dimension were read off a delivery, and follow the next one "
        "until a day is published.",
    )
    source: str | None = Field(
        None,
        description="Where a day's delivery lies when none was recorded: a folder or s3:// prefix with {dt} in it.",
    )
    image_buckets: tuple[str, ...] = Field(
        (),
        description="Where absolute image URIs may point besides the delivery's own bucket: `bucket` or "
        "`bucket/prefix`. The platform's own bucket is opened by prefix only.",
    )
    schedule: str | None = Field(
        None, description="Cron of the daily partition, at midnight ticks; empty: by hand only."
    )
    train_schedule: str | None = Field(
        "0 3 1 * *",
        description="Cron of `train_encoder`, in UTC; by default the first of each month at 3:00. null: by hand only.",
    )
    priority: int = Field(
        0,
        ge=-1000,
        le=1000,
        description="Where catalogs wait for each other: the higher goes first, of equal ones the one declared first; "
        "the default catalog (`VITRINE_DEFAULT_CATALOG`) goes before all.",
    )
    quality: QualityThresholds = QualityThresholds()
    release: ReleaseThresholds = ReleaseThresholds()


def read_catalogs(path: Path) -> dict[str, Catalog]:
    """Returns the declared catalogs by id; a file that is not there declares none.

    Raises:
        CatalogError: the file is no YAML mapping, or a declaration is wrong.
    """
    return _parse_all(path, path.read_text(encoding="utf-8")) if path.is_file() else {}


def get_catalog(path: Path, catalog_id: str) -> Catalog:
    """Returns one declared catalog.

    Raises:
        CatalogError: it is not declared.
    """
    catalogs = read_catalogs(path)
    if catalog_id not in catalogs:
        known = ", ".join(sorted(catalogs)) or "none"
        raise CatalogError(f"catalog {catalog_id!r} is not declared in {path} (declared: {known}); add it there")
    return catalogs[catalog_id]


def in_turn(catalogs: Mapping[str, Catalog], *, default: str) -> list[str]:
    """Returns the ids in the order in which catalogs go where they wait for each other.

    Args:
        catalogs: by id, as `read_catalogs` returns them.
        default: the id of the default catalog, which goes first.
    """
    return sorted(catalogs, key=lambda catalog_id: (catalog_id != default, -catalogs[catalog_id].priority))


def declare_catalog(path: Path, catalog: Catalog) -> bool:
    """Adds a catalog to the file when its id is new; tells whether that changed the file. Other lines stay as they are.

    Where both the declaration and `catalog` are `space_inferred`, the space is written anew: nothing is published yet.

    Raises:
        CatalogError: the id is malformed, or declared already with another embedding space.
    """
    # Of two that read it at once, the second would undo the first.
    with locked(path.with_name(f".{path.name}.lock")):
        existing = read_catalogs(path)
        _parse(path, catalog.catalog_id, catalog.model_dump(exclude={"catalog_id"}))
        if (declared := existing.get(catalog.catalog_id)) is not None:
            if (declared.space, declared.dimension) == (catalog.space, catalog.dimension):
                return False
            if not (declared.space_inferred and catalog.space_inferred):
                raise CatalogError(
                    f"catalog {catalog.catalog_id!r} is declared with space {declared.space!r} and dimension "
                    f"{declared.dimension}, found {catalog.space!r} and {catalog.dimension}; a catalog never mixes "
                    "spaces: deliver to a catalog of another id"
                )
            replace_file(path, _with_space(path, declared, catalog).encode())
            return True
        body = catalog.model_dump(exclude={"catalog_id"}, exclude_defaults=True)
        block = yaml.safe_dump({catalog.catalog_id: body}, sort_keys=False, allow_unicode=True)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if not existing:
            text = "# Catalogs of this platform; docs/settings.md says what each line means.\ncatalogs:\n"
        text = text.rstrip("\n") + "\n" + "".join(f"  {line}\n" for line in block.splitlines())
        replace_file(path, text.encode())
        return True


def _parse_all(path: Path, text: str) -> dict[str, Catalog]:
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise CatalogError(f"{path} is not valid YAML: {error}") from error
    declared = document.get("catalogs") if isinstance(document, Mapping) else None
    if not isinstance(declared, Mapping):
        raise CatalogError(f"{path}: expected a mapping `catalogs:` of id to declaration")
    return {str(catalog_id): _parse(path, str(catalog_id), body or {}) for catalog_id, body in declared.items()}


def _with_space(path: Path, declared: Catalog, catalog: Catalog) -> str:
    """Returns the file's text with another space for a catalog.

    Raises:
        CatalogError: the lines do not stand as they were written, and a person has to change them.
    """
    changed = declared.model_copy(update={"space": catalog.space, "dimension": catalog.dimension})
    body = changed.model_dump(include={"space", "dimension"}, exclude_defaults=True)
    lines: list[str] = []
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("    "):
            inside = re.fullmatch(rf"  {re.escape(catalog.catalog_id)}:\s*", line) is not None
            lines += [line, *(f"    {name}: {value}" for name, value in body.items() if inside)]
        elif not (inside and re.match(r"    (space|dimension):", line)):
            lines.append(line)
    text = "\n".join(lines) + "\n"
    if _parse_all(path, text) != read_catalogs(path) | {catalog.catalog_id: changed}:
        raise CatalogError(
            f"{path}: the space of catalog {catalog.catalog_id!r} was read off a refused delivery, and its lines were "
            f"rewritten since; write `space: {catalog.space}` there"
            + (f" and `dimension: {catalog.dimension}`" if catalog.dimension else "")
        )
    return text


def _parse(path: Path, catalog_id: str, body: object) -> Catalog:
    if not _ID.fullmatch(catalog_id) or catalog_id in _RESERVED:
        raise CatalogError(
            f"{path}: catalog id {catalog_id!r} must be 2 to 40 of a-z, 0-9, - and _, begin with a letter, "
            f"and be none of {', '.join(sorted(_RESERVED))}"
        )
    if not isinstance(body, Mapping):
        raise CatalogError(f"{path}: catalog {catalog_id!r} must be a mapping, found {type(body).__name__}")
    try:
        catalog = Catalog(catalog_id=catalog_id, **body)
    except (ValidationError, TypeError) as error:
        raise CatalogError(f"{path}: catalog {catalog_id!r}: {error}") from error
    if (catalog.space == "vectors") != (catalog.dimension is not None):
        raise CatalogError(f"{path}: catalog {catalog_id!r}: `dimension` belongs to `space: vectors`, and only to it")
    for place in catalog.image_buckets:
        if not _PLACE.fullmatch(place):
            raise CatalogError(
                f"{path}: catalog {catalog_id!r}: `image_buckets` holds {place!r}; expected a bucket, or "
                "bucket/prefix, without s3://"
            )
    return catalog
