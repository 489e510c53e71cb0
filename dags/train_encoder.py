"""# Train an encoder on a catalog

**When:** monthly (the catalog's `train_schedule`), or by hand with the form. Only catalogs whose items are embedded by
an encoder have it.

1. `plan_training_set` settles partitions, event log, embeddings and windows as of a day: nothing later leaks in.
2. `mine_training_set` (Spark) mines positives and hard negatives, and splits by time and by product.
3. `plan_training` settles the base model, the champion by default, and the options.
4. `train` fine-tunes the encoder, in several processes by TorchDistributor where the form asks for them, and publishes
   it.
5. `evaluate_encoder` compares it with the champion, its base and the baselines on products that were held out.
6. `register_encoder` logs parameters, metrics, curves, lineage and the report in MLflow and registers the next version
   of `vitrine-encoder`. It gets the alias `challenger` only when it beats the champion with confidence and nothing
   falls too far; otherwise the version says why. Promoting is a person's act: move the alias `champion`.

**A rerun** with the same inputs returns what exists; a training that was killed goes on at its last checkpoint. Not to
be backfilled: choose an `as_of` day instead.
"""

from airflow.sdk import task
from vitrine_airflow import TRAIN_FORM, SparkJob, TrainJob, catalog_dag, monthly_training, run


@catalog_dag(
    doc_md=__doc__, params=TRAIN_FORM, schedule=monthly_training, start=None, space="encoder", dagrun_timeout_h=72
)
def train_encoder(catalog_id: str) -> None:
    @task
    def plan_training_set() -> str:
        from vitrine_airflow.training_runs import plan_training_set

        return plan_training_set(run.settings(), catalog_id=catalog_id, form=run.parameters())

    @task
    def plan_training(training_set_id: str) -> str:
        from vitrine_airflow.training_runs import plan_training

        return plan_training(
            run.settings(), catalog_id=catalog_id, training_set_id=training_set_id, form=run.parameters()
        )

    @task(pool="gpu")
    def evaluate_encoder(training_id: str) -> str:
        from training.steps.evaluate import evaluate_training

        return evaluate_training(
            run.settings(),
            catalog_id=catalog_id,
            training_id=training_id,
            baselines=run.parameter("baselines"),
            provenance=run.provenance(),
        ).evaluation_id

    @task
    def register_encoder(evaluation_id: str) -> str:
        from training.steps.register import register_training

        return register_training(
            run.settings(), catalog_id=catalog_id, evaluation_id=evaluation_id, provenance=run.provenance()
        )

    training_set_id = plan_training_set()
    mine_training_set = SparkJob(
        task_id="mine_training_set",
        pool="spark",
        verb="mine",
        options={"catalog": catalog_id, "training-set-id": training_set_id},
    )
    training_id = plan_training(training_set_id)
    train = TrainJob(
        task_id="train",
        pool="gpu",
        verb="run-training",
        options={"catalog": catalog_id, "training-id": training_id},
    )
    evaluation_id = evaluate_encoder(training_id)
    register_encoder(evaluation_id)

    mine_training_set >> training_id
    train >> evaluation_id
