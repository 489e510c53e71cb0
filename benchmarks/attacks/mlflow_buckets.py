"""Attacks on MLflow: what it opens for whom, with a login and without, under other names and from other pages.

It begins a platform of its own, plants secrets in the platform's bucket and on this disk, and asks MLflow for them in
every way that it offers. A listener counts the connections that MLflow makes on behalf of who asks.
"""

from __future__ import annotations

import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.attacks import mlflow_ways
from benchmarks.attacks.mlflow_ways import API, FILE, Client

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PREFIX = "attacked/prefix"


@dataclass(frozen=True)
class Target:
    """What is attacked.

    Attributes:
        url: of MLflow.
        login: of somebody who may enter, or None when MLflow asks for none.
        bucket: of the platform, whose objects lie in the folder `bucket_folder`.
        artifacts: MLflow's own folder.
        outside: a folder of this machine that is none of MLflow's business.
    """

    url: str
    login: tuple[str, str] | None
    bucket: str
    bucket_folder: Path
    artifacts: Path
    outside: Path


@dataclass(frozen=True)
class Found:
    """What an attack found: how many requests it took, and each that came through."""

    name: str
    requests: int
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.requests:,} requests, {len(self.faults)} came through"


def main() -> int:
    """Attacks a platform of its own; returns 0 when nothing came through."""
    from benchmarks.private_platform import private_environment
    from deploy.local import lifecycle
    from deploy.local.layout import Layout

    with tempfile.TemporaryDirectory(prefix="vitrine-attack-") as scratch:
        layout = Layout(Path(scratch) / "state")
        began = time.monotonic()
        try:
            configuration = lifecycle.up(layout, private_environment(layout), report=lambda _: None)
            print(f"a platform is up after {time.monotonic() - began:.0f} s", flush=True)
            bucket = configuration.settings.bucket
            target = Target(
                url=configuration.mlflow_url,
                login=configuration.mlflow_login,
                bucket=bucket,
                bucket_folder=layout.s3 / bucket,
                artifacts=layout.mlflow_artifacts,
                outside=Path(scratch) / "outside",
            )
            found = [*strangers(target, mlflow_routes()), *other_pages(target), foreign_locations(target)]
        finally:
            lifecycle.down(layout, report=lambda _: None)
    for one in found:
        print(one)
        for fault in one.faults[:20]:
            print(f"    {fault}")
    faults = sum(len(one.faults) for one in found)
    print(f"mlflow_buckets: {sum(one.requests for one in found):,} requests sent, {faults} came through")
    return 1 if faults else 0


def mlflow_routes() -> list[tuple[str, str]]:
    """Returns method and path of every route that this version of MLflow has."""
    from mlflow.server import app as flask_app
    from mlflow.server.fastapi_app import app

    found = {
        (method, route.path.replace("{", "").replace("}", "").replace(":path", ""))
        for route in app.router.routes
        for method in getattr(route, "methods", None) or ()
    }
    for rule in flask_app.url_map.iter_rules():
        path = rule.rule.replace("<path:", "").replace("<", "").replace(">", "")
        found |= {(method, path) for method in rule.methods or ()}
    return sorted(found)


def strangers(target: Target, routes: Iterable[tuple[str, str]]) -> list[Found]:
    """Asks for every route without a login, and for one of them with every login that somebody might try."""
    nobody = Client(target.url)
    through = [
        f"{method} {path}: {status}"
        for method, path in routes
        if (status := nobody.ask(method, path).status) != 401 and (method, path) not in _OPEN
    ]
    guesses = product(("admin", "root", "mlflow", "vitrine", ""), ("", "admin", "password", "password1234", "mlflow"))
    for login in guesses:
        guesser = Client(target.url, login=login)
        status = guesser.ask("GET", f"{API}/experiments/get?experiment_id=0").status
        nobody.answers += guesser.answers
        if status != 401:
            through.append(f"login {login}: {status}")
    return [Found("without a login", len(nobody.answers), tuple(through))]


