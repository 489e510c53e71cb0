"""What a worker is made of, settings and code, as one hash: an agent knows by it a worker of another time."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from vitrine.identity import canonical_json, sha256_hex
from vitrine.settings import Settings

_ROOT = Path(__file__).resolve().parents[1]
_CODE = ("vitrine", "serving")
# Only the agent reads them.
_OF_THE_AGENT = frozenset({"VITRINE_SEARCH_WORKERS", "VITRINE_REPLICA_POLL_S", "VITRINE_STAGE_TIMEOUT_S"})


def worker_specification(settings: Settings) -> str:
    """Returns a hash of everything that a worker started now would be made of: settings, code, installed packages."""
    variables = {name: value for name, value in settings.to_environment().items() if name not in _OF_THE_AGENT}
    files = [path for name in _CODE for path in sorted((_ROOT / name).rglob("*")) if _is_code(path)]
    code = {str(path.relative_to(_ROOT)): sha256_hex(path.read_bytes()) for path in files}
    packages = sorted(path.name for path in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))
    return sha256_hex(canonical_json([variables, code, packages, sys.version]))


def _is_code(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts
