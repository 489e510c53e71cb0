"""The own BPE speaks CLIP's dialect."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoTokenizer

from examples.bootstrap_encoder.text_tokenizer import train_tokenizer
from training.bootstrap import ENCODER_FOLDER
from vitrine.encoder.tokenizer import TextTokenizer

TEXTS = ["A red dress, isn't it?", "two wooden chairs & a lamp", "Größe 38: 100% Baumwolle"] * 4
ODD_TEXTS = [*TEXTS, "日本語", "👗👗", "tab\tand  spaces", "3-piece set", "RED dReSs's"]


def test_the_vocabulary_is_no_larger_than_asked(tmp_path: Path) -> None:
    tokens = train_tokenizer(TEXTS * 100, tmp_path, vocabulary_size=560, context_length=16)

    assert 514 <= tokens <= 560
    assert len(json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))) == tokens


def test_transformers_reads_it_and_gives_the_same_ids(tmp_path: Path) -> None:
    train_tokenizer(TEXTS, tmp_path, vocabulary_size=700, context_length=16)
    ours = TextTokenizer(tmp_path, context_length=16)
    theirs = AutoTokenizer.from_pretrained(tmp_path)

    for text in ODD_TEXTS:
        expected = theirs(text, truncation=True)["input_ids"]
        assert ours.token_ids([text])[0].tolist() == expected, text


def test_the_old_files_alone_give_the_same_ids(tmp_path: Path) -> None:
    train_tokenizer(TEXTS, tmp_path, vocabulary_size=700, context_length=16)
    ours = TextTokenizer(tmp_path, context_length=16)
    (tmp_path / "tokenizer.json").unlink()

    theirs = AutoTokenizer.from_pretrained(tmp_path)

    assert [ours.token_ids([text])[0].tolist() for text in TEXTS] == [theirs(text)["input_ids"][:16] for text in TEXTS]


def test_training_again_gives_the_same_tokenizer(tmp_path: Path) -> None:
    for name in ("first", "again"):
        train_tokenizer(TEXTS, tmp_path / name, vocabulary_size=700, context_length=16)

    assert (tmp_path / "first/tokenizer.json").read_bytes() == (tmp_path / "again/tokenizer.json").read_bytes()


def test_every_word_of_the_shop_is_known_to_the_bootstrap_encoder() -> None:
    tokenizer = TextTokenizer(ENCODER_FOLDER, context_length=48)

    assert tokenizer.token_ids(["red dress"]).shape == (1, 4)  # one token each, between begin and end
