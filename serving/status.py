"""`python -m serving status`: what is live, since when, and what each replica holds."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

from vitrine.connections import open_ledger
from vitrine.ledger import Ledger
from vitrine.releases.staging import FRESH_HEARTBEAT_S
from vitrine.settings import Settings


def print_status(settings: Settings, *, catalog_id: str | None, as_json: bool) -> int:
    """Prints the state of one catalog or of all; returns 1 when no replica is alive."""
    with closing(open_ledger(settings)) as ledger:
        status = _read(ledger, catalog_id)
    if as_json:
        print(json.dumps(status, indent=2))
    else:
        _print(status)
    return 0 if any(replica["alive"] for replica in status["replicas"]) else 1


def _read(ledger: Ledger, catalog_id: str | None) -> dict[str, Any]:
    pointers = ledger.releases.all_live()
    stagings = ledger.releases.stagings()
    names = sorted({*pointers, *stagings} if catalog_id is None else {catalog_id})
    replicas = [
        {
            "replica_id": replica.replica_id,
            "url": replica.url,
            "alive": replica.heartbeat_age_s <= FRESH_HEARTBEAT_S,
            "heartbeat_age_s": round(replica.heartbeat_age_s, 1),
        }
        for replica in ledger.replicas.replicas()
    ]
    catalogs = {}
    for name in names:
        pointer = pointers.get(name)
        catalogs[name] = {
            "live": pointer.release_id if pointer else None,
            "generation": pointer.generation if pointer else 0,
            "activated_at": pointer.activated_at.isoformat() if pointer else None,
            "pinned": pointer.pin_reason or True if pointer and pointer.pinned else False,
            "staging": stagings[name][0] if name in stagings else None,
            "slots": [
                {
                    "replica_id": slot.replica_id,
                    "slot": slot.slot,
                    "release_id": slot.release_id,
                    "state": slot.state,
                    "detail": slot.detail,
                }
                for slot in ledger.replicas.slots(name)
            ],
        }
    return {"replicas": replicas, "catalogs": catalogs}


def _print(status: dict[str, Any]) -> None:
    for replica in status["replicas"]:
        state = "alive" if replica["alive"] else "not seen"
        print(f"{replica['replica_id']}  {replica['url']}  {state}, heartbeat {replica['heartbeat_age_s']} s ago")
    if not status["replicas"]:
        print("no search replica was ever seen; start one with `make up`")
    for name, catalog in status["catalogs"].items():
        live = f"{catalog['live']} since {catalog['activated_at']} (generation {catalog['generation']})"
        print(f"{name}  {live if catalog['live'] else 'nothing is live'}")
        if catalog["pinned"]:
            print(f"  pinned{'' if catalog['pinned'] is True else ': ' + catalog['pinned']}")
        if catalog["staging"]:
            print(f"  staging {catalog['staging']}")
        for slot in catalog["slots"]:
            detail = f"  {slot['detail']}" if slot["detail"] else ""
            print(f"  {slot['replica_id']} {slot['slot']:<5}  {slot['state']:<8} {slot['release_id'] or ''}{detail}")
