"""How to train: one frozen document, the same for a command, a form and a run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from vitrine.contracts.document import Document
from vitrine.errors import SettingsError

Objective = Literal["triplet", "infonce", "both"]
TrainingPrecision = Literal["fp32", "bf16", "fp16"]


class TrainingOptions(Document):
    """Every parameter of a training. What changes the result is hashed into its id; the last part does not."""

    objective: Objective = Field("both", description="triplet on pictures, infonce on pictures and texts, or both.")
    triplet_weight: float = Field(1.0, ge=0, description="Of the triplet loss; 0 switches it off.")
    infonce_weight: float = Field(1.0, ge=0, description="Of image-text InfoNCE; 0 switches it off.")
    self_supervised_weight: float = Field(
        0.0, ge=0, description="Of InfoNCE between two augmentations of one picture; 0 switches it off."
    )
    mining: Literal["semihard", "hard", "both"] = Field("both", description="Which triplets of a batch count.")
    margin: float = Field(0.2, gt=0, le=2, description="Of the triplet loss, in cosine similarity.")
    temperature: float | None = Field(
        None, gt=0, description="Of InfoNCE; None learns it from where the base model's stands."
    )
    self_supervised_temperature: float = Field(0.1, gt=0)
    positives: Literal["parent", "category"] = Field(
        "parent", description="What makes two pictures alike; category is for catalogs without parents."
    )
    epochs: int = Field(8, ge=1, description="Passes over all products.")
    max_steps: int | None = Field(None, ge=1, description="Ends the training earlier.")
    batch_size: int = Field(96, ge=4, description="Pictures in a step, over all processes.")
    views: int = Field(2, ge=2, description="Pictures of one product in a batch.")
    hard_negatives: int = Field(1, ge=0, description="Mined hard negatives of each product in a batch.")
    learning_rate: float = Field(1e-4, gt=0, description="The peak; it decays along a cosine.")
    text_learning_rate: float = Field(0.3, ge=0, le=1, description="Of the text tower, as a share of the other.")
    warmup_share: float = Field(0.1, ge=0, lt=1, description="Share of the steps over which the rate rises.")
    weight_decay: float = Field(0.05, ge=0)
    max_gradient_norm: float = Field(1.0, gt=0)
    precision: TrainingPrecision = Field("bf16", description="Of the towers; losses are computed in fp32.")
    gradient_checkpointing: bool = Field(False, description="Computes activations twice and keeps few of them.")
    projection_head: bool = Field(
        False, description="An MLP for the visual losses, thrown away after the training (docs/adr/0009)."
    )
    freeze_text: bool = Field(False, description="Leaves the text tower as it is.")
    base_share: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Of the base model's weights in what comes out (WiSE-FT, arXiv:2109.01903): more keeps more of "
        "what it could do. From scratch 0, unless it is given.",
    )
    other_backdrops: float = Field(0.0, ge=0, le=1, description="Share of pictures that get another backdrop.")
    seed: int = Field(0, ge=0)
    validate_every: int = Field(0, ge=0, description="Steps between validations; 0 is once an epoch.")
    early_stopping_patience: int = Field(3, ge=1, description="Validations without a gain that end the training.")
    processes: int = Field(1, ge=1, description="Each has an equal part of every batch.")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(2, ge=1, description="Of torch in each process, on a CPU.")
    loader_threads: int = Field(2, ge=1, description="Prepare batches while the towers run.")
    checkpoint_every: int = Field(50, ge=1, description="Steps between checkpoints.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        rows = self.views + self.hard_negatives
        if self.batch_size % (rows * self.processes):
            raise ValueError(
                f"batch_size is a multiple of (views + hard_negatives) x processes = {rows * self.processes}, "
                f"found {self.batch_size}"
            )
        if self.batch_size // rows < 2:
            raise ValueError(f"a batch of {self.batch_size} holds {self.batch_size // rows} product; 2 are the least")
        if not (self.uses_triplets or self.uses_texts or self.self_supervised_weight):
            raise ValueError(f"objective {self.objective!r} with these weights has no loss left")
        if self.projection_head and not (self.uses_triplets or self.self_supervised_weight):
            raise ValueError("projection_head is for the visual losses, and both are off")
        return self

    @property
    def uses_triplets(self) -> bool:
        """Says whether the triplet loss counts."""
        return self.objective in ("triplet", "both") and self.triplet_weight > 0

    @property
    def uses_texts(self) -> bool:
        """Says whether the image-text loss counts."""
        return self.objective in ("infonce", "both") and self.infonce_weight > 0

    def idle(self) -> dict[str, str]:
        """Returns the options that were given and change nothing, each with the option that switches it off.

        One that was given as it is anyway is none of them: a form gives every field, and a record is a whole dump.
        """
        off: dict[str, str] = {}
        if not self.uses_triplets:
            off |= self._without(_OF_TRIPLETS, weight="triplet_weight", by_objective=self.objective == "infonce")
        if not self.uses_texts:
            off |= self._without(_OF_TEXTS, weight="infonce_weight", by_objective=self.objective == "triplet")
        elif self.freeze_text:
            off["text_learning_rate"] = "freeze_text"
        if not self.self_supervised_weight:
            off["self_supervised_temperature"] = "self_supervised_weight"
        if self.device == "cuda":
            off["threads"] = "device"
        chosen = self.chosen()
        return {name: by for name, by in off.items() if name in chosen}

    def settled_for(self, *, scratch: bool) -> Self:
        """Returns the options as they hold for a base model: of random weights nothing is worth keeping."""
        if scratch and "base_share" not in self.model_fields_set:
            return self.model_copy(update={"base_share": 0.0})
        return self

    def identity(self) -> dict[str, object]:
        """Returns what may change the result, to hash."""
        return self.model_dump(mode="json", exclude={"device", "threads", "loader_threads", "checkpoint_every"})

    def _without(self, names: tuple[str, ...], *, weight: str, by_objective: bool) -> dict[str, str]:
        return dict.fromkeys((*names, weight), "objective") if by_objective else dict.fromkeys(names, weight)


_OF_TRIPLETS = ("margin", "mining")
_OF_TEXTS = ("temperature", "freeze_text", "text_learning_rate")


def parse_options(given: Mapping[str, Any]) -> TrainingOptions:
    """Checks options that a command line, a form or a file gave, by name; None stands for the default.

    Only what is asked for is checked so: a record reads back whatever an earlier training was told.

    Raises:
        SettingsError: an option is unknown or out of its range, or it would change nothing beside the others.
    """
    try:
        options = TrainingOptions.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'options'}: {each['msg']}" for each in error.errors()
        )
        raise SettingsError(f"these options make no training: {wrong}; see python -m training train --help") from error
    if idle := options.idle():
        each = "; ".join(
            f"{name} would change nothing beside {by} {getattr(options, by)}: leave it out, or change {by}"
            for name, by in idle.items()
        )
        raise SettingsError(f"options of this training are idle: {each}")
    return options
