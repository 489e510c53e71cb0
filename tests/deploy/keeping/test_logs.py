"""A service that runs for months does not fill the disk with its log."""

from __future__ import annotations

from pathlib import Path

from deploy.local.keeping.logs import keep


def test_a_log_above_the_limit_is_emptied_in_place_and_its_end_is_kept_beside(tmp_path: Path) -> None:
    log = tmp_path / "search.log"
    with log.open("ab") as service:
        service.write(b"begun\n" + b"x" * 5_000 + b"the end\n")
        service.flush()

        cut = keep(tmp_path, limit_bytes=1_000)
        service.write(b"goes on\n")

    assert cut == [log]
    assert log.read_bytes() == b"goes on\n"
    kept = tmp_path / "search.log.1"
    assert len(kept.read_bytes()) == 1_000
    assert kept.read_bytes().endswith(b"the end\n")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_small_log_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "s3.log").write_text("begun\n")

    assert keep(tmp_path, limit_bytes=1_000) == []
    assert (tmp_path / "s3.log").read_text() == "begun\n"
