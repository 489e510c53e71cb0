"""Texts to token ids by `tokenizer.json` alone, so that a search worker needs no `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vitrine.errors import ContractError, EncoderError

TOKENIZER_FILE = "tokenizer.json"
_END_TOKENS = ("<|endoftext|>", "</s>", "[SEP]")


class TextTokenizer:
    """The tokenizer of one encoder; thread-safe.

    Args:
        folder: an encoder folder with `tokenizer.json`.
        context_length: longer texts are cut to this many tokens; the end token stays.

    Raises:
        EncoderError: there is no usable `tokenizer.json`.
    """

    def __init__(self, folder: Path, *, context_length: int) -> None:
        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise EncoderError(f"{folder}: expected {TOKENIZER_FILE}, found none; publish the encoder to have it made")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise EncoderError(f"{path}: cannot be read as a tokenizer: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(context_length)
        vocabulary = self._tokenizer.get_vocab()
        end_token_id = next((vocabulary[token] for token in _END_TOKENS if token in vocabulary), None)
        if end_token_id is None:
            raise EncoderError(f"{path}: expected an end token among {_END_TOKENS}, found none")
        self.context_length = context_length
        self.vocabulary_size = len(vocabulary)
        self.end_token_id = end_token_id

    def token_ids(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Returns (n_texts, longest) token ids, shorter rows filled with the end token.

        The text tower looks at the first end token and, being causal, at nothing behind it: the filling does not
        change an embedding.

        Raises:
            ContractError: a text is empty or holds nothing but spaces.
        """
        for row, text in enumerate(texts):
            if not text.strip():
                raise ContractError(f"text {row} of {len(texts)} is empty: expected at least one word")
        # One by one: encode_batch would start a thread for each core in every worker.
        rows = [self._tokenizer.encode(text).ids for text in texts]
        longest = max((len(row) for row in rows), default=0)
        token_ids = np.full((len(rows), longest), self.end_token_id, dtype=np.int64)
        for number, ids in enumerate(rows):
            token_ids[number, : len(ids)] = ids
        return token_ids
