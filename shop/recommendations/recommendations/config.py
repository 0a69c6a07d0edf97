"""Configuration from the environment; a fault is one clear line, not a trace."""

from __future__ import annotations

import os
from dataclasses import dataclass


class BadConfig(Exception):
    """A variable is missing or cannot be used; the text says which and what to do."""


@dataclass(frozen=True)
class Config:
    """Where to listen and where to store."""

    host: str
    port: int
    database_url: str


def from_environment() -> Config:
    """Reads PORT, HOST (default 127.0.0.1) and DATABASE_URL."""
    port = os.environ.get("PORT", "")
    if not port.isdigit() or int(port) > 65535:
        raise BadConfig(f"PORT must be a number from 0 to 65535, and is {port!r}")
    database_url = os.environ.get("DATABASE_URL", "")
    if not database_url.startswith(("sqlite://", "postgres://", "postgresql://")):
        raise BadConfig(
            "DATABASE_URL must be sqlite://<path> or postgres://…; "
            "for example DATABASE_URL=sqlite:///tmp/recommendations.db"
        )
    return Config(os.environ.get("HOST") or "127.0.0.1", int(port), database_url)
