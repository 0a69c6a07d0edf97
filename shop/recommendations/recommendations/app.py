"""The HTTP face: routes, errors, who may call, and one log line a request."""

from __future__ import annotations

import json
import logging
import time

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .domain import Invalid, parse_event, parse_query
from .problem import problem
from .store import Store, Unavailable

MAX_BODY_BYTES = 256 * 1024
_FEEDERS = frozenset({"orders", "isles"})
_log = logging.getLogger("recommendations")


def build(store: Store) -> ASGIApp:
    """The application over a migrated store."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        await run_in_threadpool(store.ping)
        return JSONResponse({"status": "ok"})

    async def recommend(request: Request) -> Response:
        query = request.query_params
        skus, limit = parse_query(query.getlist("sku"), query.get("limit"))
        rows = await run_in_threadpool(store.bought_with, skus, limit)
        return JSONResponse({"items": [{"sku": sku, "score": score} for sku, score in rows]})

    async def order_confirmed(request: Request) -> Response:
        if request.headers.get("x-isles-caller") not in _FEEDERS:
            return problem(
                request, 403, "caller_not_allowed", "Only orders may report a confirmed order."
            )
        order = parse_event(await _json_body(request))
        counted = await run_in_threadpool(store.count_order, order)
        return JSONResponse({"counted": counted})

    app = Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/api/recommendations", recommend),
            Route("/events/order-confirmed", order_confirmed, methods=["POST"]),
        ],
        exception_handlers={
            Invalid: _invalid,
            Unavailable: _unavailable,
            HTTPException: _http_error,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False
    return _AccessLog(app)


async def _json_body(request: Request) -> object:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body may have at most {MAX_BODY_BYTES} bytes.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not JSON.") from None


_CODES = {400: "malformed_body", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


async def _http_error(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    details = {
        404: "There is nothing at this path.",
        405: "This path does not take this method.",
    }
    detail = details.get(status, getattr(error, "detail", ""))
    headers = getattr(error, "headers", None)
    return problem(request, status, _CODES.get(status, "http_error"), detail, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    faults = error.faults if isinstance(error, Invalid) else []
    errors = [{"field": f.field, "code": "invalid", "message": f.detail} for f in faults]
    return problem(
        request, 422, "validation_failed", "Some values cannot be used.", errors=errors
    )


async def _unavailable(request: Request, error: Exception) -> Response:
    _log.error("database unavailable", extra={"fields": {"error": str(error)}})
    return problem(
        request, 503, "unavailable", "The counts cannot be read now.", {"retry-after": "1"}
    )


async def _failed(request: Request, _: Exception) -> Response:
    return problem(request, 500, "internal", "The request failed; the log says why.")


class _AccessLog:
    """Logs each request when its answer has been sent; answers pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            _log_request(scope, status, time.perf_counter() - started)


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    level = logging.DEBUG if scope["path"].startswith("/health/") else logging.INFO
    if not _log.isEnabledFor(level):
        return
    headers = dict(scope["headers"])
    fields = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 2),
        "caller": headers.get(b"x-isles-caller", b"").decode("latin-1"),
        "request_id": headers.get(b"x-request-id", b"").decode("latin-1"),
        "trace_id": headers.get(b"traceparent", b"").decode("latin-1")[3:35],
    }
    _log.log(level, "request", extra={"fields": {k: v for k, v in fields.items() if v != ""}})
