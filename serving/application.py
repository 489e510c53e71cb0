"""The Flask app of one worker: routes of the API and the page. What they do stands in the modules beside."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import unquote_to_bytes

from flask import Flask, Response, g, request
from pydantic_core import to_json
from werkzeug.datastructures import MultiDict

from serving import hosts, problems
from serving.front import REFUSED
from serving.images import Pictures
from serving.item_paths import ItemId, ItemPaths
from serving.metrics import Metrics
from serving.openapi import openapi_document
from serving.problems import NotReadyError
from serving.queries import MAX_WIDTH, Query, read_parameters, read_query, similar_query, whole_number
from serving.readiness import read_readiness
from serving.replica_folder import ReplicaFolder
from serving.searching import answer, find_item, image_url, spread_items
from serving.worker_slots import ServingRelease, WorkerSlots
from vitrine.connections import open_object_store
from vitrine.contracts.search import (
    MAX_TEXT_LENGTH,
    CatalogList,
    Item,
    ItemEmbedding,
    Limits,
    LiveCatalog,
    Liveness,
    LiveRelease,
)
from vitrine.errors import RequestError
from vitrine.settings import Settings

PAGE = Path(__file__).parent / "page"
_ASSETS = {
    "style.css": "text/css",
    "search.js": "text/javascript",
    "view.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_IMAGE_TIMEOUT_S = 1.5  # a picture is not worth a thread for longer, nor a second attempt


def create_app(settings: Settings, *, slots: WorkerSlots, folder: ReplicaFolder) -> Flask:
    """Makes the app; it answers by what `slots.live` holds at the moment of each request."""
    app = Flask("vitrine.serving", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.search_max_body_bytes
    app.config["MAX_FORM_PARTS"] = 20
    app.url_map.merge_slashes = False  # slashes belong to item ids
    app.url_map.converters["path"] = ItemId
    app.wsgi_app = ItemPaths(app.wsgi_app)  # type: ignore[method-assign]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    metrics = Metrics(pins=slots.pins)
    store = open_object_store(settings, timeout_s=min(settings.s3_timeout_s, _IMAGE_TIMEOUT_S), max_attempts=1)
    pictures = Pictures(store, folder.images, settings)
    problems.install(app)
    measure_requests(app, metrics)
    hosts.install(app, settings)
    _search_routes(app, settings, slots, metrics)
    _item_routes(app, settings, slots, pictures)
    _catalog_routes(app, settings, slots)
    _operation_routes(app, settings, folder, metrics)
    _page_routes(app)
    return app


def _serving(slots: WorkerSlots, catalog_id: str | None) -> ServingRelease:
    """Returns what answers for a catalog: one object, kept for the whole request."""
    live = slots.live
    name = catalog_id or live.default_catalog
    serving = live.releases.get(name)
    if serving is not None:
        return serving
    if name in live.awaited:
        raise NotReadyError(f"catalog {name[:64]} is being loaded by this worker; try again in a moment")
    known = ", ".join(sorted({*live.releases, *live.awaited})) or "none"
    raise RequestError(
        f"there is no live catalog {name[:64]!r}" + ("" if catalog_id else " (the default one)") + f"; live: {known}",
        status=404,
        title="No such catalog",
    )


def _named_item(item_id: str | None) -> tuple[str, MultiDict[str, str]]:
    """Returns the id of the item that a request names, in its path or by a parameter, and its other parameters."""
    if item_id is not None:
        return item_id, request.args
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:  # Werkzeug would read it as the text `%FF`, which is another id
        raise RequestError(f"expected parameters in UTF-8, found other bytes: {error}") from error
    named = request.args.getlist("item_id")
    if len(named) != 1 or not named[0]:
        raise RequestError(f"expected one parameter item_id, which names the item; found {len(named)}")
    others = MultiDict((name, value) for name, value in request.args.items(multi=True) if name != "item_id")
    return named[0], others


def _search_routes(app: Flask, settings: Settings, slots: WorkerSlots, metrics: Metrics) -> None:
    def respond(query: Query) -> Response:
        serving = _serving(slots, query.catalog_id)
        found = answer(query, serving, settings)
        metrics.queries.labels(serving.catalog_id, serving.release_id, query.modality).inc()
        metrics.encode_seconds.labels(query.modality).observe(found.encode_s)
        metrics.index_seconds.labels(serving.catalog_id).observe(found.search_s)
        if not found.body["results"]:
            metrics.empty_answers.labels(serving.catalog_id).inc()
        return _json(found.body)

    @app.post("/v1/search")
    def search() -> Response:
        return respond(read_query(request, settings))

    @app.get("/v1/item/similar")
    @app.get("/v1/items/<path:item_id>/similar")
    def similar(item_id: str | None = None) -> Response:
        item_id, parameters = _named_item(item_id)
        return respond(similar_query(item_id, parameters, settings))


def _item_routes(app: Flask, settings: Settings, slots: WorkerSlots, pictures: Pictures) -> None:
    @app.get("/v1/items")
    def some_items() -> Response:
        values = read_parameters(request.args, {"catalog", "limit"})
        limit = whole_number("limit", values.get("limit", "24"), most=settings.search_max_top_k)
        return _json(spread_items(_serving(slots, values.get("catalog")), limit=limit))

    @app.get("/v1/item")
    @app.get("/v1/items/<path:item_id>")
    def item(item_id: str | None = None) -> Response:
        item_id, parameters = _named_item(item_id)
        serving = _serving(slots, read_parameters(parameters, {"catalog"}).get("catalog"))
        found = find_item(item_id, serving)
        fields = {name: getattr(found, name) for name in Item.model_fields if hasattr(found, name)}
        return _json({**fields, "release_id": serving.release_id, "image_url": image_url(found, serving.catalog_id)})

    @app.get("/v1/item/embedding")
    @app.get("/v1/items/<path:item_id>/embedding")
    def embedding(item_id: str | None = None) -> Response:
        item_id, parameters = _named_item(item_id)
        serving = _serving(slots, read_parameters(parameters, {"catalog"}).get("catalog"))
        vector = serving.loaded.index.reconstruct(find_item(item_id, serving).row)
        body = ItemEmbedding(item_id=item_id, release_id=serving.release_id, embedding=vector.tolist())
        return _json(body)

    @app.get("/v1/item/image")
    @app.get("/v1/items/<path:item_id>/image")
    def image(item_id: str | None = None) -> Response:
        item_id, parameters = _named_item(item_id)
        values = read_parameters(parameters, {"catalog", "width", "v"})
        width = whole_number("width", values["width"], most=MAX_WIDTH) if "width" in values else None
        serving = _serving(slots, values.get("catalog"))
        found = find_item(item_id, serving)
        picture = pictures.get(found, serving.catalog_id, width=width)
        response = Response(picture.data, mimetype=picture.media_type)
        response.set_etag(picture.etag)
        is_named = found.picture is not None and values.get("v") == found.picture.sha256[:16]
        # Only a URL that names the picture's hash always gives the same bytes.
        lasting = "public, max-age=31536000, immutable" if is_named else "public, max-age=60"
        response.headers["Cache-Control"] = lasting
        response.make_conditional(request)
        return response


def _catalog_routes(app: Flask, settings: Settings, slots: WorkerSlots) -> None:
    @app.get("/v1/catalogs")
    def catalogs() -> Response:
        read_parameters(request.args, set())
        live = slots.live
        body = CatalogList(
            catalogs=[
                LiveCatalog(
                    catalog_id=name,
                    title=serving.title,
                    description=serving.description,
                    items=serving.loaded.release.items,
                    space=serving.loaded.release.space,
                    release_id=serving.release_id,
                    dimension=serving.loaded.release.dimension,
                    filters={column.name: column.kind for column in serving.loaded.items.columns.values()},
                    is_default=name == live.default_catalog,
                )
                for name, serving in sorted(live.releases.items())
            ],
            limits=Limits(
                top_k=settings.search_max_top_k,
                text_length=MAX_TEXT_LENGTH,
                image_bytes=min(settings.image_max_bytes, settings.search_max_body_bytes),
                image_pixels=settings.search_max_pixels,
            ),
        )
        return _json(body)

    @app.get("/v1/release")
    def release() -> Response:
        serving = _serving(slots, read_parameters(request.args, {"catalog"}).get("catalog"))
        live = serving.loaded.release
        body = LiveRelease(
            release_id=live.release_id,
            encoder_fingerprint=live.fingerprint,
            encoder_version=live.encoder_version,
            index_version=live.index_version,
            items=live.items,
            dimension=live.dimension,
            recall_at_10=live.recall_at_10,
            activated_at=serving.activated_at,
            slot=serving.slot,
            pinned=serving.pinned,
        )
        return _json(body)


def _operation_routes(app: Flask, settings: Settings, folder: ReplicaFolder, metrics: Metrics) -> None:
    @app.get("/healthz")
    def health() -> Response:
        return _json(Liveness(status="ok"))

    @app.get("/readyz")
    def readiness() -> Response:
        found = read_readiness(folder)
        response = _json(found)
        if found.reasons:
            response.status_code = 503
            response.headers["Retry-After"] = str(problems.RETRY_AFTER_S)
        return response

    @app.get("/metrics")
    def exposition() -> Response:
        return Response(metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")

    document = to_json(openapi_document(settings))

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(document, mimetype="application/json")


def _page_routes(app: Flask) -> None:
    def file(name: str, media_type: str) -> Response:
        response = Response((PAGE / name).read_bytes(), mimetype=media_type)
        response.add_etag()
        response.headers["Cache-Control"] = "no-cache"  # asked for again each time, sent only when it changed
        response.make_conditional(request)
        return response

    @app.get("/")
    def page() -> Response:
        response = file("index.html", "text/html")
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        return response

    @app.get("/page/<name>")
    def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise RequestError(f"the page has no file {name[:40]!r}", status=404, title="Not found")
        return file(name, _ASSETS[name])


def measure_requests(app: Flask, metrics: Metrics) -> None:
    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        refused: RequestError | None = request.environ.get(REFUSED)
        if refused is not None:
            raise refused

    @app.after_request
    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "unknown"
        metrics.requests.labels(route, str(response.status_code)).inc()
        metrics.request_seconds.labels(route).observe(time.perf_counter() - g.started)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _json(body: object) -> Response:
    return Response(to_json(body), mimetype="application/json")
