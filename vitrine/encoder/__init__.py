"""Encoders: a CLIP with its preprocessing and its tokenizer, from a checkpoint to embeddings.

`load_encoder` opens one, `publish_encoder` and `fetch_encoder` move one through the object store. torch and
transformers are imported only where a checkpoint itself is read: a search worker needs OpenVINO alone.
"""

from vitrine.encoder.encoder import EncodedBatch, Encoder, load_encoder
from vitrine.encoder.publishing import fetch_encoder, publish_encoder

__all__ = ["EncodedBatch", "Encoder", "fetch_encoder", "load_encoder", "publish_encoder"]
