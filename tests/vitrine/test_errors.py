"""What an error says may be printed anywhere."""

from __future__ import annotations

import pytest

from vitrine.errors import LedgerError, StorageError


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("MLflow at https://ada:hush@mlflow.example/x failed", "MLflow at https://…@mlflow.example/x failed"),
        ("postgresql+psycopg2://vitrine:hush@/vitrine?host=/s", "postgresql+psycopg2://…@/vitrine?host=/s"),
        ("s3://bucket/a@b/key does not exist", "s3://bucket/a@b/key does not exist"),
        ("http://127.0.0.1:9000 is away; ask ada@example.org", "http://127.0.0.1:9000 is away; ask ada@example.org"),
    ],
)
def test_a_login_inside_a_url_is_not_shown(message: str, shown: str) -> None:
    assert str(StorageError(message)) == shown
    assert f"{LedgerError(message)}" == shown
