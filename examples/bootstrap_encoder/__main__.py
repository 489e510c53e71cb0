"""Trains the bootstrap encoder: `python -m examples.bootstrap_encoder --into FOLDER`; 75 minutes on a quiet core.

Each phase starts from the weights that the one before left in a file, with a seed of its own: a run that was killed
goes on at its last whole phase.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from examples.bootstrap_encoder.contrastive import TrainingPlan, train_dual_tower
from examples.bootstrap_encoder.corpus import Corpus, batches, corpus_texts, render_corpus
from examples.bootstrap_encoder.text_tokenizer import train_tokenizer
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.files.whole import whole_file
from vitrine.identity import sha256_hex
from vitrine.images.preprocessing import Preprocessing


@dataclass(frozen=True)
class Phase:
    """One part of the training; the learning rate rises and falls in each."""

    steps: int
    learning_rate: float
    other_backdrops: float
    combinations: int


IMAGE_SIZE = 96
CONTEXT_LENGTH = 48
VOCABULARY_SIZE = 1536
SEEDS = (1001, 1002, 1003, 1004, 1005, 1006)  # the demo catalog is seed 7
VIEWS = 4
# First the products as the studio shows them, then on any backdrop and told from all other colours and types. After
# two phases a text finds 0.75 of its type and colour; the third is for that.
_PHASES = (
    Phase(steps=720, learning_rate=1e-3, other_backdrops=0.0, combinations=0),
    Phase(steps=1050, learning_rate=1e-3, other_backdrops=0.3, combinations=64),
    Phase(steps=950, learning_rate=1e-3, other_backdrops=0.3, combinations=64),
)
_SIDE = 112  # the corpus is kept a little larger than the tower reads, for crops


def main() -> None:
    """Draws, trains and writes an encoder folder."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.bootstrap_encoder", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--into", type=Path, required=True, help="folder that gets the encoder")
    parser.add_argument("--steps", type=int, nargs=len(_PHASES), default=[phase.steps for phase in _PHASES])
    parser.add_argument("--batch-size", type=int, default=64, help="products in a step, two views of each")
    parser.add_argument("--parents-per-seed", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="keeps the drawn pictures (.npy) for the next try")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.into.parent.mkdir(parents=True, exist_ok=True)
    corpus = _corpus(options.corpus, parents_per_seed=options.parents_per_seed)
    tokens = train_tokenizer(
        corpus_texts(corpus.parents, seed=options.seed),
        options.into,
        vocabulary_size=VOCABULARY_SIZE,
        context_length=CONTEXT_LENGTH,
    )
    model = CLIPModel(_config(vocabulary_size=tokens))
    tokenizer = TextTokenizer(options.into, context_length=CONTEXT_LENGTH)
    preprocessing = Preprocessing(image_size=IMAGE_SIZE, resize_shorter_side=IMAGE_SIZE)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(corpus.parents)} products, {tokens} tokens, {parameters:,} parameters", flush=True)

    for number, (phase, steps) in enumerate(zip(_PHASES, options.steps, strict=True), start=1):
        recipe = (options.seed, options.batch_size, options.parents_per_seed, options.steps[:number], _PHASES[:number])
        name = f"{options.into.name}.phase-{number}-{sha256_hex(repr(recipe).encode())[:8]}.safetensors"
        done = options.into.with_name(name)
        if done.is_file():
            print(f"phase {number}: {done} is there", flush=True)
            model.load_state_dict(load_file(done))
            continue
        torch.manual_seed(options.seed + number)

        def tell(step: int, loss: float, *, phase: int = number, of: int = steps) -> None:
            print(f"phase {phase}, step {step} of {of}: loss {loss:.3f}", flush=True)

        drawn = batches(
            corpus,
            tokenizer,
            preprocessing,
            batch_size=options.batch_size,
            seed=options.seed + number,
            other_backdrops=phase.other_backdrops,
            combinations=phase.combinations,
        )
        plan = TrainingPlan(steps=steps, learning_rate=phase.learning_rate)
        train_dual_tower(model, drawn, plan=plan, on_progress=tell)
        _save_weights(model, done)
        model.load_state_dict(load_file(done))
    _save(model, preprocessing, options.into)


def _corpus(path: Path | None, *, parents_per_seed: int) -> Corpus:
    if path is not None and path.is_file():
        from examples.demo_catalog import sample_parents

        parents = [parent for seed in SEEDS for parent in sample_parents(seed, parents_per_seed)]
        squares = np.load(path, mmap_mode="r")
        if len(squares) != len(parents):
            raise SystemExit(
                f"{path} holds {len(squares):,} products, and --parents-per-seed asks for {len(parents):,}; name "
                "another file, or remove this one"
            )
        return Corpus(parents=parents, squares=squares)
    corpus = render_corpus(seeds=SEEDS, parents_per_seed=parents_per_seed, views=VIEWS, side=_SIDE)
    if path is not None:
        np.save(path, corpus.squares)
    return corpus


def _config(*, vocabulary_size: int) -> CLIPConfig:
    return CLIPConfig(
        projection_dim=128,
        vision_config={
            "projection_dim": 128,
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 6,
            "num_attention_heads": 3,
            "image_size": IMAGE_SIZE,
            "patch_size": 12,
            "hidden_act": "gelu",
        },
        text_config={
            "projection_dim": 128,
            "vocab_size": vocabulary_size,
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": CONTEXT_LENGTH,
            "hidden_act": "gelu",
            "bos_token_id": vocabulary_size - 2,
            "eos_token_id": vocabulary_size - 1,
            "pad_token_id": vocabulary_size - 1,
        },
    )


def _save(model: CLIPModel, preprocessing: Preprocessing, into: Path) -> None:
    model.config.architectures = ["CLIPModel"]
    model.config.save_pretrained(into)
    _save_weights(model, into / "model.safetensors")
    content = json.dumps(preprocessing.to_huggingface(), indent=2, sort_keys=True)
    (into / "preprocessor_config.json").write_text(content + "\n", encoding="utf-8")


def _save_weights(model: CLIPModel, path: Path) -> None:
    """Weights as float16 halve the file; they are float32 again once loaded."""
    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(path) as partial:
        save_file(tensors, partial, metadata={"format": "pt"})
        partial.chmod(0o644)


if __name__ == "__main__":
    main()
