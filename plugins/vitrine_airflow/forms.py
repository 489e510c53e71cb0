"""The forms of the trigger dialogues: what a person, a program or a backfill may say to a run."""

from __future__ import annotations

from airflow.sdk import Param

_REASON = Param("", type=["null", "string"], title="Reason", description="Stands in the history beside the run.")

INGEST_FORM = {
    "source": Param(
        None,
        type=["null", "string"],
        title="Source",
        description=(
            "The day is the *partition key*, under Advanced Options, such as 2026-11-01: a run needs one. Here: the "
            "folder or `s3://` prefix of a new delivery for that day. Empty: redo the delivery that was recorded for "
            "the day, or take the catalog's declared source when none was."
        ),
    ),
    "full": Param(
        False,
        type="boolean",
        title="Full delivery",
        description="The delivery holds the whole catalog: items of earlier days that it omits are removed.",
    ),
    "removal_is_meant": Param(
        False,
        type="boolean",
        title="Removal is meant",
        description=(
            "What the delivery takes out of the head is meant, however much that is. It holds for that delivery for "
            "good: redoing the day asks nobody again."
        ),
    ),
}

BUILD_FORM = {
    "encoder": Param(
        "live",
        type="string",
        minLength=1,
        title="Encoder",
        description=(
            "`live`: the encoder of the live release, or the champion before the first release. `champion`: the one "
            "that MLflow's alias names. Or a fingerprint."
        ),
        examples=["live", "champion"],
        values_display={"live": "live", "champion": "champion"},
    ),
    "retrain": Param(
        False,
        type="boolean",
        title="Retrain",
        description=(
            "Train a quantizer on this head though the newest one still fits. An index that is built whole has none "
            "(HNSW, and any of one part), and Flat has nothing to learn."
        ),
    ),
    "reason": _REASON,
}

RELEASE_FORM = {
    "action": Param(
        "release",
        enum=["release", "promote", "rollback", "pin", "unpin"],
        title="Action",
        description=(
            "`release`: activate a candidate unless it is older than the live release. `promote`: activate it even so; "
            "this unpins, or pins a release that is older than the head. `rollback`: return to the previous release, "
            "or to the one named, and pin it. `pin`: keep the live release until `unpin` or `promote`."
        ),
    ),
    "release_id": Param(
        None,
        type=["null", "string"],
        title="Release",
        description="Needed by `release` and `promote`; optional for `rollback`.",
    ),
    "reason": _REASON,
}

TRAIN_FORM = {
    "objective": Param(
        "both",
        enum=["both", "triplet", "infonce"],
        title="Objective",
        description="`triplet` on pictures, `infonce` on pictures and texts, or both together.",
    ),
    "base": Param(
        "champion",
        type="string",
        minLength=1,
        title="Base model",
        description=(
            "`champion`, `bootstrap`, the fingerprint of a published encoder, a `transformers` CLIP by name or folder, "
            "or `scratch` (`scratch:<name or folder>` for another architecture)."
        ),
        examples=["champion", "bootstrap", "scratch"],
        values_display={"champion": "champion", "bootstrap": "bootstrap", "scratch": "scratch"},
    ),
    "epochs": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Epochs",
        description="Passes over all products; empty: the default of `python -m training train --help`.",
    ),
    "max_steps": Param(
        None, type=["null", "integer"], minimum=1, title="Steps", description="Ends the training earlier."
    ),
    "as_of": Param(
        None,
        type=["null", "string"],
        format="date",
        title="As of",
        description="The last day that counts, for partitions, items and events; empty: the newest partition's.",
    ),
    "events_from": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Events from",
        description="First day of the event log; empty: 90 days.",
    ),
    "events_until": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Events until",
        description="Last day of the event log; empty: the as-of day.",
    ),
    "seed": Param(0, type="integer", minimum=0, title="Seed", description="The same seed gives the same encoder."),
    "processes": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Processes",
        description="Each has an equal part of every batch, and a GPU where there are any; empty: 1.",
    ),
    "baselines": Param(
        True,
        type="boolean",
        title="Baselines",
        description="The report also shows colour + SIFT, TF-IDF and the configured ResNet.",
    ),
    "options": Param(
        None,
        type=["null", "object"],
        title="More options",
        description='Of the training, e.g. `{"batch_size": 192, "learning_rate": 5e-5}`.',
    ),
    "mining": Param(
        None,
        type=["null", "object"],
        title="Mining",
        description='Parameters of mining, e.g. `{"test_days": 14, "neighbour_negatives": 4}`.',
    ),
}
