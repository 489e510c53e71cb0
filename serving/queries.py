"""From a request to a query: exactly one of text, picture, item and vector, checked before anything is computed."""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flask import Request
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import HTTPException

from serving.problems import from_validation
from vitrine.contracts.search import SearchRequest
from vitrine.errors import RequestError
from vitrine.item_table.groups import GroupKind
from vitrine.settings import Settings

INPUTS = ("text", "image", "item_id", "embedding")
MAX_WIDTH = 100_000  # pixels that a picture may be asked for; it is never made larger than it is
_FORM_FIELDS = {"catalog", "text", "item_id", "top_k", "filters", "dedupe"}
_SPACES = "\t\n\r"


@dataclass(frozen=True)
class Query:
    """A checked request. Exactly one of `text`, `image`, `item_id` and `embedding` is not None.

    Attributes:
        modality: the name of that one.
        image: bytes of a picture file, not decoded yet.
        embedding: (dimension,), float32, unit L2 norm; its dimension is not checked yet.
    """

    modality: str
    catalog_id: str | None
    text: str | None
    item_id: str | None
    image: bytes | None
    embedding: NDArray[np.float32] | None
    top_k: int
    filters: dict[str, Any] | None
    dedupe: GroupKind | None

    @classmethod
    def of(cls, request: SearchRequest, *, image: bytes | None, settings: Settings) -> Query:
        """Checks a request.

        Args:
            image: the picture file of a form.

        Raises:
            RequestError: it does not ask by exactly one of them, or a value is wrong.
        """
        given = [name for name in INPUTS if getattr(request, name) is not None]
        if image is not None:
            given = [*given, "image"]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise RequestError(f"expected exactly one of {', '.join(INPUTS)}; found {found}")
        if request.top_k > settings.search_max_top_k:
            raise RequestError(f"top_k: expected 1 to {settings.search_max_top_k}, found {request.top_k}")
        return cls(
            modality=given[0],
            catalog_id=_plain("catalog", request.catalog),
            text=_words(request.text),
            item_id=_plain("item_id", request.item_id),
            image=image if image is not None else _picture(request.image),
            embedding=_unit_vector(request.embedding),
            top_k=request.top_k,
            filters=request.filters or None,
            dedupe=request.dedupe,
        )


def read_query(request: Request, settings: Settings) -> Query:
    """Reads the body of `POST /v1/search`: JSON, or a multipart form with a picture.

    Raises:
        RequestError: the body is wrong; the message says how.
    """
    if request.args:
        raise RequestError("expected the query in the body; found parameters in the URL")
    if request.mimetype == "application/json":
        return _parsed(request.get_data(cache=False), image=None, settings=settings)
    if request.mimetype == "multipart/form-data":
        return _form_query(request, settings)
    raise RequestError(
        f"expected application/json or multipart/form-data, found {request.mimetype[:80] or 'no content type'!r}",
        status=415,
        title="Unsupported media type",
    )


def similar_query(item_id: str, parameters: MultiDict[str, str], settings: Settings) -> Query:
    """Reads the parameters of `GET /v1/items/<item_id>/similar`.

    Raises:
        RequestError: a parameter is unknown or wrong.
    """
    values = read_parameters(parameters, {"catalog", "top_k", "filters", "dedupe"})
    return _validated({**_form_values(values, settings), "item_id": item_id}, image=None, settings=settings)


def read_parameters(parameters: MultiDict[str, str], known: set[str]) -> dict[str, str]:
    """Returns parameters that are known and given once.

    Raises:
        RequestError: one is neither.
    """
    unknown = sorted(set(parameters) - known)
    if unknown:
        shown = ", ".join(name[:40] for name in unknown[:5])
        raise RequestError(f"unknown parameter {shown}; known are {', '.join(sorted(known)) or 'none'}")
    for name in parameters:
        if len(parameters.getlist(name)) > 1:
            raise RequestError(f"parameter {name} is given more than once")
    return parameters.to_dict()


