"""The drill of a promotion: its platform shares nothing with another, and a kept state is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.promotion_drill import __main__ as drill
from deploy.local.layout import Layout


def test_a_drill_has_ports_and_a_folder_of_its_own_and_keeps_those_of_a_kept_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_S3_PORT", "9000")
    layout = Layout(tmp_path)

    first = drill._environment(layout, "shop-02")
    layout.env_file.write_text("VITRINE_S3_PORT=12345\n")
    again = drill._environment(layout, "shop-02")

    chosen = {name: value for name, value in first.items() if name.startswith("VITRINE_")}
    ports = {value for name, value in chosen.items() if name.endswith("_PORT")}
    assert len(ports) == 4 and not ports & {"8000", "8080", "5000", "9000"}
    assert chosen["VITRINE_DEFAULT_CATALOG"] == "shop-02"
    assert [name for name in again if name.startswith("VITRINE_")] == ["VITRINE_STATE_DIR"]
