"""The counts, in SQLite or PostgreSQL, behind one SQL text.

The SQL is written with `?` and uses only what both databases know. The two
drivers differ in how a connection is opened and how a writing transaction
begins; nothing else.
"""

from __future__ import annotations

import queue
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

from .domain import ConfirmedOrder

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
_KEPT_CONNECTIONS = 8


class Unavailable(Exception):
    """The database cannot be reached or is busy for too long."""


class Store:
    """Counts and look-ups. Safe to call from many threads, and many processes."""

    def __init__(self, database_url: str) -> None:
        """Takes `sqlite://<path>` or `postgres://…`; connects on first use."""
        self._driver = _driver_for(database_url)
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue(_KEPT_CONNECTIONS)

    def migrate(self) -> None:
        """Brings the schema up to date. Safe if two replicas start at once."""
        with self._transaction() as run:
            self._driver.lock_schema(run)
            run(
                "CREATE TABLE IF NOT EXISTS schema_migrations "
                "(name TEXT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"
            )
            done = {row[0] for row in run("SELECT name FROM schema_migrations").fetchall()}
            for path in sorted(_MIGRATIONS.glob("*.sql")):
                if path.name in done:
                    continue
                for statement in _statements(path.read_text("utf-8")):
                    run(statement)
                run("INSERT INTO schema_migrations VALUES (?, ?)", (path.name, _now_ms()))

    def count_order(self, order: ConfirmedOrder) -> bool:
        """Counts an order's pairs; False, and no change, if the event is a repeat."""
        with self._transaction() as run:
            fresh = run(
                "INSERT INTO seen_events (id, received_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
                (order.event_id, _now_ms()),
            )
            if fresh.rowcount != 1:
                return False
            # In one order for everybody, so that two transactions never wait for each other in a circle.
            for pair in sorted(permutations(order.skus, 2)):
                run(
                    "INSERT INTO pairs (sku, other, times) VALUES (?, ?, 1) "
                    "ON CONFLICT (sku, other) DO UPDATE SET times = pairs.times + 1",
                    pair,
                )
            return True

    def bought_with(self, skus: tuple[str, ...], limit: int) -> list[tuple[str, int]]:
        """The SKUs most often bought with any of `skus`, without those, best first."""
        marks = ", ".join("?" * len(skus))
        with self._connection() as connection:
            rows = self._driver.run(
                connection,
                f"SELECT other, CAST(SUM(times) AS BIGINT) AS score FROM pairs "
                f"WHERE sku IN ({marks}) AND other NOT IN ({marks}) "
                f"GROUP BY other ORDER BY score DESC, other LIMIT ?",
                (*skus, *skus, limit),
            ).fetchall()
        return [(str(sku), int(score)) for sku, score in rows]

    def ping(self) -> None:
        """Raises `Unavailable` unless the schema answers."""
        with self._connection() as connection:
            self._driver.run(connection, "SELECT COUNT(*) FROM schema_migrations").fetchone()

    def close(self) -> None:
        """Closes the idle connections."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = self._driver.connect()
            try:
                yield connection
            except BaseException:
                # It may be broken or inside a transaction: never hand it on.
                connection.close()
                raise
            try:
                self._idle.put_nowait(connection)
            except queue.Full:
                connection.close()
        except self._driver.errors as error:
            raise Unavailable(type(error).__name__) from error

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., Any]]:
        with self._connection() as connection:
            self._driver.run(connection, self._driver.begin)
            yield lambda sql, values=(): self._driver.run(connection, sql, values)
            self._driver.run(connection, "COMMIT")


class _Sqlite:
    errors: tuple[type[Exception], ...] = (sqlite3.OperationalError, sqlite3.DatabaseError)
    # A reader that turns writer can be refused at once; a writer from the start only waits.
    begin = "BEGIN IMMEDIATE"

    def __init__(self, path: str) -> None:
        self._path = path

    def connect(self) -> sqlite3.Connection:
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, timeout=5, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def run(self, connection: Any, sql: str, values: tuple[Any, ...] = ()) -> Any:
        return connection.execute(sql, values)

    def lock_schema(self, run: Callable[..., Any]) -> None:
        """Nothing to do: BEGIN IMMEDIATE holds the only write lock."""


class _Postgres:
    begin = "BEGIN"

    def __init__(self, url: str) -> None:
        # Loaded only when it is used: a shop on SQLite starts without it.
        import psycopg

        self._psycopg = psycopg
        self._url = url
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def connect(self) -> Any:
        return self._psycopg.connect(self._url, autocommit=True, connect_timeout=5)

    def run(self, connection: Any, sql: str, values: tuple[Any, ...] = ()) -> Any:
        return connection.execute(sql.replace("?", "%s"), values)

    def lock_schema(self, run: Callable[..., Any]) -> None:
        run("SELECT pg_advisory_xact_lock(7216450911)")


def _driver_for(database_url: str) -> Any:
    if database_url.startswith("sqlite://"):
        return _Sqlite(database_url.removeprefix("sqlite://").partition("?")[0])
    return _Postgres(database_url)


def _statements(sql: str) -> Iterator[str]:
    lines = (line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            yield statement


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
