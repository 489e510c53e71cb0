"""Data Docs and the result JSON of a validation: in the object store, and a copy in the state folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from vitrine.files.scratch import swept_folder
from vitrine.files.whole import replace_folder
from vitrine.storage import ObjectStore


def publish_data_docs(object_store: ObjectStore, docs_dir: Path, *, prefix: str, report: Mapping[str, object]) -> None:
    """Uploads rendered Data Docs and `result.json` (last), unless this manifest's are there."""
    if object_store.exists(f"{prefix}/result.json"):
        return
    pages = sorted(path for path in docs_dir.rglob("*") if path.is_file())
    pages.sort(key=lambda path: path == docs_dir / "index.html")  # a site whose index exists has its pages
    for path in pages:
        key = f"{prefix}/{path.relative_to(docs_dir).as_posix()}"
        if not object_store.exists(key):
            object_store.put_file(key, path)
    object_store.put_bytes(f"{prefix}/result.json", json.dumps(report, indent=1, sort_keys=True, default=str).encode())


def keep_local_copy(docs_dir: Path, target: Path) -> Path:
    """Replaces the day's local Data Docs with these and returns their first page."""
    with swept_folder(target.parent / ".arriving", target.name) as folder:
        arriving = folder / "docs"
        shutil.copytree(docs_dir, arriving)
        replace_folder(arriving, target)
    return target / "index.html"
