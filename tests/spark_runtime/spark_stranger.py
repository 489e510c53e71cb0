"""Somebody who connects to a Spark driver or master by Spark's own protocol, with its secret or without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError

_ENDPOINT = {"driver": "BlockManagerMaster", "master": "Master"}


@contextmanager
def stranger() -> Iterator[Any]:
    """A JVM of its own: that of a session knows the session's secret."""
    from pyspark.java_gateway import launch_gateway

    gateway = launch_gateway()
    try:
        yield gateway.jvm
    finally:
        gateway.shutdown()
        gateway.proc.stdin.close()  # by which it ends
        gateway.proc.wait(timeout=300)


def reaches(jvm: Any, *, host: str, port: int, what: str, secret: str | None) -> bool:
    """Tells whether an endpoint answers.

    Args:
        jvm: of the stranger.
        host, port: of the driver or the master.
        what: `driver` or `master`.
        secret: that the stranger proves itself by, or None for one that does not try.
    """
    conf = jvm.org.apache.spark.SparkConf(False)
    if secret is not None:
        conf.set("spark.authenticate", "true").set("spark.authenticate.secret", secret)
        conf.set("spark.network.crypto.enabled", "true")
    entry = getattr(getattr(jvm.org.apache.spark.internal.config, "package$"), "MODULE$").AUTH_SECRET_FILE()
    security = jvm.org.apache.spark.SecurityManager(conf, jvm.scala.Option.empty(), entry)
    environment = jvm.org.apache.spark.rpc.RpcEnv.create("stranger", "127.0.0.1", 0, conf, security, True)
    try:
        environment.setupEndpointRef(jvm.org.apache.spark.rpc.RpcAddress(host, port), _ENDPOINT[what])
    except Py4JJavaError:
        return False
    finally:
        environment.shutdown()
        environment.awaitTermination()
    return True


def command_lines() -> list[str]:
    """The command lines of all processes of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return found
