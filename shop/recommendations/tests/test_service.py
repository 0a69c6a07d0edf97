from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from conftest import HERE, Service

ORDERS = {"x-isles-caller": "orders"}


def test_counts_what_is_bought_together(service):
    service.confirm("e1", ["MUG", "KETTLE", "SOAP"])
    service.confirm("e2", ["MUG", "KETTLE"])
    service.confirm("e3", ["SOAP", "TOWEL"])
    assert service.bought_with("MUG") == [("KETTLE", 2), ("SOAP", 1)]
    # Over two SKUs the counts add up, and what is asked for is never recommended.
    assert service.bought_with("MUG", "KETTLE") == [("SOAP", 2)]
    assert service.bought_with("UNKNOWN") == []


def test_a_repeat_is_answered_alike_and_counted_once(service):
    first = service.confirm("e1", ["A", "B"])
    again = service.confirm("e1", ["A", "B"])
    assert (first.status_code, first.json()) == (200, {"counted": True})
    assert (again.status_code, again.json()) == (200, {"counted": False})
    assert service.bought_with("A") == [("B", 1)]


def test_an_sku_named_twice_in_an_order_is_one(service):
    service.confirm("e1", ["A", "A", "B", "B"])
    assert service.bought_with("A") == [("B", 1)]


def test_an_order_of_one_or_no_product_is_taken(service):
    assert service.confirm("e1", ["A"]).json() == {"counted": True}
    assert service.confirm("e2", []).json() == {"counted": True}
    assert service.bought_with("A") == []


def test_concurrent_events_on_two_replicas_lose_and_repeat_nothing(start):
    replicas = [start(), start()]
    skus = ["A", "B", "C", "D"]

    def deliver(n: int) -> bool:
        # Each event goes to both replicas, in both orders of SKUs.
        order = skus if n % 2 else skus[::-1]
        answer = replicas[n % 2].confirm(f"event-{n // 2}", order)
        assert answer.status_code == 200, answer.text
        return answer.json()["counted"]

    with ThreadPoolExecutor(16) as pool:
        counted = list(pool.map(deliver, range(120)))
    assert sum(counted) == 60
    for replica in replicas:
        assert replica.bought_with("A") == [("B", 60), ("C", 60), ("D", 60)]


def test_counts_outlive_a_restart(start):
    first = start()
    first.confirm("e1", ["A", "B"])
    first.stop()
    second = start()
    assert second.confirm("e1", ["A", "B"]).json() == {"counted": False}
    assert second.bought_with("A") == [("B", 1)]


@pytest.mark.parametrize("caller", ["gateway", "storefront", ""])
def test_only_orders_and_the_bus_may_report_orders(service, caller):
    answer = service.confirm("e1", ["A", "B"], caller=caller)
    assert answer.status_code == 403
    assert answer.json()["code"] == "caller_not_allowed"
    assert service.bought_with("A") == []
    assert service.confirm("e1", ["A", "B"], caller="isles").json() == {"counted": True}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN,", b'{"id": "\\']
)
def test_a_malformed_body_is_400(service, body):
    answer = service.http.post("/events/order-confirmed", content=body, headers=ORDERS)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "malformed_body"


GOOD = {"id": "e1", "type": "order.confirmed", "data": {"skus": ["A", "B"]}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        (None, ""),
        ("text", ""),
        ({**GOOD, "id": 7}, "id"),
        ({**GOOD, "id": ""}, "id"),
        ({**GOOD, "id": "x" * 201}, "id"),
        ({**GOOD, "id": "a\u0000b"}, "id"),
        ({**GOOD, "type": "order.cancelled"}, "type"),
        ({**GOOD, "data": []}, "data.skus"),
        ({**GOOD, "data": {"skus": "AB"}}, "data.skus"),
        ({**GOOD, "data": {"skus": ["A", 1]}}, "data.skus[1]"),
        ({**GOOD, "data": {"skus": ["A", "\ud800"]}}, "data.skus[1]"),
        ({**GOOD, "data": {"skus": ["A" * 65]}}, "data.skus[0]"),
        ({**GOOD, "data": {"skus": [f"S{n}" for n in range(201)]}}, "data.skus"),
    ],
)
def test_an_event_that_cannot_be_is_422_and_names_the_field(service, body, field):
    answer = service.http.post("/events/order-confirmed", content=json.dumps(body), headers=ORDERS)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "validation_failed"
    assert field in [fault["field"] for fault in problem["errors"]]


