"""One reader for each column of an item: a delivered value in, a normalised value out, or `WrongType` that says why."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.items.byte_ranges import Unreadable

MAX_ITEM_ID = 512
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# Seconds up to the year 5138; larger numbers are milliseconds, as JavaScript and many warehouses write them.
_LARGEST_SECONDS = 1e11
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_JSON_ERRORS = (ValueError, TypeError, RecursionError)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class WrongType(Exception):
    """A value is not what its column holds."""


def read_item_id(value: Any) -> str:
    """An identifier: text without control characters, at most 512 long; whole numbers are written out."""
    text = read_identifier(value)
    if _CONTROL.search(text):
        raise WrongType("expected an identifier without control characters")
    if len(text) > MAX_ITEM_ID:
        raise WrongType(f"expected at most {MAX_ITEM_ID} characters, found {len(text)}")
    return text


def read_identifier(value: Any) -> str:
    """Text, or a whole number, as databases hand out."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return read_text(value).strip()


def read_text(value: Any) -> str:
    """Text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise _unexpected("text", value)
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise WrongType("expected text, found half of a surrogate pair")
    return value


def read_number(value: Any, *, text: bool = False) -> float:
    """A finite number."""
    if text and isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal | np.floating):
        raise _unexpected("a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _unexpected("a finite number", value)
    return number


def read_boolean(value: Any, *, text: bool = False) -> bool:
    """true or false; without types also 1, 0, yes and no."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if text and isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    raise _unexpected("true or false", value)


def read_time(value: Any) -> datetime.datetime:
    """An instant in UTC: ISO 8601, a date, or seconds or milliseconds since 1970; without a zone it is UTC."""
    try:
        if isinstance(value, datetime.datetime):
            moment = value
        elif isinstance(value, datetime.date):
            moment = datetime.datetime(value.year, value.month, value.day)
        elif isinstance(value, str):
            text = value.strip()
            # Eight digits are a date (20261101), other numbers count from 1970.
            if not _NUMBER.fullmatch(text) or len(text) == 8:
                moment = datetime.datetime.fromisoformat(text)
            else:
                moment = _since_1970(float(text))
        else:
            moment = _since_1970(read_number(value))
        moment = moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError, WrongType) as error:
        raise _unexpected("a time such as 2026-11-01T09:30:00Z", value) from error
    # pandas' timestamps carry nanoseconds, and the contract microseconds.
    return datetime.datetime(*moment.timetuple()[:6], moment.microsecond, datetime.UTC)


def read_attributes(value: Any) -> dict[str, Any]:
    """A JSON object, as such or as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _unexpected("a JSON object", value) from error
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        value = dict(value)  # a map of Parquet
    if not isinstance(value, Mapping):
        raise _unexpected("a JSON object", value)
    return dict(value)


def read_embedding(value: Any) -> NDArray[np.float32]:
    """A vector: a list of numbers, as such or as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise _unexpected("a list of numbers", value) from error
    if isinstance(value, list):
        if not all(isinstance(entry, int | float) and not isinstance(entry, bool) for entry in value):
            raise _unexpected("a list of numbers", value)
    elif not isinstance(value, np.ndarray):
        raise _unexpected("a list of numbers", value)
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which has a reason of its own
            return np.asarray(value, dtype=np.float64).astype(np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise _unexpected("a list of numbers", value) from error


def attributes_json(attributes: dict[str, Any]) -> str:
    """Returns attributes as the text of a JSON object, keys in order; those without a value are left out."""
    kept = {name: value for name, value in attributes.items() if value is not None}
    if not kept:
        return "{}"
    try:
        return _json_text(kept)
    except _JSON_ERRORS:
        for name, value in kept.items():
            _check_attribute(name, value)
        raise WrongType("expected names and values that JSON can hold") from None


def shown(value: Any) -> str:
    """Returns a value as it is quoted in a detail: short, on one line, and printable."""
    if isinstance(value, Unreadable):
        return value.detail
    if isinstance(value, np.ndarray):
        return f"{value.size} numbers"
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
        text.encode()
    except (ValueError, RecursionError):  # whole numbers of thousands of digits, and surrogates in containers
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _unexpected(expected: str, value: Any) -> WrongType:
    return WrongType(f"expected {expected}, found {shown(value)}")


def _since_1970(number: float) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(seconds=number if abs(number) < _LARGEST_SECONDS else number / 1000)


def _check_attribute(name: str, value: Any) -> None:
    try:
        _json_text({name: value})
    except _JSON_ERRORS as error:
        raise WrongType(f"{shown(name)}: expected a value that JSON can hold, found {shown(value)}") from error


def _json_text(values: dict[str, Any]) -> str:
    text = json.dumps(
        values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )
    text.encode()  # surrogates cannot be
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    raise TypeError(f"a {type(value).__name__}")
