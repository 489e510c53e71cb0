"""Finds in a task's log why it failed: what it refused, in its own words, or where it broke."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitrine import errors
from vitrine.items.row_errors import REPORT_IT

_FRAMES = 4
_UNFORESEEN = errors.UnforeseenError.__name__
_FORESEEN = {name for name, value in vars(errors).items() if isinstance(value, type)} - {_UNFORESEEN}
# How a stage in a process of its own begins a refusal, and lines that cannot continue one.
_SAID_BY_A_CHILD = "error: "
_NEXT_LINE = re.compile(r"\d\d/\d\d/\d\d \d\d:|\d{4}-\d\d-\d\d[ T]\d\d:|Traceback |Exception |[A-Z]+: |\[.+\]")
# What the operator raises when its process fails: the whole command line, then the status.
_EXIT_STATUS = re.compile(r"Cannot execute: .*Error code is: (-?\d+)\.", re.DOTALL)
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True)
class TaskError:
    """Why a task failed.

    Attributes:
        message: of the error, as written, with all its lines.
        is_foreseen: whether Vitrine raised it on purpose, so that it says what to do and needs no traceback.
        frames: where an unforeseen error broke, innermost last; may be empty.
    """

    message: str
    is_foreseen: bool
    frames: tuple[str, ...] = ()


def read_task_error(entries: Sequence[Mapping[str, Any]]) -> TaskError | None:
    """Returns why a task failed, from the entries of its log; None if they do not say.

    A task that runs a child process fails with its exit status, so what the child printed is returned instead.
    """
    raised = _raised(entries)
    ended = _EXIT_STATUS.search(raised.message) if raised is not None else None
    if raised is not None and ended is None:
        return raised
    if said := _said_by_child(entries):
        return said
    return ended and TaskError(f"spark-submit ended with status {ended[1]} and did not say why", is_foreseen=False)


def _raised(entries: Sequence[Mapping[str, Any]]) -> TaskError | None:
    """The last exception that Airflow logged with a traceback."""
    for entry in reversed(entries):
        details = [detail for detail in entry.get("error_detail") or [] if isinstance(detail, Mapping)]
        if details:
            error, cause = details[0], details[-1]
            name, text = str(error.get("exc_type")), str(error.get("exc_value") or "").strip()
            if name in _FORESEEN:
                return TaskError(text, is_foreseen=True)
            # An error that only adds the row to another says what its cause was, but not where that broke.
            frames = (cause if name == _UNFORESEEN else error).get("frames") or []
            return TaskError(
                text if name == _UNFORESEEN else f"{name}: {text}" if text else name,
                is_foreseen=False,
                frames=tuple(
                    f"{frame.get('filename')}:{frame.get('lineno')} in {frame.get('name')}"
                    for frame in frames[-_FRAMES:]
                ),
            )
    return None


def _said_by_child(entries: Sequence[Mapping[str, Any]]) -> TaskError | None:
    lines = list(_child_lines(entries))
    for place in reversed(range(len(lines))):
        if lines[place].startswith(_SAID_BY_A_CHILD):
            rest = _until(lines[place + 1 :])
            message = "\n".join([lines[place].removeprefix(_SAID_BY_A_CHILD), *rest])
            return TaskError(message, is_foreseen=REPORT_IT not in message)
    for place in reversed(range(len(lines))):
        if lines[place] == _TRACEBACK:
            return _traceback(lines[place + 1 :])
    return None


def _child_lines(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines that child processes printed: spark-submit's hook logs each as it comes."""
    for entry in entries:
        if str(entry.get("logger", "")).endswith("SparkSubmitHook"):
            yield from str(entry.get("event", "")).splitlines()


def _until(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if _NEXT_LINE.match(line):
            return
        yield line.rstrip()


def _traceback(lines: Sequence[str]) -> TaskError | None:
    """The last line of a traceback, and its innermost frames."""
    frames: list[str] = []
    for line in lines:
        if place := re.match(r'  File "(.+)", line (\d+), in (.+)', line):
            frames.append(f"{place[1]}:{place[2]} in {place[3]}")
        elif line and not line[0].isspace():
            return TaskError(line.strip(), is_foreseen=False, frames=tuple(frames[-_FRAMES:]))
    return None
