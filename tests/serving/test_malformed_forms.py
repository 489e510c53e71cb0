"""Forms that no browser sends: each is answered, and none as if it were another."""

from __future__ import annotations

import pytest
from flask import Flask

PART = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nred\r\n'
END = b"--x--\r\n"


def _part(head: bytes, body: bytes = b"red") -> bytes:
    return b"--x\r\n" + head + b"\r\n\r\n" + body + b"\r\n"


@pytest.mark.parametrize(
    "body",
    [
        _part(b"Content-Disposition: form-data") + END,
        _part(b"Content-Disposition: form-data") + PART + END,
        _part(b'Content-Disposition: form-data; name=""') + PART + END,
        _part(b'Content-Disposition: form-data; filename="a.jpg"') + END,
        _part(b'Content-Disposition: form-data; filename="a.jpg"') + PART + END,
        _part(b"Content-Disposition: form-data; name*=utf-8''te%ffxt") + END,
        _part(b'Content-Disposition: form-data; name="\xff\xfe"') + END,
        _part(b'Content-Disposition: form-data; name="image"') + END,
        _part(b'Content-Disposition: form-data; name="text"; filename="a"') + END,
        _part(b'Content-Disposition: form-data; name="image"; filename="a"', b"") + END,
        _part(b"Content-Disposition: form-data; name=\"image\"; filename*=zzz'x'%ff", b"no picture") + END,
        _part(b'Content-Disposition: form-data; name="filters"', b"[" * 90_000) + END,
        _part(b'Content-Disposition: form-data; name="top_k"', b"9" * 5_000) + PART + END,
        _part(b"Content-Disposition: form-data; name=" + b"a" * 100_000) + END,
        PART * 30 + END,
        PART + PART + END,
        b"--x\r\n\r\nred\r\n" + END,
        b"--x\r\nContent-Type: text/plain; charset=zzz\r\n\r\nred\r\n" + END,
        b"--x\r\nno head at all\r\n\r\nred\r\n" + END,
        b"--x\r\n: \r\n\r\nred\r\n" + END,
        PART,
        b"--x\r\nContent-Disposition: form-da",
        END,
        b"--x",
        b"",
        b"\r\n" * 50_000,
        b"--y\r\n" + PART[5:] + b"--y--\r\n",
    ],
    ids=range(27),
)
def test_a_form_that_is_none_is_refused_with_a_reason(odd_app: Flask, body: bytes) -> None:
    answer = odd_app.test_client().post("/v1/search", data=body, content_type="multipart/form-data; boundary=x")

    assert answer.status_code in (400, 413), answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.json is not None
    assert answer.json["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 5_000,
        'multipart/form-data; boundary="é"',
        "multipart/form-data; boundary=\xff",
        "multipart/form-data; boundary*=utf-8''%ff",
        "multipart/form-data; charset=zzz",
        "multipart/form-data;;;",
        "multipart/mixed; boundary=x",
        "multipart/",
        "application/x-www-form-urlencoded",
        "text/plain",
    ],
)
def test_a_form_without_its_boundary_or_of_another_kind_is_refused(odd_app: Flask, content_type: str) -> None:
    answer = odd_app.test_client().post("/v1/search", data=PART + END, content_type=content_type)

    assert answer.status_code in (400, 413, 415), answer.text
    assert answer.mimetype == "application/problem+json"


def test_a_form_as_browsers_send_it_is_answered(odd_app: Flask) -> None:
    body = PART.replace(b"text", b"item_id").replace(b"red", b"a/image") + END

    answer = odd_app.test_client().post("/v1/search", data=body, content_type="multipart/form-data; boundary=x")

    assert answer.status_code == 200, answer.text
