"""What another program's HTTP API answers, read as the JSON object that it must be."""

from __future__ import annotations

from typing import Any

import httpx

from vitrine.errors import VitrineError


def json_object(answer: httpx.Response, *, program: str, error: type[VitrineError]) -> dict[str, Any]:
    """Returns the JSON object that a program has answered with.

    Raises:
        VitrineError: of the type `error`: the answer is none, so another program may have the port.
    """
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise error(
            f"{answer.request.method} {answer.url}: expected a JSON object, found {answer.text[:200]!r}; "
            f"is it {program}?"
        )
    return body
