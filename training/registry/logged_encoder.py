"""An encoder as MLflow keeps it: safetensors, preprocessing and tokenizer as artifacts, a signature, and no pickle."""

from __future__ import annotations

from pathlib import Path

_ARTIFACT = "encoder"


def log_encoder(encoder: Path, *, dimension: int) -> str:
    """Logs an encoder folder to the active run; returns the model's URI, to register.

    MLflow copies all of it into the temporary folder first: call it under `temporary_files_in`.

    Args:
        encoder: in canonical layout, without anything converted.
        dimension: of its embeddings.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    logged = mlflow.pyfunc.log_model(
        name=_ARTIFACT,
        python_model=str(Path(__file__).with_name("registered_model.py")),
        artifacts={_ARTIFACT: str(encoder)},
        signature=ModelSignature(
            inputs=Schema([ColSpec("string", "text")]),
            outputs=Schema([TensorSpec(np.dtype("float32"), (-1, dimension))]),
        ),
        pip_requirements=["vitrine"],  # named, or MLflow would start a process to find out
    )
    return str(logged.model_uri)
