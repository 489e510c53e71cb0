"""Whether a search replica answers from a release, asked over HTTP as a client would."""

from __future__ import annotations

import io
from typing import Any

import httpx

from vitrine.contracts.releases import IndexVersion, Release
from vitrine.errors import ReleaseError
from vitrine.storage import ObjectStore, keys

SAMPLED_ITEMS = 5
_REQUEST_TIMEOUT_S = 10.0
_RELEASE_REQUESTS = 8
_ITSELF_SCORE = 0.98  # quantized vectors are not quite as long as those they stand for


def sample_items(object_store: ObjectStore, release: Release) -> list[str]:
    """Returns some item ids from parts of rows all over the release's index; none when it has no such part."""
    import pyarrow.parquet as pq

    prefix = keys.index_prefix(release.catalog_id, release.index_version)
    index = IndexVersion.from_bytes(object_store.get_bytes(f"{prefix}/manifest.json"))
    parts = [file.name for file in index.files if file.name.startswith("rows/")]
    if not parts:
        return []
    read = parts[:: max(1, len(parts) // SAMPLED_ITEMS)][:SAMPLED_ITEMS]
    sampled: list[str] = []
    for position, part in enumerate(read):
        column = pq.read_table(io.BytesIO(object_store.get_bytes(f"{prefix}/{part}")), columns=["item_id"])["item_id"]
        wanted = (position + 1) * SAMPLED_ITEMS // len(read) - position * SAMPLED_ITEMS // len(read)
        step = max(1, len(column) // wanted)
        sampled += [column[row].as_py() for row in range(0, len(column), step)][:wanted]
    return sampled


def check_replica(url: str, release: Release, samples: list[str]) -> None:
    """Checks that a replica answers from a release, in all its workers.

    Asked are `/readyz`, with the release on every worker, `/v1/release`, and for sampled items that the item is there,
    that similar items come from the release, and that its own vector finds it.

    Raises:
        ReleaseError: it does not; the message says what was asked, expected and found.
    """
    catalog_id, release_id = release.catalog_id, release.release_id
    # No connection is used twice, so that the requests meet more than one worker.
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=url, timeout=_REQUEST_TIMEOUT_S, limits=limits, trust_env=False) as client:
        _verify_readiness(client, url, catalog_id, release_id)
        for _ in range(_RELEASE_REQUESTS):
            found = _get(client, "/v1/release", catalog=catalog_id)
            expected = {
                "release_id": release_id,
                "encoder_fingerprint": release.fingerprint,
                "index_version": release.index_version,
                "items": release.items,
                "dimension": release.dimension,
            }
            differing = {name: found.get(name) for name, value in expected.items() if found.get(name) != value}
            if differing:
                raise ReleaseError(f"{url}/v1/release: expected {expected}, found {differing}")
        found_itself = [_verify_item(client, url, release, item_id) for item_id in samples]
    if samples and sum(found_itself) < 0.75 * len(samples):
        raise ReleaseError(
            f"{url}: of {len(samples)} items, {sum(found_itself)} were found by their own vector; "
            "the index and the item table do not belong together, or recall is far too low"
        )


def _verify_readiness(client: httpx.Client, url: str, catalog_id: str, release_id: str) -> None:
    found = _get(client, "/readyz", accept=(200, 503))
    workers = found.get("workers", [])
    behind = [worker for worker in workers if worker.get("releases", {}).get(catalog_id) != release_id]
    if not workers or behind or found.get("live", {}).get(catalog_id) != release_id:
        raise ReleaseError(
            f"{url}/readyz: expected {release_id} live on every worker, found {found.get('reasons') or found}"
        )


def _verify_item(client: httpx.Client, url: str, release: Release, item_id: str) -> bool:
    """Checks one item; tells whether its own vector finds it."""
    similar = _post(client, {"item_id": item_id, "catalog": release.catalog_id, "top_k": 5})
    # By a parameter: a client takes an item called `..` out of a path.
    vector = _get(client, "/v1/item/embedding", item_id=item_id, catalog=release.catalog_id)
    query = {"embedding": vector["embedding"], "catalog": release.catalog_id, "top_k": 10}
    itself = _post(client, query)
    for answer in (similar, vector, itself):
        if answer.get("release_id") != release.release_id:
            raise ReleaseError(
                f"{url}: item {item_id}: expected {release.release_id}, found {answer.get('release_id')}"
            )
    ids = [result["item_id"] for result in similar["results"]]
    if item_id in ids or (release.items > 1 and not ids):
        raise ReleaseError(f"{url}: items similar to {item_id}: expected others, found {ids}")
    results = itself["results"]
    return any(one["item_id"] == item_id or one["score"] >= _ITSELF_SCORE for one in results)


def _get(client: httpx.Client, path: str, *, accept: tuple[int, ...] = (200,), **parameters: str) -> dict[str, Any]:
    return _sent(client, client.build_request("GET", path, params=parameters), accept)


def _post(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    return _sent(client, client.build_request("POST", "/v1/search", json=body), (200,))


def _sent(client: httpx.Client, request: httpx.Request, accept: tuple[int, ...]) -> dict[str, Any]:
    try:
        response = client.send(request)
        if response.status_code not in accept:
            raise ReleaseError(f"{request.method} {request.url}: status {response.status_code}: {response.text[:300]}")
        answer = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ReleaseError(f"{request.method} {request.url}: {type(error).__name__}: {error}") from error
    if not isinstance(answer, dict):
        raise ReleaseError(f"{request.method} {request.url}: expected a JSON object, found {response.text[:300]!r}")
    return answer