def whole_number(name: str, text: str, *, most: int) -> int:
    """Reads a number from 1 to `most`.

    Raises:
        RequestError: the text is no such number.
    """
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    if not 1 <= number <= most:
        raise RequestError(f"{name}: expected a whole number from 1 to {most}, found {text[:40]!r}")
    return number


def _form_query(request: Request, settings: Settings) -> Query:
    texts, files = _parts(request)
    # A part without a name is one of the name None.
    unknown = sorted(str(name or "without a name") for name in (set(texts) - _FORM_FIELDS) | (set(files) - {"image"}))
    if unknown:
        shown = ", ".join(name[:40] for name in unknown[:5])
        raise RequestError(f"unknown form field {shown}; known are image (a file), {', '.join(sorted(_FORM_FIELDS))}")
    pictures = files.getlist("image")
    if len(pictures) > 1:
        raise RequestError(f"expected one picture in the field image, found {len(pictures)}")
    image = pictures[0].read() if pictures else None
    if image == b"":
        raise RequestError("the field image holds an empty file")
    _check_size(image, settings)
    values = read_parameters(texts, _FORM_FIELDS)
    return _validated(_form_values(values, settings), image=image, settings=settings)


def _parts(request: Request) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """Returns the text fields and the files of a form.

    Raises:
        RequestError: it cannot be read.
    """
    try:
        return request.form, request.files
    except HTTPException:
        raise  # too large, or the client has left: said elsewhere
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # What the parser makes of a broken form is not for it to say: charsets, parameters, parts without a head.
        raise RequestError(f"the form cannot be read: {error}") from error


def _form_values(values: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    """Fields of a form or a URL are text: numbers and filters are read from it."""
    read: dict[str, Any] = dict(values)
    if "top_k" in values:
        read["top_k"] = whole_number("top_k", values["top_k"], most=settings.search_max_top_k)
    if "filters" in values:
        try:
            read["filters"] = from_json(values["filters"], allow_inf_nan=False)
        except ValueError as error:
            raise RequestError(f"filters: expected a JSON object, found text that is not JSON: {error}") from error
    return read


def _parsed(body: bytes, *, image: bytes | None, settings: Settings) -> Query:
    try:
        request = SearchRequest.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from error
    query = Query.of(request, image=image, settings=settings)
    _check_size(query.image, settings)
    return query


def _validated(values: dict[str, Any], *, image: bytes | None, settings: Settings) -> Query:
    try:
        return Query.of(SearchRequest.model_validate(values), image=image, settings=settings)
    except ValidationError as error:
        raise from_validation(error) from error


def _check_size(image: bytes | None, settings: Settings) -> None:
    if image is not None and len(image) > settings.image_max_bytes:
        raise RequestError(
            f"image: expected at most {settings.image_max_bytes:,} bytes, found {len(image):,}",
            status=413,
            title="Picture refused",
        )


def _plain(name: str, value: str | None) -> str | None:
    if value is not None and (not value or any(unicodedata.category(letter) == "Cc" for letter in value)):
        raise RequestError(f"{name}: expected text without control characters, found {value[:40]!r}")
    return value


def _words(text: str | None) -> str | None:
    if text is None:
        return None
    if any(unicodedata.category(letter) == "Cc" and letter not in _SPACES for letter in text):
        raise RequestError("text: expected words, found control characters")
    words = " ".join(text.split())
    if not words:
        raise RequestError("text: expected words, found nothing but spaces")
    return words


def _picture(encoded: str | None) -> bytes | None:
    if encoded is None:
        return None
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    try:
        image = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"image: expected a picture file as base64: {error}") from error
    if not image:
        raise RequestError("image: expected a picture file as base64, found nothing")
    return image


def _unit_vector(values: list[float] | None) -> NDArray[np.float32] | None:
    if values is None:
        return None
    vector = np.asarray(values, dtype=np.float64)
    largest = float(np.abs(vector).max()) if len(vector) else 0.0
    if largest == 0.0:
        raise RequestError("embedding: expected a vector that is not zero; it points nowhere")
    vector = vector / largest  # so that squares neither overflow nor vanish
    return (vector / np.linalg.norm(vector)).astype(np.float32)
