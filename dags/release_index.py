"""# Release a catalog's index, or take a release back

**When:** triggered by a build with its candidate, or by hand with an action: `release`, `promote`, `rollback`, `pin`,
`unpin`.

1. `choose_action` follows the form: `release` goes on with 2, each other action is one task.
2. `gate_release` checks recall, golden queries and counts against the catalog's thresholds and the live release.
3. `stage_release` asks every search replica to load the release in its idle slot, and waits until all are ready.
4. `activate_release` moves the live pointer; replicas flip one reference, and no request waits or fails. It fails when
   another release went live since the gate: clear `gate_release` and what follows, and it is judged against that one.
5. `verify_release` asks the live tier over HTTP. If that fails, the release before is put back, with its pin, and
   verified, and the run fails. Clearing the failed task stages, activates and verifies the release again.

`promote` makes any release live, whatever the gate said and however old it is, and accepts its encoder where the gate
had refused it. It unpins; a release that is older than the head it pins, because the next build would undo it, and the
task's log says so. `choose_target` settles the release before, or the one named, and `roll_back` returns to it and pins
it; both stage and verify as a release does. While a catalog is pinned, builds release nothing until `unpin` or a
`promote` of what is newest. `/v1/release`, the metrics and `make status` show a pin.

A candidate that is older than the live release, or that meets a pin, ends as skipped with the reason in its log: by
itself the live release never moves back. **A rerun** of a release that is live changes nothing. Not to be backfilled.
"""

from airflow.sdk import task
from vitrine_airflow import FAIL_ON_RELEASE_ERROR, RELEASE_FORM, catalog_dag, run


@catalog_dag(doc_md=__doc__, params=RELEASE_FORM, dagrun_timeout_h=2)
def release_index(catalog_id: str) -> None:
    @task.branch
    def choose_action() -> str:
        from vitrine_airflow.release_actions import first_task

        return first_task(run.parameter("action"), release_id=run.parameter("release_id"))

    @task(pool="release")
    def gate_release() -> dict[str, object]:
        from vitrine_airflow.release_actions import gate

        return gate(
            run.settings(),
            catalog_id=catalog_id,
            release_id=run.parameter("release_id"),
            actor=run.actor(),
            provenance=run.provenance(),
        )

    @task(pool="release")
    def stage_release(approved: dict[str, object]) -> dict[str, object]:
        from vitrine_airflow.release_actions import stage_or_skip

        return stage_or_skip(run.settings(), catalog_id=catalog_id, approved=approved)

    @task(pool="release")
    def activate_release(approved: dict[str, object]) -> dict[str, object]:
        from vitrine_airflow.release_actions import activate_or_skip

        return activate_or_skip(run.settings(), catalog_id=catalog_id, approved=approved, **run.asked_by())

    @task(pool="release", retry_policy=FAIL_ON_RELEASE_ERROR)
    def verify_release(activated: dict[str, object]) -> None:
        from vitrine_airflow.release_actions import verify

        verify(
            run.settings(),
            catalog_id=catalog_id,
            activated=activated,
            cleared=run.is_first_try(),
            **run.asked_by(),
        )

    @task(pool="release", retry_policy=FAIL_ON_RELEASE_ERROR)
    def promote() -> int:
        from vitrine.releases.control import promote

        return promote(run.settings(), catalog_id=catalog_id, **run.asked_by(), release_id=run.parameter("release_id"))

    @task
    def choose_target() -> str:
        from vitrine_airflow.release_actions import rollback_target

        return rollback_target(run.settings(), catalog_id=catalog_id, release_id=run.parameter("release_id"))

    @task(pool="release", retry_policy=FAIL_ON_RELEASE_ERROR)
    def roll_back(release_id: str) -> None:
        from vitrine.releases.control import roll_back

        roll_back(run.settings(), catalog_id=catalog_id, **run.asked_by(), release_id=release_id)

    @task(pool="release")
    def pin() -> None:
        from vitrine.releases.control import pin

        pin(run.settings(), catalog_id=catalog_id, **run.asked_by())

    @task(pool="release")
    def unpin() -> None:
        from vitrine.releases.control import unpin

        unpin(run.settings(), catalog_id=catalog_id, **run.asked_by())

    approved = gate_release()
    verify_release(activate_release(stage_release(approved)))
    target = choose_target()
    roll_back(target)
    choose_action() >> [approved, promote(), target, pin(), unpin()]
