"""What a request may say: checked here, before anything is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_SKU_LENGTH = 64
MAX_EVENT_ID_LENGTH = 200
MAX_SKUS_IN_ORDER = 200
MAX_SKUS_IN_QUERY = 50
DEFAULT_LIMIT = 8
MAX_LIMIT = 50


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one field of a request."""

    field: str
    detail: str


class Invalid(Exception):
    """The request is well formed and says something that cannot be."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{f.field}: {f.detail}" for f in faults))
        self.faults = faults


@dataclass(frozen=True)
class ConfirmedOrder:
    """An `order.confirmed` event: its id, and the distinct SKUs of the order."""

    event_id: str
    skus: tuple[str, ...]


def parse_event(body: Any) -> ConfirmedOrder:
    """Reads an event; raises `Invalid` with every fault at once."""
    if not isinstance(body, dict):
        raise Invalid([Fault("", "must be a JSON object")])
    faults: list[Fault] = []

    event_id = body.get("id")
    if not _is_text(event_id, MAX_EVENT_ID_LENGTH):
        faults.append(Fault("id", f"must be a text of 1 to {MAX_EVENT_ID_LENGTH} characters"))
    if body.get("type") != "order.confirmed":
        faults.append(Fault("type", 'must be "order.confirmed"'))

    data = body.get("data")
    skus = data.get("skus") if isinstance(data, dict) else None
    if not isinstance(skus, list):
        faults.append(Fault("data.skus", "must be a list of SKUs"))
        skus = []
    distinct: dict[str, None] = {}
    for index, sku in enumerate(skus):
        if _is_text(sku, MAX_SKU_LENGTH):
            distinct[sku] = None
        else:
            faults.append(Fault(f"data.skus[{index}]", _SKU_RULE))
    if len(distinct) > MAX_SKUS_IN_ORDER:
        faults.append(Fault("data.skus", f"must hold at most {MAX_SKUS_IN_ORDER} SKUs"))
    if faults:
        raise Invalid(faults[:20])
    return ConfirmedOrder(event_id=event_id, skus=tuple(distinct))


def parse_query(skus: list[str], limit: str | None) -> tuple[tuple[str, ...], int]:
    """Reads the query of a look-up: distinct SKUs, and a limit clamped to 1..50."""
    faults: list[Fault] = []
    distinct = tuple(dict.fromkeys(skus))
    if not distinct:
        faults.append(Fault("sku", "must be given at least once"))
    if len(distinct) > MAX_SKUS_IN_QUERY:
        faults.append(Fault("sku", f"must be given at most {MAX_SKUS_IN_QUERY} times"))
    if any(not _is_text(sku, MAX_SKU_LENGTH) for sku in distinct):
        faults.append(Fault("sku", _SKU_RULE))

    wanted = DEFAULT_LIMIT
    if limit is not None:
        digits = limit.removeprefix("-")
        if digits.isascii() and digits.isdigit():
            # A number of more than 9 digits is far above the clamp whatever it is.
            size = int(digits) if len(digits) <= 9 else MAX_LIMIT
            wanted = 1 if limit.startswith("-") else max(1, min(size, MAX_LIMIT))
        else:
            faults.append(Fault("limit", "must be a whole number"))
    if faults:
        raise Invalid(faults)
    return distinct, wanted


_SKU_RULE = f"must be a text of 1 to {MAX_SKU_LENGTH} characters without control characters"


def _is_text(value: Any, longest: int) -> bool:
    """Text that every database stores as it is: no NUL, no lone surrogate."""
    return isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()
