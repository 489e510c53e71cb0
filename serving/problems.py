"""What went wrong, as application/problem+json (RFC 9457): for whoever sent the request, never a stack trace."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, request
from pydantic import ValidationError
from pydantic_core import to_json
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from vitrine.contracts.items import Reason
from vitrine.errors import ImageError, RequestError

log = logging.getLogger("vitrine.serving")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
_MAX_DETAIL = 600
_SHOWN_ERRORS = 3
_TOO_LARGE = {Reason.IMAGE_TOO_MANY_BYTES, Reason.IMAGE_TOO_MANY_PIXELS, Reason.IMAGE_TOO_MUCH_WORK}


class NotReadyError(RequestError):
    """This worker does not serve the catalog yet: try again in a moment."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=503, title="Not ready")


def problem(status: int, detail: str, *, title: str | None = None) -> Response:
    """Returns a problem document as the answer to the current request."""
    body = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail if len(detail) <= _MAX_DETAIL else detail[: _MAX_DETAIL - 1] + "…",
        "instance": request.path[:200],
    }
    response = Response(to_json(body), status=status, mimetype=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def from_validation(error: ValidationError) -> RequestError:
    """Turns what pydantic found into one sentence, without repeating what was sent."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = []
    for one in found[:_SHOWN_ERRORS]:
        where = ".".join(str(part)[:60] for part in one["loc"])
        lines.append(f"{where}: {one['msg']}" if where else one["msg"])
    if len(found) > _SHOWN_ERRORS:
        lines.append(f"and {len(found) - _SHOWN_ERRORS} more")
    return RequestError("; ".join(lines))


def from_image(error: ImageError) -> RequestError:
    """Turns what is wrong with a picture into an answer."""
    status = 413 if error.reason in _TOO_LARGE else 400
    return RequestError(str(error), status=status, title="Picture refused")


def install(app: Flask) -> None:
    """Makes every error of `app` a problem document."""

    @app.errorhandler(RequestError)
    def refused(error: RequestError) -> Response:
        return problem(error.status, str(error), title=error.title)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        detail = _too_large() if isinstance(error, RequestEntityTooLarge) else error.description or ""
        response = problem(error.code or 500, detail, title=error.name)
        for name, value in error.get_headers():
            if name.lower() in {"allow", "location", "retry-after"}:
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.exception("%s %s failed", request.method, request.path, exc_info=error)
        return problem(500, "the search tier failed; its log says why")


def _too_large() -> str:
    length, most = request.content_length, request.max_content_length
    if length is not None and most is not None and length > most:
        return f"expected a body of at most {most:,} bytes, found {length:,}; send a smaller picture"
    parts, text = request.max_form_parts, request.max_form_memory_size
    return f"expected a form of at most {parts} fields, each with at most {text:,} bytes of text"
