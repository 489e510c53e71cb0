"""Options of a training: what changes nothing beside the others is refused, and what changes something is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from tests.training.objectives.test_objective import relations_of
from tests.training.tiny_training import write_base_model
from training.loop.dual_tower import DualTower
from training.loop.optimisation import make_optimizer, set_rate
from training.objectives.objective import Embeddings, losses_of
from training.options import TrainingOptions, parse_options
from vitrine.encoder.checkpoint import load_checkpoint
from vitrine.errors import SettingsError

LABELS = [0, 0, 1, 1, 2, 2, 3, 3]
OTHER_VALUES: dict[str, Any] = {
    "triplet_weight": 2.0,
    "infonce_weight": 2.0,
    "self_supervised_weight": 0.5,
    "mining": "hard",
    "margin": 1e-3,  # of random weights all pictures are alike: larger ones keep the same triplets
    "temperature": 0.5,
    "self_supervised_temperature": 0.5,
    "text_learning_rate": 0.7,
    "projection_head": True,
    "freeze_text": True,
}
# What they change is there whatever the losses are: batches, steps, weights, validation, and the machine.
OF_NO_LOSS = {
    *("positives", "views", "hard_negatives", "batch_size", "other_backdrops", "seed", "processes", "base_share"),
    *("epochs", "max_steps", "validate_every", "early_stopping_patience"),
    *("learning_rate", "warmup_share", "weight_decay", "max_gradient_norm"),
    *("precision", "gradient_checkpointing", "device", "threads", "loader_threads", "checkpoint_every"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("base") / "encoder"
    write_base_model(folder)
    return load_checkpoint(folder)


def one_step(model: Any, options: TrainingOptions) -> dict[str, torch.Tensor]:
    """The gradients of a step and the weights after it, but for the temperature, which no search reads."""
    torch.manual_seed(0)
    tower = DualTower(copy.deepcopy(model), options=options)
    first, second = torch.randn(2, len(LABELS), 3, 32, 32, generator=torch.Generator().manual_seed(1))
    token_ids = torch.randint(0, 500, (len(LABELS), 16), generator=torch.Generator().manual_seed(2))
    found = tower(first, token_ids if options.uses_texts else None, second if options.self_supervised_weight else None)
    losses_of(Embeddings(*found), relations_of(LABELS), options=options).total.backward()
    optimizer = make_optimizer(
        tower,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        text_share=options.text_learning_rate,
    )
    warmup_steps = round(options.warmup_share * 8)
    set_rate(optimizer, learning_rate=options.learning_rate, step=1, steps=8, warmup_steps=warmup_steps)
    named = [(name, weight) for name, weight in tower.named_parameters() if not name.endswith("logit_scale")]
    gradients = {f"gradient of {name}": weight.grad.clone() for name, weight in named if weight.grad is not None}
    optimizer.step()
    return gradients | {name: weight.detach() for name, weight in named}


def is_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"objective": "triplet"},
        {"objective": "infonce"},
        {"triplet_weight": 0.0},
        {"infonce_weight": 0.0},
        {"freeze_text": True},
        {"self_supervised_weight": 0.5},
        {"objective": "infonce", "infonce_weight": 0.0, "self_supervised_weight": 0.5},
    ],
    ids=str,
)
def test_an_option_is_refused_exactly_where_it_changes_nothing(model: Any, chosen: dict[str, Any]) -> None:
    without = one_step(model, parse_options(chosen))

    for name in OTHER_VALUES.keys() - chosen.keys():
        given = {**chosen, name: OTHER_VALUES[name]}
        try:
            options = parse_options(given)
        except SettingsError as error:
            assert name in str(error)
            recorded = TrainingOptions.model_construct(**given)
            assert recorded.projection_head or is_equal(without, one_step(model, recorded)), given
        else:
            assert not is_equal(without, one_step(model, options)), given


def test_every_option_is_one_of_the_losses_or_of_none() -> None:
    assert TrainingOptions.model_fields.keys() == {"objective"} | OTHER_VALUES.keys() | OF_NO_LOSS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objective": "infonce", "margin": 0.3}, "margin would change nothing beside objective infonce: leave it out"),
        ({"triplet_weight": 0, "mining": "hard"}, "mining would change nothing beside triplet_weight 0"),
        (
            {"freeze_text": True, "text_learning_rate": 0.1},
            "text_learning_rate would change nothing beside freeze_text",
        ),
        ({"self_supervised_temperature": 0.2}, "or change self_supervised_weight"),
        ({"device": "cuda", "threads": 4}, "threads would change nothing beside device cuda"),
    ],
)
def test_the_refusal_names_both_options_and_the_way_on(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_options(given)


def test_a_form_may_give_every_option_as_it_is_anyway() -> None:
    every = TrainingOptions(objective="infonce").model_dump(mode="json")

    assert parse_options(every).objective == "infonce"


def test_a_record_of_an_earlier_training_is_read_whatever_it_was_told() -> None:
    record = TrainingOptions().model_dump(mode="json") | {"objective": "triplet", "temperature": 0.5}

    assert TrainingOptions.model_validate(record).temperature == 0.5
