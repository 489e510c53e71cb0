"""What tasks and DAGs are called in messages to people."""

from __future__ import annotations

_STAGES = {
    "ingest_catalog": "ingest",
    "build_index": "build",
    "release_index": "release",
    "train_encoder": "training",
    "watch_promotions": "promotion",
}
_TASKS = {
    # ingest_catalog
    "check_partition_key": "checking the date",
    "record_delivery": "recording the delivery",
    "profile_images": "checking pictures",
    "validate_items": "validating rows",
    "resolve_encoders": "choosing the encoder",
    "embed_images": "embedding pictures",
    "publish_partition": "publishing the day",
    "trigger_build": "seeing whether to build",
    # build_index
    "wait_for_ingest": "waiting for every day to be ingested",
    "resolve_encoder": "choosing the encoder",
    "embed_head": "embedding pictures that have no vectors yet",
    "plan_index": "planning the index",
    "encode_parts": "encoding the index",
    "assemble_index": "building the index",
    "build_item_table": "writing the item table",
    "publish_candidate": "proposing the release",
    "trigger_release": "requesting the release",
    # release_index
    "choose_action": "starting the release",
    "gate_release": "checking the release",
    "stage_release": "loading the release",
    "activate_release": "switching to the release",
    "verify_release": "verifying the release",
    "promote": "releasing",
    "choose_target": "choosing the release to roll back to",
    "roll_back": "rolling back",
    # train_encoder
    "plan_training_set": "planning the training set",
    "mine_training_set": "mining the training set",
    "plan_training": "planning the training",
    "train": "training the encoder",
    "evaluate_encoder": "evaluating the encoder",
    "register_encoder": "registering the encoder",
    # watch_promotions
    "settle_promotion": "looking up the champion",
    "import_encoder": "importing the encoder",
    "accept_promotion": "handing the champion to the catalogs",
}


def stage_name(dag_id: str) -> str:
    """Returns the name of a DAG's stage, e.g. `build`; the DAG's own name if it has none."""
    kind = dag_id.rpartition(".")[2]
    return _STAGES.get(kind, kind)


def task_words(task_id: str) -> str:
    """Returns what a task does, e.g. `checking pictures`; its id if there are no words for it."""
    return _TASKS.get(task_id, task_id)


def catalog_of_dag(dag_id: str) -> str:
    """Returns the catalog of a DAG; an empty text for a DAG of the whole platform."""
    return dag_id.rpartition(".")[0]
