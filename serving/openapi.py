"""`/openapi.json`, generated from the models of `vitrine.contracts.search`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import vitrine
from serving.queries import MAX_WIDTH
from vitrine.contracts import search
from vitrine.contracts.search import (
    CatalogList,
    Item,
    ItemEmbedding,
    ItemList,
    Liveness,
    LiveRelease,
    Problem,
    Readiness,
    SearchRequest,
    SearchResponse,
)
from vitrine.settings import Settings

_ITEM_ID = (
    "The item, percent-encoded with its slashes: `a%2Fimage`. A slash that is not encoded belongs to the id, too, "
    "unless what follows the last one is `similar`, `embedding` or `image`. Clients take `.` and `..` out of a path: "
    "name such an item by the parameter of `/v1/item`."
)
_REFERENCE = "#/components/schemas/{model}"


def openapi_document(settings: Settings) -> dict[str, Any]:
    """Returns the OpenAPI 3.1 description of the search tier."""
    models: list[type[BaseModel]] = [
        SearchRequest,
        SearchResponse,
        Item,
        ItemList,
        ItemEmbedding,
        CatalogList,
        LiveRelease,
        Problem,
        Readiness,
        Liveness,
    ]
    _, schema = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    top_k = {"type": "integer", "minimum": 1, "maximum": settings.search_max_top_k, "default": 10}
    schema["$defs"][SearchRequest.__name__]["properties"]["top_k"]["maximum"] = settings.search_max_top_k
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vitrine search",
            "version": vitrine.__version__,
            "description": "Search by text, picture, item or vector. Every answer names the release that made it.",
        },
        "paths": _paths(top_k),
        "components": {"schemas": schema["$defs"]},
    }


def _paths(most: dict[str, Any]) -> dict[str, Any]:
    catalog = _parameter("catalog", "Catalog; the default one if left out.")
    item_id = _parameter("item_id", _ITEM_ID, where="path", required=True)
    named = _parameter("item_id", "The item, whatever its id.", required=True)
    top_k = _parameter("top_k", "How many results are wanted.", schema=most)
    limit = _parameter("limit", "How many items are wanted.", schema={**most, "default": 24})
    filters = _parameter("filters", "A JSON object, as in `POST /v1/search`.")
    dedupe = _parameter("dedupe", search.DEDUPE, schema={"type": "string", "enum": ["image", "product"]})
    width = _parameter(
        "width", "Widest picture wanted, in pixels.", schema={"type": "integer", "minimum": 1, "maximum": MAX_WIDTH}
    )
    version = _parameter("v", "Hash of the picture, as in `image_url`: the answer may be cached for ever.")
    return {
        "/v1/search": {"post": {**_operation("Search", SearchResponse), "requestBody": _search_body(most)}},
        "/v1/items": {"get": _operation("Some items of a catalog", ItemList, [catalog, limit])},
        **_item_paths("/v1/items/{item_id}", [item_id, catalog], [top_k, filters, dedupe], [width, version]),
        **_item_paths("/v1/item", [named, catalog], [top_k, filters, dedupe], [width, version]),
        "/v1/catalogs": {"get": _operation("Catalogs that answer", CatalogList)},
        "/v1/release": {"get": _operation("What a catalog serves now", LiveRelease, [catalog])},
        "/healthz": {"get": _operation("The process answers", Liveness)},
        "/readyz": {
            "get": {
                **_operation("Every worker serves what is live", Readiness),
                "responses": {
                    "200": {"description": "Ready", "content": _content(Readiness)},
                    "503": {"description": "Not ready, with the reasons", "content": _content(Readiness)},
                },
            }
        },
        "/metrics": {
            "get": {
                "summary": "Prometheus metrics",
                "responses": {"200": {"description": "Text", "content": {"text/plain": {}}}},
            }
        },
    }


def _item_paths(
    path: str, common: list[dict[str, Any]], similar: list[dict[str, Any]], image: list[dict[str, Any]]
) -> dict[str, Any]:
    picture = {"200": {"description": "The picture", "content": {"image/*": {}}}, **_problems()}
    return {
        path: {"get": _operation("One item", Item, common)},
        f"{path}/similar": {"get": _operation("Similar items", SearchResponse, [*common, *similar])},
        f"{path}/embedding": {"get": _operation("An item's vector", ItemEmbedding, common)},
        f"{path}/image": {"get": {**_operation("An item's picture", None, [*common, *image]), "responses": picture}},
    }


def _search_body(most: dict[str, Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {
            "image": {"type": "string", "format": "binary"},
            "catalog": {"type": "string"},
            "text": {"type": "string", "maxLength": search.MAX_TEXT_LENGTH},
            "item_id": {"type": "string"},
            "top_k": most,
            "filters": {"type": "string", "description": "A JSON object."},
            "dedupe": {"type": "string", "enum": ["image", "product"]},
        },
    }
    return {"required": True, "content": {**_content(SearchRequest), "multipart/form-data": {"schema": form}}}


def _operation(
    summary: str, answer: type[BaseModel] | None, parameters: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    responses = {"200": {"description": summary, **({"content": _content(answer)} if answer else {})}, **_problems()}
    return {"summary": summary, **({"parameters": parameters} if parameters else {}), "responses": responses}


def _problems() -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(model=Problem.__name__)}}}
    return {
        "4XX": {"description": "What is wrong with the request", "content": content},
        "503": {"description": "Not ready; Retry-After says when to ask again", "content": content},
    }


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}}


def _parameter(
    name: str, description: str, *, where: str = "query", required: bool = False, schema: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": description,
        "schema": schema or {"type": "string"},
    }
