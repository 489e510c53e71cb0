"""What MLflow serves of a registered encoder: logged as this file beside the safetensors, never as a pickle."""

from __future__ import annotations

from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel


class RegisteredEncoder(PythonModel):
    """Texts in, embeddings out; for a look at a version, not for the search tier."""

    def load_context(self, context: Any) -> None:
        """Loads the encoder folder that was logged."""
        from vitrine.encoder import load_encoder

        # The checkpoint itself, by torch: converting it for OpenVINO would take longer than looking at it.
        self._encoder = load_encoder(context.artifacts["encoder"], engine="torch")

    # MLflow takes type hints of its own here for a signature, and warns of any other.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """Maps a column `text` to embeddings (n, dimension), float32, unit L2 norm."""
        return self._encoder.encode_texts([str(text) for text in model_input["text"]]).embeddings


mlflow.models.set_model(RegisteredEncoder())
