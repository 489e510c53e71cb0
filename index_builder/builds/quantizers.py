"""Quantizers: trained once, written down, and used by every build whose rows they still fit."""

from __future__ import annotations

from pathlib import Path

from index_builder.builds.planned_recipe import planned_recipe
from index_builder.builds.rows.samples import RowSamples
from index_builder.recipes import Recipe, Trained
from vitrine.contracts.datasets import EmbeddingSet
from vitrine.contracts.document import StoredFile
from vitrine.contracts.index_builds import IndexPlan, Quantizer, QuantizerChoice, QuantizerFit
from vitrine.errors import ContractError, ObjectMissingError
from vitrine.identity import attempt_id, content_id
from vitrine.ledger.attempts import Attempts
from vitrine.settings import Settings
from vitrine.storage import ObjectStore, keys
from vitrine.storage.object_store import file_sha256

_SCOPE = "quantizer"


class Quantizers:
    """The quantizers of one catalog, encoder and recipe.

    Args:
        embedding_set: whose rows are to be encoded.
    """

    def __init__(
        self,
        settings: Settings,
        object_store: ObjectStore,
        attempts: Attempts,
        embedding_set: EmbeddingSet,
        recipe: Recipe,
    ) -> None:
        self._settings = settings
        self._object_store = object_store
        self._attempts = attempts
        self._set = embedding_set
        self._recipe = recipe
        recipe_id = content_id("recipe", recipe.identity())
        self._key_prefix = f"{embedding_set.catalog_id}/{embedding_set.fingerprint}/{recipe_id}/"

    def known(self) -> list[Quantizer]:
        """Returns all that were trained, that of the newest head first."""
        found = self._attempts.committed_below(scope=_SCOPE, key_prefix=self._key_prefix)
        quantizers = [Quantizer.model_validate(attempt.result) for attempt in found.values()]
        return sorted(quantizers, key=lambda quantizer: (-quantizer.head_sequence, quantizer.quantizer_id))

    def choose(self, samples: RowSamples, *, folder: Path, retrain: bool = False) -> QuantizerChoice:
        """Returns the newest quantizer while it fits the rows, or trains one on a sample of them.

        Args:
            samples: of the rows that are to be encoded.
            folder: scratch.
            retrain: train one in any case, unless the newest was trained on these rows.
        """
        newest = next(iter(self.known()), None)
        if newest is None:
            return self._train(samples, folder, reasons=())
        if newest.embedding_set_id == self._set.embedding_set_id:  # this build was killed after it had trained
            self._finish(newest)
            return _choice(newest, newest.fit, reused=False, reasons=newest.reasons)
        if retrain:
            return self._train(samples, folder, reasons=("a retrain was asked for",))
        trained = open_quantizer(self._object_store, newest, self._recipe, folder / "newest")
        fit = measure_fit(trained, samples)
        reasons = drift_reasons(self._settings, fit, newest.fit)
        if reasons and self._settings.index_retrain == "when_due":
            return self._train(samples, folder, reasons=reasons)
        return _choice(newest, fit, reused=True, reasons=reasons)

    def _train(self, samples: RowSamples, folder: Path, *, reasons: tuple[str, ...]) -> QuantizerChoice:
        vectors, sample_digest = samples.training()
        identity = [self._set.catalog_id, self._set.fingerprint, self._recipe.identity(), sample_digest]
        quantizer_id = content_id("quantizer", identity)
        key = f"{self._key_prefix}{quantizer_id}"
        if (standing := self._attempts.committed(scope=_SCOPE, key=key)) is None:
            attempt = attempt_id()
            trained = self._recipe.train(vectors, threads=self._settings.index_threads)
            sampled = len(vectors)
            del vectors  # half a gigabyte and more, which measuring and writing need not hold
            trained.write(folder / attempt)
            quantizer = Quantizer(
                quantizer_id=quantizer_id,
                catalog_id=self._set.catalog_id,
                fingerprint=self._set.fingerprint,
                dimension=self._set.dimension,
                recipe=self._recipe.identity(),
                embedding_set_id=self._set.embedding_set_id,
                head_sequence=self._set.head_sequence,
                items=self._set.items,
                sampled=sampled,
                fit=measure_fit(trained, samples),
                reasons=reasons,
                files=self._put_files(quantizer_id, folder, attempt),
            )
            standing = self._attempts.commit(
                scope=_SCOPE, key=key, attempt_id=attempt, result=quantizer.model_dump(mode="json")
            )
        quantizer = Quantizer.model_validate(standing.result)
        self._finish(quantizer)
        return _choice(quantizer, quantizer.fit, reused=False, reasons=quantizer.reasons)

    def _put_files(self, quantizer_id: str, folder: Path, attempt: str) -> tuple[StoredFile, ...]:
        prefix = keys.quantizer_prefix(self._set.catalog_id, quantizer_id)
        files = []
        for path in sorted(path for path in (folder / attempt).rglob("*") if path.is_file()):
            name = str(path.relative_to(folder))
            files.append(StoredFile(name=name, size_bytes=path.stat().st_size, sha256=file_sha256(path)))
            self._object_store.put_file(f"{prefix}/{name}", path)
        return tuple(files)

    def _finish(self, quantizer: Quantizer) -> None:
        """Writes the manifest of a committed quantizer, which a killed build may not have come to."""
        key = f"{keys.quantizer_prefix(quantizer.catalog_id, quantizer.quantizer_id)}/manifest.json"
        if not self._object_store.exists(key):
            self._object_store.put_bytes(key, quantizer.to_bytes())


