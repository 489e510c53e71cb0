"""Encoders travel through the object store whole, or not at all."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

import pytest

from vitrine.encoder import conversion, fetch_encoder, load_encoder, publish_encoder, publishing
from vitrine.encoder.fingerprint import encoder_fingerprint
from vitrine.encoder.manifest import EncoderManifest
from vitrine.encoder.publishing import read_manifest
from vitrine.errors import EncoderError, ObjectCorruptError
from vitrine.ledger import Ledger
from vitrine.storage import ObjectStore


@pytest.fixture
def copied_store(published: Path, object_store: ObjectStore) -> tuple[str, ObjectStore]:
    """A bucket of the test's own that holds the published encoder."""
    manifest = EncoderManifest.from_folder(published)
    prefix = f"encoders/{manifest.fingerprint}"
    for file in manifest.files:
        object_store.put_file(f"{prefix}/{file.sha256[:20]}/{file.name}", published / file.name)
    object_store.put_bytes(f"{prefix}/encoder.json", manifest.to_bytes())
    return manifest.fingerprint, object_store


def test_the_conversion_has_a_scratch_folder_of_the_state_folder(
    checkpoint: Path, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    (tmp_path / "scratch" / "publish-killed").mkdir(parents=True)

    with pytest.raises(EncoderError):
        publish_encoder("/no/such/folder", object_store, state_dir=tmp_path)

    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_published_encoder_keeps_its_fingerprint_and_says_what_it_is(published: Path, checkpoint: Path) -> None:
    manifest = EncoderManifest.from_folder(published)

    assert manifest.fingerprint == encoder_fingerprint(checkpoint) == encoder_fingerprint(published)
    assert (manifest.dimension, manifest.image_size, manifest.context_length) == (48, 64, 24)
    assert manifest.parity > 0.999
    assert {"image.xml", "text.bin", "model.safetensors", "tokenizer.json"} <= {file.name for file in manifest.files}


def test_what_lies_beside_a_checkpoint_is_not_published(checkpoint: Path, published: Path) -> None:
    (checkpoint / "optimizer.pt").write_bytes(b"a pickle")

    names = {file.name for file in EncoderManifest.from_folder(published).files}

    (checkpoint / "optimizer.pt").unlink()
    assert not [name for name in names if name.endswith((".pt", ".pkl"))]


def test_publishing_again_changes_nothing(copied_store: tuple[str, ObjectStore], checkpoint: Path) -> None:
    fingerprint, store = copied_store
    before = sorted(store.list_objects(f"encoders/{fingerprint}"))

    again = publish_encoder(checkpoint, store)

    assert again == fingerprint
    assert sorted(store.list_objects(f"encoders/{fingerprint}")) == before


def test_of_publishers_that_race_the_later_one_changes_nothing(
    copied_store: tuple[str, ObjectStore], checkpoint: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint, store = copied_store
    before = store.get_bytes(f"encoders/{fingerprint}/encoder.json")
    convert = conversion.convert_checkpoint
    # It asked before the first one was done, and another machine converts to something that differs in a detail.
    monkeypatch.setattr(publishing, "is_published", lambda *_: False)
    monkeypatch.setattr(conversion, "convert_checkpoint", lambda *folders: convert(*folders) - 1e-5)

    again = publish_encoder(checkpoint, store, ledger=ledger)

    assert again == fingerprint
    assert store.get_bytes(f"encoders/{fingerprint}/encoder.json") == before


def test_a_killed_publication_is_not_taken_for_an_encoder(
    copied_store: tuple[str, ObjectStore], tmp_path: Path
) -> None:
    fingerprint, store = copied_store
    store.delete(f"encoders/{fingerprint}/encoder.json")

    with pytest.raises(EncoderError, match=f"encoder {fingerprint} is not in the object store"):
        fetch_encoder(fingerprint, store, tmp_path)
    assert not (tmp_path / fingerprint).exists()


def test_bytes_that_changed_in_the_store_are_refused(copied_store: tuple[str, ObjectStore], tmp_path: Path) -> None:
    fingerprint, store = copied_store
    broken = next(file for file in read_manifest(fingerprint, store).files if file.name == "text.bin")
    key = f"encoders/{fingerprint}/{broken.sha256[:20]}/{broken.name}"
    store.delete(key)
    store.put_bytes(key, b"\0" * broken.size_bytes)

    with pytest.raises(ObjectCorruptError, match="expected sha256"):
        fetch_encoder(fingerprint, store, tmp_path)
    assert not (tmp_path / fingerprint).exists()


def test_a_fetch_that_was_killed_is_begun_again(copied_store: tuple[str, ObjectStore], tmp_path: Path) -> None:
    fingerprint, store = copied_store
    partial = tmp_path / f".{fingerprint}.partial"
    partial.mkdir()
    (partial / "image.bin").write_bytes(b"half")

    folder = fetch_encoder(fingerprint, store, tmp_path)

    assert load_encoder(folder).fingerprint == fingerprint
    assert not partial.exists()


def test_a_fetched_encoder_needs_no_object_store(published: Path) -> None:
    away = ObjectStore("nowhere", endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b")

    assert fetch_encoder(published.name, away, published.parent) == published


def test_racing_processes_fetch_one_encoder(copied_store: tuple[str, ObjectStore], tmp_path: Path) -> None:
    fingerprint, store = copied_store

    with multiprocessing.get_context("spawn").Pool(3) as pool:
        folders = pool.starmap(fetch_encoder, [(fingerprint, store, tmp_path)] * 3)

    assert set(folders) == {tmp_path / fingerprint}
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [fingerprint]


def test_a_checkpoint_that_is_nowhere_says_what_to_do(object_store: ObjectStore) -> None:
    with pytest.raises(EncoderError, match="without a network give the path of an encoder folder"):
        publish_encoder("/no/such/folder", object_store)


@pytest.mark.parametrize("fingerprint", ["../elsewhere", "a/b", "", ".."])
def test_a_fingerprint_that_could_name_another_folder_is_refused(
    fingerprint: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    with pytest.raises(EncoderError, match="is not a fingerprint"):
        fetch_encoder(fingerprint, object_store, tmp_path / "encoders")

    assert list(tmp_path.iterdir()) == []
