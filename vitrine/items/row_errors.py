"""Errors that stop a job, with the row that it was at: whoever reads them must find what to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vitrine.errors import ImageError, UnforeseenError, VitrineError

REPORT_IT = "take it out of the delivery to go on, and report it"
"""How each `UnforeseenError` ends: a process that only prints its message is recognised by it."""
_LONGEST_NAME = 200


@contextmanager
def at_row(where: str) -> Iterator[None]:
    """Says `where` in front of whatever is raised inside.

    Raises:
        VitrineError: of the class that was raised; an error that nobody foresaw stands in it with its name.
    """
    try:
        with unforeseen_at(where):
            yield
    except ImageError as error:  # its class needs a reason, and a picture's verdict stops no job
        raise VitrineError(f"{where}: {error}") from error
    except UnforeseenError:
        raise
    except VitrineError as error:
        raise type(error)(f"{where}: {error}") from error


@contextmanager
def unforeseen_at(where: str) -> Iterator[None]:
    """Says `where` in front of what nobody foresaw; what is raised on purpose says it already.

    Raises:
        UnforeseenError: with the name of what was raised.
    """
    try:
        yield
    except VitrineError:
        raise
    except Exception as error:
        raise UnforeseenError(f"{where}: {type(error).__name__}: {error}; {REPORT_IT}") from error


def row_name(*, row_number: int | None, item_id: str | None, image_uri: str | None = None) -> str:
    """Names a delivered row."""
    number = "a row" if row_number is None else f"row {row_number}"
    image = "" if image_uri is None else f", image {image_uri[:_LONGEST_NAME]}"
    return f"{number}, item {(item_id or '')[:_LONGEST_NAME]!r}{image}"
