"""The bootstrap encoder: what searches until a checkpoint is configured or trained.

`encoder/` is an ordinary encoder folder, made by `python -m examples.bootstrap_encoder`; `evaluation.json` says how
good it is, written by `python -m training evaluate-bootstrap`.
"""

from pathlib import Path

ENCODER_FOLDER = Path(__file__).parent / "encoder"
