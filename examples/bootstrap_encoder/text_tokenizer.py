"""Trains a byte-level BPE that `transformers`' CLIP tokenizers load: the same splitting, its own small vocabulary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

BEGIN_TOKEN = "<|startoftext|>"  # noqa: S105
END_TOKEN = "<|endoftext|>"  # noqa: S105
_WORD_END = "</w>"
# CLIP's own pattern (Radford et al. 2021, openai/CLIP simple_tokenizer.py).
_PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_tokenizer(texts: Iterable[str], into: Path, *, vocabulary_size: int, context_length: int) -> int:
    """Trains a tokenizer on `texts` and writes its files; returns how many tokens it has.

    Args:
        texts: what people write about products.
        into: gets `tokenizer.json`, `vocab.json`, `merges.txt`, `tokenizer_config.json`.
        vocabulary_size: the most tokens, begin and end token included; 514 at least.
        context_length: of the text tower, for `tokenizer_config.json`.
    """
    learner = Tokenizer(models.BPE(end_of_word_suffix=_WORD_END))
    _configure(learner)
    # As in CLIP: every byte alone and as the end of a word first, so that no text is ever unknown.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary_size - len(alphabet) - 2,
            initial_alphabet=alphabet,
            end_of_word_suffix=_WORD_END,
            min_frequency=2,
            show_progress=False,
        ),
    )
    learned = json.loads(learner.to_str())["model"]
    ordered = [token for token, _ in sorted(learned["vocab"].items(), key=lambda entry: entry[1])]
    complete = dict.fromkeys(
        [*alphabet, *(letter + _WORD_END for letter in alphabet), *ordered, BEGIN_TOKEN, END_TOKEN]
    )
    vocabulary = {token: number for number, token in enumerate(complete)}
    merges: list[tuple[str, str]] = []
    for merge in learned["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        merges.append((left, right))
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=END_TOKEN,
            end_of_word_suffix=_WORD_END,
            continuing_subword_prefix="",
        )
    )
    _configure(tokenizer)
    tokenizer.add_special_tokens([BEGIN_TOKEN, END_TOKEN])
    tokenizer.post_processor = processors.RobertaProcessing(
        (END_TOKEN, vocabulary[END_TOKEN]),
        (BEGIN_TOKEN, vocabulary[BEGIN_TOKEN]),
        trim_offsets=False,
        add_prefix_space=False,
    )
    into.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(into / "tokenizer.json"))
    _write_json(into / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (into / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_json(
        into / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "bos_token": BEGIN_TOKEN,
            "eos_token": END_TOKEN,
            "pad_token": END_TOKEN,
            "unk_token": END_TOKEN,
            "model_max_length": context_length,
        },
    )
    return len(vocabulary)


def _configure(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
