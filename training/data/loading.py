"""Batches on their way to the towers: squares and token ids of this process's rows, prepared by threads ahead of time.

What is drawn for augmentation depends on the seed, the step and the row in the global batch, not on how many processes
share it. Altering itself runs where the towers run.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from training.data.augmentation import Alterations, alter, draw_alterations, replace_backdrops
from training.data.batches import Batch, BatchSampler
from training.data.prepared import PreparedPictures
from training.options import TrainingOptions
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.images.preprocessing import Preprocessing
from vitrine.lookahead import ahead

_EMPTY_TEXT = "picture"  # stands where nothing is said; the losses leave the row out
_FIRST_VIEW, _SECOND_VIEW, _BACKDROPS = 1, 2, 3


@dataclass(frozen=True)
class LoadedBatch:
    """One step for one process, whose part is `rows` of the global batch.

    Attributes:
        batch: the whole batch.
        captions: of the whole batch.
        squares: (n_own, side, side, 3), uint8.
        first, second: how to alter them, once and for the self-supervised loss again.
        token_ids: (n_own, length), int64; None when texts do not count.
    """

    batch: Batch
    captions: list[str]
    squares: torch.Tensor
    first: Alterations
    second: Alterations | None
    token_ids: torch.Tensor | None


class BatchLoader:
    """Loads steps of a training for one of its processes.

    Args:
        sampler: draws the global batches.
        pictures: of all training samples, prepared a little larger than the tower reads.
        tokenizer: of the encoder.
        options: of the training.
        rank: of this process, from 0.
    """

    def __init__(
        self,
        sampler: BatchSampler,
        *,
        pictures: PreparedPictures,
        tokenizer: TextTokenizer,
        options: TrainingOptions,
        rank: int = 0,
    ) -> None:
        self._sampler = sampler
        self._pictures = pictures
        self._tokenizer = tokenizer
        self._options = options
        own = options.batch_size // options.processes
        self._rows = slice(rank * own, (rank + 1) * own)

    def load(self, step: int) -> LoadedBatch:
        """Loads one step."""
        batch = self._sampler.batch(step)
        n, options = len(batch.samples), self._options
        captions = batch.captions()
        squares = torch.from_numpy(self._pictures.of(batch.samples[self._rows]))
        return LoadedBatch(
            batch=batch,
            captions=captions,
            squares=self._with_backdrops(squares, step),
            first=self._alterations(n, step=step, view=_FIRST_VIEW),
            second=self._alterations(n, step=step, view=_SECOND_VIEW) if options.self_supervised_weight else None,
            token_ids=self._token_ids(captions[self._rows]) if options.uses_texts else None,
        )

    def stream(self, start: int, stop: int) -> Iterator[LoadedBatch]:
        """Yields the steps from `start` to before `stop`, a few of them prepared ahead."""
        with ThreadPoolExecutor(self._options.loader_threads, thread_name_prefix="batches") as pool:
            yield from ahead(pool, self.load, range(start, stop), limit=self._options.loader_threads)

    def _alterations(self, n: int, *, step: int, view: int) -> Alterations:
        return draw_alterations(n, generator=_generator(self._options.seed, step, view)).rows(self._rows)

    def _with_backdrops(self, squares: torch.Tensor, step: int) -> torch.Tensor:
        share = self._options.other_backdrops
        if not share:
            return squares
        draws = torch.rand(self._options.batch_size, generator=_generator(self._options.seed, step, _BACKDROPS))
        for place in (draws[self._rows] < share).nonzero().flatten().tolist():
            own = _generator(self._options.seed, step, _BACKDROPS, self._rows.start + place)
            squares[place] = replace_backdrops(squares[place : place + 1], share=1.0, generator=own)[0]
        return squares

    def _token_ids(self, captions: list[str]) -> torch.Tensor:
        return torch.from_numpy(self._tokenizer.token_ids([caption or _EMPTY_TEXT for caption in captions]))


def tower_pixels(
    squares: torch.Tensor, alterations: Alterations, *, preprocessing: Preprocessing, device: torch.device
) -> torch.Tensor:
    """Alters squares and normalises them as the encoder does: (n, 3, image_size, image_size), float32, on the device.

    Args:
        squares: (n, side, side, 3), uint8, in RGB.
        alterations: of the n pictures.
        preprocessing: of the encoder; its `image_size` is what comes out.
        device: where both happen.
    """
    moved = Alterations(**{name: values.to(device) for name, values in vars(alterations).items()})
    pixels = alter(squares.to(device), moved, image_size=preprocessing.image_size)
    mean, std = (
        torch.tensor(values, device=device).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std)
    )
    return (pixels - mean) / std


def _generator(*parts: int) -> torch.Generator:
    """A generator that depends on all its parts: one seed is mixed out of them (Steele et al. 2014, SplitMix64)."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return torch.Generator().manual_seed(state >> 1)
