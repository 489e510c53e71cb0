"""The encoder of a release, opened on this machine as the settings say."""

from __future__ import annotations

from vitrine.encoder import Encoder, fetch_encoder, load_encoder
from vitrine.settings import Settings
from vitrine.storage import ObjectStore


def open_encoder(settings: Settings, object_store: ObjectStore, fingerprint: str) -> Encoder:
    """Fetches an encoder into `<state_dir>/encoders/` unless it is there, and loads it.

    Raises:
        EncoderError: it was never published, or cannot be loaded.
    """
    cache = settings.state_dir / "encoders"
    return load_encoder(
        fetch_encoder(fingerprint, object_store, cache),
        engine=settings.inference_engine,
        device=settings.inference_device,
        precision=settings.inference_precision,
        cache_dir=cache,
        threads=settings.inference_threads,
        batch_size=settings.embed_batch_size,
    )
