"""What the bootstrap encoder is trained on."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.bootstrap_encoder.__main__ import SEEDS, main
from examples.bootstrap_encoder.corpus import Corpus, batches, corpus_texts, query_text, render_corpus
from examples.demo_catalog import PRODUCT_TYPES, sample_parents
from training.bootstrap import ENCODER_FOLDER
from vitrine.encoder import load_encoder
from vitrine.encoder.tokenizer import TextTokenizer
from vitrine.images.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return render_corpus(seeds=(4001, 4002), parents_per_seed=8, views=2, side=112)


def test_the_demo_catalog_itself_is_never_trained_on() -> None:
    assert 7 not in SEEDS


def test_each_product_is_drawn_from_its_own_views(corpus: Corpus) -> None:
    assert corpus.squares.shape == (16, 2, 112, 112, 3)
    assert len({parent.parent_id for parent in corpus.parents}) == 16
    assert not np.array_equal(corpus.squares[0, 0], corpus.squares[0, 1])


def test_batches_say_which_text_is_true_of_which_product(corpus: Corpus) -> None:
    tokenizer = TextTokenizer(ENCODER_FOLDER, context_length=48)
    preprocessing = Preprocessing(image_size=96, resize_shorter_side=96)

    first, again = (
        next(batches(corpus, tokenizer, preprocessing, batch_size=8, seed=1, other_backdrops=0.5, combinations=20))
        for _ in range(2)
    )

    assert first.first.shape == first.second.shape == (8, 3, 96, 96)
    assert first.described.shape == (28 + 18 + 16 + 9, 8)
    assert first.groups == ((0, 28), (28, 46), (46, 62), (62, 71))
    assert bool((first.described[28:46].sum(dim=0) == 1).all())  # each product is of one type
    assert bool(first.described[:8].diagonal().all())  # each product's own text is true of it
    assert torch.equal(first.first, again.first)
    assert torch.equal(first.token_ids, again.token_ids)


def test_queries_name_the_product_they_are_about() -> None:
    rng = np.random.default_rng(0)
    for parent in sample_parents(4003, 200):
        text = query_text(parent, rng)

        names = (parent.product_type, *PRODUCT_TYPES[parent.product_type].synonyms)
        assert any(name in text for name in names), text


def test_the_tokenizer_reads_titles_descriptions_and_queries() -> None:
    texts = list(itertools.islice(corpus_texts(sample_parents(4004, 3), seed=0), 9))

    assert len(texts) == 9
    assert all(text.strip() for text in texts)


def test_the_script_writes_an_encoder_folder_and_a_second_run_goes_on_at_the_last_whole_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--steps", "1", "1", "1", "--parents-per-seed", "4", "--batch-size", "4"]
    monkeypatch.setattr("sys.argv", ["bootstrap_encoder", *arguments, "--into", str(tmp_path / "encoder")])
    main()
    weights = (tmp_path / "encoder" / "model.safetensors").read_bytes()
    assert load_encoder(tmp_path / "encoder", engine="torch").dimension == 128

    next(tmp_path.glob("encoder.phase-3-*.safetensors")).unlink()
    capsys.readouterr()
    main()

    assert "phase 2: " in capsys.readouterr().out
    assert (tmp_path / "encoder" / "model.safetensors").read_bytes() == weights
