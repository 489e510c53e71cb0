"""Wrong hosts and foreign pages: a search tier answers by its own names only, and takes no form of another page."""

from __future__ import annotations

import sys

from benchmarks.attacks.search_tier import search_tier
from benchmarks.attacks.sending import send

PATHS = (
    "/",
    "/v1/items",
    "/v1/item?item_id=item/3",
    "/v1/catalogs",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
)
FOREIGN = (
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example:{port}",
    "127.0.0.1.nip.io:{port}",
    "localhost:{port}@evil.example",
    "localhost:{port},evil.example",
    "localhost:1",
    "192.0.2.1:{port}",
    "169.254.169.254",
    "2130706433:{port}",
    "[::2]:{port}",
    "[",
    ":{port}",
    "",
)
OWN = ("localhost:{port}", "localhost", "127.0.0.1:{port}", "[::1]:{port}", "LOCALHOST:{port}")
ORIGINS = ("https://evil.example", "null", "http://localhost:1", "http://localhost.evil.example:{port}")
_FORM = b'--x\r\nContent-Disposition: form-data; name="item_id"\r\n\r\nitem/3\r\n--x--\r\n'


def main() -> int:
    """Asks by every name and from every origin; returns 1 when a wrong one was answered or a right one refused."""
    with search_tier(encoded=False) as tier:
        port = tier.port
        wrong = [(path, host.format(port=port)) for path in PATHS for host in FOREIGN]
        wrong += [(f"http://{host.format(port=port) or 'evil.example'}{path}", "localhost") for path, host in wrong[:3]]
        right = [(path, host.format(port=port)) for path in PATHS for host in OWN]
        let_in = [one for one in wrong if _ask(port, *one) != "4xx"]
        kept_out = [one for one in right if _ask(port, *one) != "2xx"]
        forms = [_post(port, origin.format(port=port)) for origin in ORIGINS]
        own = _post(port, f"http://localhost:{port}"), _post(port, None)
    for path, host in [*let_in, *kept_out]:
        print(f"wrongly told: {path} by {host!r}")
    taken = len(forms) - forms.count("4xx")
    print(
        f"hosts: {len(let_in)} of {len(wrong)} wrong names answered, {len(kept_out)} of {len(right)} right ones "
        f"refused, {taken} of {len(forms)} foreign forms taken, {2 - own.count('2xx')} of 2 own ones refused"
    )
    return 1 if let_in or kept_out or taken or own != ("2xx", "2xx") else 0


def _ask(port: int, target: str, host: str) -> str:
    return send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(), port)


def _post(port: int, origin: str | None) -> str:
    said = f"Origin: {origin}\r\n" if origin else ""
    head = (
        f"POST /v1/search HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{said}"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(_FORM)}\r\n\r\n"
    )
    return send(head.encode() + _FORM, port)


if __name__ == "__main__":
    sys.exit(main())
