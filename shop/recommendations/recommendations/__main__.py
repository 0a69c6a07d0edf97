"""Starts the service: `python -m recommendations`."""

from __future__ import annotations

import logging
import signal
import sys

import uvicorn

from . import logs
from .app import build
from .config import BadConfig, from_environment
from .store import Store, Unavailable

# Below the 10 s that a supervisor waits before it kills.
_DRAIN_SECONDS = 8


def main() -> int:
    """Runs until SIGTERM or SIGINT, then finishes what is in flight."""
    logs.install()
    log = logging.getLogger("recommendations")
    try:
        config = from_environment()
        store = Store(config.database_url)
        store.migrate()
    except BadConfig as error:
        log.error("bad configuration: %s", error)
        return 2
    except (Unavailable, OSError) as error:
        log.error("the database cannot be opened: %s", error)
        return 1

    # uvicorn drains, then raises the signal again; by then it has done its work.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: None)
    server = uvicorn.Server(
        uvicorn.Config(
            build(store),
            host=config.host,
            port=config.port,
            http="httptools",
            loop="asyncio",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
    )
    server.run()
    store.close()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
