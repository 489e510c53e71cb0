"""`python -m benchmarks.attacks`: what an attack prints and how it ends is what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import attacks
from benchmarks.attacks import __main__ as command


@pytest.mark.parametrize(
    ("body", "max_seconds", "outcome", "summary"),
    [
        ("print('tried: 10 sent, 0 failed')\n    return 0", 600.0, "held", "10 sent, 0 failed"),
        ("print('tried: 10 sent, 3 failed')\n    return 1", 600.0, "FAILED", "10 sent, 3 failed"),
        ("import os\n    os.abort()", 600.0, "ENDED BY -6", "said nothing"),
        ("import time\n    print('waiting', flush=True)\n    time.sleep(600)", 6.0, "ENDED BY -9", "waiting"),
    ],
)
def test_an_attack_that_fails_crashes_or_never_ends_is_told_from_one_that_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, max_seconds: float, outcome: str, summary: str
) -> None:
    package = tmp_path / "benchmarks" / "attacks"
    package.mkdir(parents=True)
    (package / "tried.py").write_text(f"def main():\n    {body}\n")
    monkeypatch.setattr(command, "ROOT", tmp_path)  # where the process of an attack starts
    monkeypatch.delenv("PYTHONPATH", raising=False)

    ran = command.run_attack("tried", max_seconds=max_seconds)

    assert (ran.outcome, ran.summary) == (outcome, summary)


def test_every_module_that_offers_main_is_an_attack() -> None:
    modules = {path.stem for path in Path(attacks.__file__).parent.glob("*.py") if "\ndef main(" in path.read_text()}

    assert set(command.attacks()) == modules - {"__main__"}