def test_a_body_without_end_is_413(service):
    body = b'{"id":"' + b"x" * 400_000
    answer = service.http.post("/events/order-confirmed", content=body, headers=ORDERS)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_the_largest_order_is_counted(service):
    skus = [f"S{n:03}" for n in range(200)]
    assert service.confirm("big", skus).json() == {"counted": True}
    assert len(service.bought_with("S000", limit=10**6)) == 50


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1, 1), (0, 1), (-5, 1), (3, 3), (51, 50), (10**30, 50), ("9" * 5000, 50), (f"-{10**30}", 1)],
)
def test_a_limit_is_clamped(service, limit, expected):
    service.confirm("e", [f"S{n:02}" for n in range(60)])
    assert len(service.bought_with("S00", limit=limit)) == expected


@pytest.mark.parametrize(
    "query",
    ["", "limit=3", "sku=", "sku=A&limit=ten", "sku=A&limit=", "sku=A&limit=1.5", "sku=A&limit=%C2%B2",
     "sku=" + "A" * 65, "sku=%00", "&".join(f"sku=S{n}" for n in range(51))],
)
def test_a_query_that_cannot_be_is_422(service, query):
    answer = service.http.get(f"/api/recommendations?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "validation_failed"


def test_hostile_skus_are_only_text(service):
    nasty = "x'); DROP TABLE pairs; --"
    service.confirm("e1", [nasty, "%s?"])
    assert service.bought_with(nasty) == [("%s?", 1)]


def test_unknown_paths_and_methods_are_problems(service):
    missing = service.http.get("/nothing")
    wrong = service.http.delete("/api/recommendations?sku=A")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]


def test_starts_quickly_logs_json_and_drains(database_url):
    service = Service(database_url)
    try:
        seconds = service.wait_ready()
        # The promise is 0.7 s; a loaded machine gets some slack.
        assert seconds < 3, f"took {seconds:.2f} s"
        assert service.http.get("/health/live").json() == {"status": "ok"}
        service.http.get("/api/recommendations?sku=SECRET", headers={"x-request-id": "r-1"})
        lines = service.stop()
    finally:
        service.process.kill()
    request = next(line for line in lines if line["message"] == "request")
    assert request["path"] == "/api/recommendations"
    assert (request["status"], request["request_id"]) == (200, "r-1")
    assert "SECRET" not in json.dumps(lines)


def test_a_request_in_flight_is_finished_on_sigterm(service):
    def body():
        text = json.dumps(GOOD).encode()
        yield text[:10]
        # The server has read the head and is waiting for the rest.
        service.process.terminate()
        yield text[10:]

    answer = httpx.post(
        f"http://127.0.0.1:{service.port}/events/order-confirmed", content=body(), headers=ORDERS
    )
    assert answer.json() == {"counted": True}
    service.process.communicate(timeout=15)
    assert service.process.returncode == 0


def test_it_goes_on_when_nobody_reads_its_log(service):
    service.process.stdout.close()
    for n in range(5):
        assert service.confirm(f"e{n}", ["A", "B"]).json() == {"counted": True}
    assert service.bought_with("A") == [("B", 5)]
    service.process.terminate()
    assert service.process.wait(timeout=15) == 0


def test_bad_configuration_is_one_clear_line():
    for change, word in (({"PORT": "x"}, "PORT"), ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL")):
        environment = {**os.environ, "PORT": "0", "DATABASE_URL": "sqlite:///dev/null/x", **change}
        run = subprocess.run(
            [sys.executable, "-m", "recommendations"],
            cwd=HERE, env=environment, capture_output=True, text=True, timeout=20,
        )
        assert run.returncode == 2
        assert word in json.loads(run.stdout)["message"]
        assert run.stderr == ""


def test_every_route_is_in_the_contract():
    from recommendations.app import build
    from recommendations.store import Store

    contract = yaml.safe_load((HERE / "openapi.yaml").read_text("utf-8"))
    declared = {
        (path, method.upper()) for path, item in contract["paths"].items() for method in item
    }
    served = {
        (route.path, method)
        for route in build(Store("sqlite://unused"))._app.routes
        for method in route.methods - {"HEAD"}
    }
    assert served == declared
    operations = [operation["operationId"] for item in contract["paths"].values() for operation in item.values()]
    assert len(set(operations)) == len(operations)