def other_pages(target: Target) -> list[Found]:
    """Asks under other names, and as a page of another origin would, with the right login."""
    port = target.url.rpartition(":")[2]
    client = Client(target.url, login=target.login)
    hosts = ["evil.example", f"evil.example:{port}", "127.0.0.1", f"localhost:{port}.evil.example", f"0.0.0.0:{port}"]
    hosts += [f"[::1]:{port}", "localhost:1", f"10.0.0.1:{port}", f"127.0.0.1:{port}@evil.example", ""]
    origins = ["http://localhost:3000", "http://localhost", "http://127.0.0.1:1", f"http://[::1]:{port}", "null"]
    origins += [f"https://127.0.0.1:{port}", "http://evil.example", f"http://127.0.0.1:{port}.evil.example"]
    places = [f"{API}/experiments/create", "/graphql", "/v1/traces", f"{API}/experiments/get?experiment_id=0", "/x"]
    through = []
    for method, place in product((*_METHODS, "OPTIONS"), places):
        for name, values in (("Host", hosts), ("Origin", origins), ("Sec-Fetch-Site", ["cross-site", "same-site"])):
            for value in values:
                body = {"name": "made by another page"} if method not in ("GET", "OPTIONS") else None
                answer = client.ask(method, place, body, headers={name: value})
                # What is no name at all does not come as far as the door.
                refused = answer.status == 403 or answer.body.startswith(b"Invalid HTTP request")
                if not refused:
                    through.append(f"{method} {place} with {name}: {value}: {answer.status}")
    return [Found("other names and pages", len(client.answers), tuple(through))]


def foreign_locations(target: Target, *, every: int = 1) -> Found:
    """Has MLflow, with a login, open what is not its own, in every way and at every location.

    Args:
        target: that is attacked.
        every: one location in so many, for a short run.
    """
    client = Client(target.url, login=target.login)
    secret = secrets.token_hex(16)
    with _planted(target, secret) as planted, _listener() as (port, connections):
        named = mlflow_ways.locations(
            bucket=target.bucket, prefix=_PREFIX, folder=target.outside, artifacts=target.artifacts, port=port
        )
        before = _snapshot(planted)
        for number, location in enumerate(named[::every]):
            for run_id in mlflow_ways.by_experiment(client, location):
                mlflow_ways.by_version(client, location, run_id=run_id)
            mlflow_ways.by_version(client, location)
            mlflow_ways.by_trace(client, location)
            if number % 10 == 9:
                print(f"{number + 1} locations of {len(named[::every])}, {len(client.answers):,} requests", flush=True)
        for path in mlflow_ways.paths(target.outside)[::every]:
            mlflow_ways.by_path(client, path)
        through = [
            f"read: {asked[:200]}"
            for asked, answer in zip(client.asked, client.answers, strict=True)
            if secret.encode() in answer.body
        ]
        through += [f"not answered: {asked[:200]}" for asked, answer in _unanswered(client)]
        through += [f"changed on disk: {path}" for path in sorted(before.items() ^ _snapshot(planted).items())]
        through += [f"{count} connections to a host that was named" for count in [len(connections)] if count]
    return Found("foreign locations, with a login", len(client.answers), tuple(map(str, through)))


@contextmanager
def _planted(target: Target, secret: str) -> Iterator[list[Path]]:
    """Writes the secret to the platform's bucket and to this disk; yields the folders that must stay as they are."""
    planted = []
    for folder in (target.bucket_folder / _PREFIX, target.bucket_folder, target.outside, target.outside / "sub"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in ((FILE, secret), ("traces.json", f'{{"spans": ["{secret}"]}}')):
            (folder / name).write_text(text)
            planted.append(folder / name)
    try:
        yield [target.bucket_folder, target.outside]
    finally:
        for path in planted:
            path.unlink(missing_ok=True)


def _unanswered(client: Client) -> Iterator[tuple[str, mlflow_ways.Answer]]:
    return ((asked, answer) for asked, answer in zip(client.asked, client.answers, strict=True) if answer.status == 0)


def _snapshot(folders: Iterable[Path]) -> dict[str, tuple[int, int]]:
    found = [(path, path.stat()) for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path): (status.st_size, status.st_mtime_ns) for path, status in found}


@contextmanager
def _listener() -> Iterator[tuple[int, list[str]]]:
    """Yields a port, and who connected to it so far; each connection is closed at once."""
    connections: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:  # closed: the attack is over
                    return
                connections.append(str(address))
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], connections
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10.0)


_OPEN = {("GET", "/health"), ("HEAD", "/health")}

if __name__ == "__main__":
    sys.exit(main())
