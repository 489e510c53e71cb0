"""MLflow's artifacts of platforms that kept them in a bucket of the S3 server; now they have a folder of their own."""

from __future__ import annotations

import contextlib

from deploy.local.configuration import Configuration

_BUCKET = "mlflow"


def take_over_artifacts(configuration: Configuration) -> int:
    """Moves what lies in the bucket `mlflow` to MLflow's own folder; returns the number of files.

    Its database names artifacts by `mlflow-artifacts:/…`, which is relative to wherever they lie. Each file is moved in
    one step, so a move that was cut short goes on; what is in its new place already stays as it is.
    """
    layout = configuration.layout
    before = layout.s3 / _BUCKET / "artifacts"
    moved = 0
    for path in sorted(before.rglob("*")):
        place = layout.mlflow_artifacts / path.relative_to(before)
        if path.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.rename(place)
            moved += 1
    emptied = [*sorted((path for path in before.rglob("*") if path.is_dir()), reverse=True), before]
    if configuration.settings.bucket != _BUCKET:
        emptied.append(before.parent)
    for folder in emptied:
        with contextlib.suppress(OSError):  # not empty: it holds what is not ours; or never there
            folder.rmdir()
    return moved
