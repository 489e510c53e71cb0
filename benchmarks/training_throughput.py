"""What the trainer costs: `python benchmarks/training_throughput.py --encoder vit-b-16 --rounds 3`.

Trains on generated pictures by the trainer (prepared cache, augmentation, tokens, towers, losses, optimizer) and by a
bare loop (towers, the same losses, the same optimizer) over batches that lie in memory as tensors, in turns; prints the
ratio of their images a second as JSON. Both move one tower by one optimizer.

On a CPU the ratio goes by the process's CPU time: the towers take all cores, so what the loader's threads take is
taken from them, and neighbours on the machine do not count. On a GPU it goes by the clock, since there loading hides
behind the towers. The other ratio is printed too.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from training.bootstrap import ENCODER_FOLDER
from training.data.batches import BatchSampler
from training.data.folder_samples import read_folder_samples
from training.data.image_bytes import FileReader
from training.data.loading import BatchLoader, LoadedBatch, tower_pixels
from training.data.prepared import larger, prepare_pictures
from training.loop.checkpoints import Checkpoints
from training.loop.dual_tower import DualTower
from training.loop.optimisation import mixed_precision
from training.loop.trainer import Trainer
from training.loop.worker import single_place
from training.objectives.objective import Embeddings, Relations, losses_of
from training.options import TrainingOptions
from vitrine.encoder.architecture import Architecture
from vitrine.encoder.checkpoint import load_checkpoint
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.images.preprocessing import Preprocessing
from vitrine.settings import Settings

LIMIT = 0.85
BOOTSTRAP, VIT_B_16 = "bootstrap", "vit-b-16"
InMemory = tuple[torch.Tensor, torch.Tensor, Relations]


def main() -> int:
    """Runs the rounds and prints what they found; returns 1 when the ratio is below the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=(BOOTSTRAP, VIT_B_16), default=VIT_B_16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="of one round")
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1, help="of torch; more of them spin on a busy machine")
    parser.add_argument("--side", type=int, default=500, help="of a picture, in pixels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vtbench-") as folder:
        found = run(Path(folder), arguments)
    print(json.dumps(found, indent=2))
    return 0 if found["ratio"] >= LIMIT else 1


