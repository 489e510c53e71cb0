"""Titles and descriptions of catalogs, from the file in which they are declared."""

from __future__ import annotations

import logging
from pathlib import Path

from vitrine.catalogs import Catalog, read_catalogs
from vitrine.errors import CatalogError

log = logging.getLogger("vitrine.serving")


class CatalogTitles:
    """Reads the file again whenever it changes; a catalog that is not declared is called by its id."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._catalogs: dict[str, Catalog] = {}

    def of(self, catalog_id: str) -> tuple[str, str]:
        """Returns (title, description)."""
        self._refresh()
        catalog = self._catalogs.get(catalog_id)
        return (catalog.title or catalog_id, catalog.description) if catalog else (catalog_id, "")

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
        except OSError:
            return  # what was read before stays
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._catalogs = read_catalogs(self._path)
        except (CatalogError, OSError) as error:
            log.error("titles stay as they are: %s", error)
