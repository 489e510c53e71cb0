"""Whether a service is ready, by asking it."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from datetime import datetime
from http.client import HTTPException
from typing import Any

_TIMEOUT_S = 5.0
# No proxy of the environment stands between this machine and itself.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers_http(url: str, *, refusals_count: bool = False) -> bool:
    """Tells whether a GET of `url` is answered with 200, or with a refusal (4xx) where that is answer enough."""
    try:
        with _OPENER.open(url, timeout=_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return refusals_count and 400 <= error.code < 500
    except (OSError, HTTPException, ValueError):
        return False


def airflow_component_beats(airflow_url: str, component: str, *, since: float) -> bool:
    """Tells whether Airflow's API reports a heartbeat of `component` that is younger than `since` (Unix seconds).

    The age matters: for half a minute after its end Airflow calls a component healthy.
    """
    try:
        report = get_json(f"{airflow_url}/api/v2/monitor/health")[component]
        beat = datetime.fromisoformat(report[f"latest_{component}_heartbeat"]).timestamp()
        return bool(report["status"] == "healthy" and beat >= since)
    except (OSError, ValueError, OverflowError, KeyError, TypeError):  # nobody answers, or not as Airflow does
        return False


def get_json(url: str) -> Any:
    """Returns the JSON that a GET of `url` is answered with.

    Raises:
        OSError: nobody answers, or with an error (urllib's errors are OSErrors).
        ValueError: the answer is no JSON, no HTTP, or was cut short.
    """
    try:
        with _OPENER.open(url, timeout=_TIMEOUT_S) as answer:
            return json.load(answer)
    except HTTPException as error:  # these are no OSErrors
        raise ValueError(f"{url}: expected a whole HTTP answer, found {type(error).__name__}: {error}") from error


def is_port_taken(port: int) -> bool:
    """Tells whether somebody listens on this port, on loopback or on all interfaces."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
