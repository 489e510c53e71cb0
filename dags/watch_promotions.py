"""# Watch which encoder is the champion

**When:** the alias `champion` of `vitrine-encoder` has moved in MLflow: noticed by a webhook within seconds, otherwise
by asking MLflow every `VITRINE_PROMOTION_POLL_S`. Moving the alias is the promotion; moving it back is the roll-back.

1. `settle_promotion` asks MLflow where the alias stands: only that counts, whatever woke the run.
2. `import_encoder` downloads that version and checks it: safetensors only, preprocessing and tokenizer, dimensions, and
   that the converted towers agree with torch. One that cannot be used is refused, with the reason in MLflow's tag
   `vitrine.promotion`, and this task fails.
3. `accept_promotion` opens the promotion for each catalog that has a head and an encoder; a catalog that serves under
   this encoder already is done.
4. `trigger_build` asks for the build of each other one, under the promoted encoder. They take turns: the default
   catalog first, then by `priority`, `VITRINE_PROMOTION_CATALOGS_AT_ONCE` at a time. What a head lacks is embedded
   there; until its release is verified, the live one serves on and ingests feed both.

**A rerun** handles the move that counts then, and asks for no build twice. A release that its gate refuses leaves the
live one as it was; MLflow's tag `vitrine.gate.<catalog>` says why. Not to be backfilled.
"""

from airflow.sdk import task
from vitrine_airflow import TriggerPromotedBuild, champion_moves, platform_dag, run


@platform_dag(doc_md=__doc__, dagrun_timeout_h=2, schedule=champion_moves())
def watch_promotions() -> None:
    @task
    def settle_promotion() -> dict[str, object]:
        from vitrine_airflow.promotions import settle_promotion

        return settle_promotion(run.settings())

    @task
    def import_encoder(move: dict[str, object]) -> str:
        from vitrine_airflow.promotions import import_encoder

        return import_encoder(run.settings(), move)

    @task
    def accept_promotion(move: dict[str, object], fingerprint: str) -> list[dict[str, object]]:
        from vitrine_airflow.promotions import accept_promotion

        return accept_promotion(run.settings(), move, fingerprint)

    move = settle_promotion()
    builds = accept_promotion(move, import_encoder(move))
    # One after the other, so that the catalog whose turn is first also begins first.
    TriggerPromotedBuild.partial(task_id="trigger_build", max_active_tis_per_dagrun=1).expand(build=builds)
