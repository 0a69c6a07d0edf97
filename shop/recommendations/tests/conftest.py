"""Every test talks HTTP to the real process, on a port of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).resolve().parent.parent


class Service:
    """A running replica."""

    def __init__(self, database_url: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {
            **os.environ, "PORT": str(self.port), "HOST": "127.0.0.1", "DATABASE_URL": database_url,
        }
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "recommendations"],
            cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True,
        )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def wait_ready(self) -> float:
        """Seconds from the start until it was ready."""
        while time.monotonic() - self.started < 20:
            assert self.process.poll() is None, self.process.stdout.read()
            try:
                if self.http.get("/health/ready").status_code == 200:
                    return time.monotonic() - self.started
            except httpx.TransportError:
                time.sleep(0.01)
        raise AssertionError("not ready within 20 s")

    def confirm(self, event_id: str, skus: list[str], caller: str = "orders") -> httpx.Response:
        body = {"id": event_id, "type": "order.confirmed", "created": 1, "data": {"order_id": "o", "skus": skus}}
        return self.http.post("/events/order-confirmed", json=body, headers={"x-isles-caller": caller})

    def bought_with(self, *skus: str, limit: object = None) -> list[tuple[str, int]]:
        query: list[tuple[str, str]] = [("sku", sku) for sku in skus]
        if limit is not None:
            query.append(("limit", str(limit)))
        answer = self.http.get("/api/recommendations", params=query)
        assert answer.status_code == 200, answer.text
        return [(item["sku"], item["score"]) for item in answer.json()["items"]]

    def stop(self) -> list[dict]:
        """Ends it with SIGTERM; the lines that it logged. It has to exit with 0."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=15)
        self.http.close()
        assert self.process.returncode == 0
        return [json.loads(line) for line in output.splitlines()]


def _database_urls() -> list[str]:
    return ["sqlite"] + (["postgres"] if os.environ.get("TEST_POSTGRES_URL") else [])


@pytest.fixture(params=_database_urls())
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/data/recommendations.db"
        return
    import psycopg

    base = os.environ["TEST_POSTGRES_URL"]
    name = f"recommendations_{uuid.uuid4().hex}"
    with psycopg.connect(base, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    yield base.rpartition("/")[0] + "/" + name
    with psycopg.connect(base, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def start(database_url: str) -> Iterator[Callable[[], Service]]:
    """Starts replicas on one database; ends those that a test left running."""
    running: list[Service] = []

    def begin() -> Service:
        service = Service(database_url)
        running.append(service)
        service.wait_ready()
        return service

    yield begin
    for service in running:
        if service.process.poll() is None:
            service.process.kill()
            service.process.communicate()


@pytest.fixture
def service(start: Callable[[], Service]) -> Service:
    return start()