def run(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains by the trainer and by the bare loop in turns, after one step of each that does not count."""
    options = TrainingOptions(
        batch_size=arguments.batch_size, threads=arguments.threads, epochs=10_000, self_supervised_weight=0.0
    )
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    trainer, loader = make_trainer(folder, arguments, options)
    place = trainer._place
    ready = [in_memory(loader.load(step), folder / "encoder", place.device) for step in range(arguments.steps)]
    step = 0
    rounds = []
    for number in range(arguments.rounds + 1):
        steps = arguments.steps if number else 1
        start, step = step, step + steps
        ours = measured(lambda start=start, stop=step: by_trainer(trainer, loader, start, stop), place.device)
        bare = measured(lambda steps=steps: by_bare_loop(trainer, ready[:steps], options), place.device)
        if number:
            images = steps * options.batch_size
            rounds.append({"wall": (images / ours[0], images / bare[0]), "cpu": (images / ours[1], images / bare[1])})
    judged = "wall" if place.device.type == "cuda" else "cpu"
    ratios = {
        clock: round(statistics.median(each[clock][0] / each[clock][1] for each in rounds), 3)
        for clock in ("wall", "cpu")
    }
    speeds = {
        f"{who}_images_per_{clock}_s": round(statistics.median(each[clock][column] for each in rounds), 2)
        for clock in ("wall", "cpu")
        for column, who in enumerate(("trainer", "bare_loop"))
    }
    return {
        "encoder": arguments.encoder,
        "device": str(place.device),
        "precision": options.precision,
        "batch_size": options.batch_size,
        "steps_a_round": arguments.steps,
        "rounds": arguments.rounds,
        **speeds,
        "ratio_by_wall": ratios["wall"],
        "ratio_by_cpu": ratios["cpu"],
        "judged_by": judged,
        "ratio": ratios[judged],
        "limit": LIMIT,
    }


def make_trainer(folder: Path, arguments: argparse.Namespace, options: TrainingOptions) -> tuple[Trainer, BatchLoader]:
    """Makes a trainer as a training does, with its pictures prepared."""
    encoder = folder / "encoder"
    shutil.copytree(ENCODER_FOLDER, encoder)
    if arguments.encoder == VIT_B_16:
        write_vit_b_16(encoder)
    write_catalog(folder / "catalog", products=4 * options.batch_size, side=arguments.side)
    preprocessing = Preprocessing.from_folder(encoder)
    tokenizer = TextTokenizer(encoder, context_length=Architecture.from_folder(encoder).context_length)
    samples = list(read_folder_samples(folder / "catalog", Settings()).samples)
    pictures = prepare_pictures(samples, preprocessing=larger(preprocessing), cache=folder, reader=FileReader())
    sampler = BatchSampler(samples, options=options)
    loader = BatchLoader(sampler, pictures=pictures, tokenizer=tokenizer, options=options)
    trainer = Trainer(
        DualTower(load_checkpoint(encoder), options=options).train(),
        loader=loader,
        validator=None,
        checkpoints=Checkpoints(folder / "checkpoints", training_id="benchmark"),
        options=options,
        preprocessing=preprocessing,
        steps_per_epoch=sampler.steps_per_epoch,
        place=single_place(options),
    )
    return trainer, loader


def by_trainer(trainer: Trainer, loader: BatchLoader, start: int, stop: int) -> None:
    """Steps as `Trainer.run` makes them, without validations and checkpoints."""
    for loaded in loader.stream(start, stop):
        trainer._step(loaded)


def by_bare_loop(trainer: Trainer, batches: list[InMemory], options: TrainingOptions) -> None:
    """Steps over tensors."""
    tower, optimizer = trainer._tower, trainer._optimizer
    for pixels, token_ids, relations in batches:
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(options.precision, device=pixels.device):
            images, visual, texts, again, scale = tower(pixels, token_ids, None)
        embeddings = Embeddings(images=images, visual=visual, texts=texts, altered_again=again, scale=scale)
        losses_of(embeddings, relations, options=options).total.backward()
        optimizer.step()


def measured(work: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Returns the seconds that it took, by the clock and of the CPU (all threads of the process)."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic() - wall, time.process_time() - cpu


def in_memory(loaded: LoadedBatch, encoder: Path, device: torch.device) -> InMemory:
    """Makes the tensors of a batch."""
    if loaded.token_ids is None:
        raise ValueError("expected a batch with texts: the objective uses them")
    preprocessing = Preprocessing.from_folder(encoder)
    pixels = tower_pixels(loaded.squares, loaded.first, preprocessing=preprocessing, device=device)
    relations = Relations.of(loaded.batch, captions=loaded.captions, device=device)
    return pixels, loaded.token_ids.to(device), relations


def write_vit_b_16(folder: Path) -> None:
    """Puts CLIP ViT-B/16 at 224 pixels, of random weights, in place of the encoder; its tokenizer stays."""
    text = load_checkpoint(folder).config.text_config
    tokens = {name: getattr(text, name) for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    config = CLIPConfig(
        text_config={**tokens, "max_position_embeddings": text.max_position_embeddings},
        vision_config={"patch_size": 16, "image_size": 224},
    )
    for path in folder.glob("model*.safetensors*"):
        path.unlink()
    CLIPModel(config).save_pretrained(folder)
    preprocessing = Preprocessing(image_size=224, resize_shorter_side=224)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing.to_huggingface()))


def write_catalog(folder: Path, *, products: int, side: int) -> None:
    """Writes JPEGs with about the detail of product photographs, two of each product."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    rows = []
    for number in range(2 * products):
        noise = generator.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=88)
        title = f"product {number // 2} in red"
        item = {"item_id": f"i{number}", "image_uri": f"{number}.jpg", "parent_id": f"p{number // 2}", "title": title}
        rows.append(json.dumps({**item, "description": f"what one may say of product {number // 2}"}))
    (folder / "items.jsonl").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    sys.exit(main())
