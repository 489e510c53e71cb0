"""Serving never answers from an index of another encoder, however the two are brought together."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from serving.loaded_release import Encoders, load_release
from serving.release_cache import ReleaseCache
from tests.serving.shop_window import ShopWindow
from vitrine.contracts.releases import Release
from vitrine.encoder.manifest import EncoderManifest
from vitrine.errors import ReleaseError
from vitrine.storage import keys


@pytest.fixture
def cache(shop: ShopWindow, tmp_path: Path) -> ReleaseCache:
    """A cache of the test's own that holds the encoded release of the shop window."""
    cache = ReleaseCache(tmp_path / "cache")
    cache.fetch("shop", shop.encoded.release_id, shop.store)
    return cache


def weights_of(cache: ReleaseCache, release_id: str) -> Path:
    """The largest file of a release's encoder, which holds a tower's weights."""
    folder = cache.open("shop", release_id).encoder_folder
    assert folder is not None
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


def test_a_release_document_that_names_another_encoder_is_refused(shop: ShopWindow, cache: ReleaseCache) -> None:
    key = keys.release("shop", shop.encoded.release_id)
    release = Release.from_bytes(shop.store.get_bytes(key))
    forged = release.model_copy(update={"release_id": "release-forged", "fingerprint": "another-encoder"})
    shop.store.put_bytes(keys.release("shop", "release-forged"), forged.to_bytes())

    with pytest.raises(ReleaseError, match=r"encoder fingerprint of the index: expected another-encoder"):
        cache.fetch("shop", "release-forged", shop.store)


def test_another_encoder_in_the_place_of_the_right_one_is_not_loaded(
    shop: ShopWindow, cache: ReleaseCache, tmp_path: Path
) -> None:
    cached = cache.open("shop", shop.encoded.release_id)
    assert cached.encoder_folder is not None
    manifest = EncoderManifest.from_folder(cached.encoder_folder)
    other = Path(shutil.copytree(cached.encoder_folder, tmp_path / "other"))
    (other / "encoder.json").write_bytes(manifest.model_copy(update={"fingerprint": "another-encoder"}).to_bytes())

    with pytest.raises(ReleaseError, match=r"fingerprint of the encoder: expected .* found another-encoder"):
        load_release(replace(cached, encoder_folder=other), Encoders(shop.settings, tmp_path / "compiled"))


def test_weights_that_were_exchanged_on_disk_are_noticed_and_downloaded_again(
    shop: ShopWindow, cache: ReleaseCache
) -> None:
    release_id = shop.encoded.release_id
    weights = weights_of(cache, release_id)
    right = weights.read_bytes()
    weights.write_bytes(right[:-4] + bytes(4 * [7]))

    with pytest.raises(ReleaseError, match=r"differs from its recorded SHA-256"):
        cache.check("shop", release_id)
    cache.fetch("shop", release_id, shop.store)

    assert weights.read_bytes() == right
    assert cache.check("shop", release_id).encoder_folder == weights.parent


def test_a_release_that_goes_live_while_a_query_is_encoded_does_not_answer_it(
    shop: ShopWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shop.slots.live
    serving = before.releases["shop"]
    encoder = serving.loaded.encoder
    assert encoder is not None
    encode = encoder.encode_texts
    expected = shop.client.post("/v1/search", json={"text": "a red thing", "top_k": 3}).json["results"]

    def encode_while_another_goes_live(texts: list[str]) -> object:
        monkeypatch.setitem(before.releases, "shop", before.releases["plain"])
        return encode(texts)

    monkeypatch.setattr(encoder, "encode_texts", encode_while_another_goes_live)

    answer = shop.client.post("/v1/search", json={"text": "a red thing", "top_k": 3})

    assert shop.slots.live.releases["shop"].release_id == shop.plain.release_id
    assert (answer.status_code, answer.json["release_id"]) == (200, shop.encoded.release_id)
    assert answer.json["results"] == expected
