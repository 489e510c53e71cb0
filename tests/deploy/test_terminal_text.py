"""What comes from a delivery or another program is shown on a terminal, and does nothing there."""

from __future__ import annotations

import pytest

from deploy.local.__main__ import main
from deploy.local.terminal_text import is_printable, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("robe d’été, 12\u00a0€\n夏のドレス 👗", "robe d’été, 12\u00a0€\n夏のドレス 👗"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\rb\tc\x7f", r"a\rb\tc\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("\udcff", r"\udcff"),
    ],
)
def test_only_what_a_terminal_would_act_on_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    assert is_printable(text.replace("\n", "")) is (text == shown)


def test_a_command_that_fails_shows_what_it_quotes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITRINE_STATE_DIR", str(tmp_path))

    assert main(["ingest", "--source", "/gone/\x1b[2J", "--dt", "2026-11-01"]) == 1

    assert r"SOURCE=/gone/\x1b[2J is not there" in capsys.readouterr().err