def fetch_quantizer(object_store: ObjectStore, plan: IndexPlan, folder: Path) -> Trained:
    """Downloads the quantizer of a plan into `folder` and opens it.

    Raises:
        ContractError: the plan has none, or it was never completed.
    """
    if plan.quantizer is None:
        raise ContractError(f"{plan.plan_id}: its index is built whole, so it has no quantizer")
    prefix = keys.quantizer_prefix(plan.catalog_id, plan.quantizer.quantizer_id)
    try:
        quantizer = Quantizer.from_bytes(object_store.get_bytes(f"{prefix}/manifest.json"))
    except ObjectMissingError as error:
        raise ContractError(
            f"{plan.plan_id}: {plan.quantizer.quantizer_id} does not exist; plan the build again"
        ) from error
    return open_quantizer(object_store, quantizer, planned_recipe(plan), folder)


def open_quantizer(object_store: ObjectStore, quantizer: Quantizer, recipe: Recipe, folder: Path) -> Trained:
    """Downloads a quantizer into `folder`, checked by SHA-256, and opens it."""
    prefix = keys.quantizer_prefix(quantizer.catalog_id, quantizer.quantizer_id)
    for file in quantizer.files:
        path = folder / file.name.partition("/")[2]
        object_store.get_file(f"{prefix}/{file.name}", path, sha256=file.sha256)
    return recipe.read(folder)


def measure_fit(trained: Trained, samples: RowSamples) -> QuantizerFit:
    """Measures a quantizer on a sample that is drawn apart from the one it was trained on."""
    vectors = samples.measuring()
    return QuantizerFit(
        error=trained.sampled_error(vectors), imbalance=trained.sampled_imbalance(vectors), sampled=len(vectors)
    )


def drift_reasons(settings: Settings, fit: QuantizerFit, at_training: QuantizerFit) -> tuple[str, ...]:
    """Returns why a retrain is due, with the figures; nothing while drift is small."""
    reasons = []
    for name, found, before, growth in (
        ("quantization error", fit.error, at_training.error, settings.index_drift_max_error_growth),
        ("imbalance of the lists", fit.imbalance, at_training.imbalance, settings.index_drift_max_imbalance_growth),
    ):
        if 0 < before < found / (1 + growth):
            reasons.append(
                f"{name} {found:.4g}, {found / before - 1:.0%} above {before:.4g} at training (limit {growth:.0%})"
            )
    return tuple(reasons)


def _choice(quantizer: Quantizer, fit: QuantizerFit, *, reused: bool, reasons: tuple[str, ...]) -> QuantizerChoice:
    return QuantizerChoice(
        quantizer_id=quantizer.quantizer_id,
        reused=reused,
        reasons=reasons,
        fit=fit,
        fit_at_training=quantizer.fit,
    )
