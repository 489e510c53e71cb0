"""The route that MLflow calls when an alias moves: `POST /vitrine/promotions` on Airflow's server.

It is public, and believed only as far as its signature goes; and then it says no more than "look": what is promoted is
always read from MLflow. A webhook that is lost costs the time until the next poll.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from contextlib import closing

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from vitrine.settings import Settings

MAX_BODY_BYTES = 65_536
MAX_AGE_S = 300.0


def webhook_app() -> FastAPI:
    """Returns the app that Airflow mounts under `/vitrine`."""
    app = FastAPI(title="Vitrine's webhook", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/promotions", status_code=202)
    async def promotions(request: Request) -> dict[str, str]:
        settings = Settings.from_environment()
        secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else ""
        if not secret:
            raise HTTPException(404, "VITRINE_WEBHOOK_SECRET is not set, so no webhook is taken; MLflow is polled")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise HTTPException(413, f"expected at most {MAX_BODY_BYTES} bytes")
        if not is_signed(
            bytes(body),
            secret=secret,
            signature=request.headers.get("x-mlflow-signature", ""),
            delivery_id=request.headers.get("x-mlflow-delivery-id", ""),
            timestamp=request.headers.get("x-mlflow-timestamp", ""),
            now=time.time(),
        ):
            raise HTTPException(401, "the signature is wrong, or older than five minutes")
        await run_in_threadpool(_signal, settings)
        return {"status": "noted"}

    return app


def is_signed(body: bytes, *, secret: str, signature: str, delivery_id: str, timestamp: str, now: float) -> bool:
    """Tells whether MLflow signed a body with the secret within the last five minutes.

    The signature is `v1,` and the base64 of HMAC-SHA256 over `<delivery id>.<timestamp>.<body>`, as MLflow's webhook
    documentation gives it.

    Args:
        body: as it was received.
        secret: that MLflow was given with the webhook.
        signature, delivery_id, timestamp: of the headers `X-MLflow-*`; the timestamp is in seconds since the epoch.
        now: seconds since the epoch.
    """
    if not timestamp.isascii() or not timestamp.isdigit() or abs(now - int(timestamp[:12])) > MAX_AGE_S:
        return False
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())
    return hmac.compare_digest(b"v1," + expected, signature.encode())


def _signal(settings: Settings) -> None:
    from vitrine.connections import open_ledger

    with closing(open_ledger(settings)) as ledger:
        ledger.promotions.signal("webhook")
