"""What services tell of themselves with OpenTelemetry's own SDK, by HTTP and by gRPC, and nothing told to it but by the environment."""
import json
import time
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families


def until(what, look):
    end = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < end, f"not within 30 s: {what}"
        time.sleep(0.1)
    return found


def test_one_request_is_one_trace_across_services_and_their_own_spans(app):
    trace = json.loads(app.get("/telling/a"))["trace"]

    def whole():
        done = app.isles("trace", trace, "--json", may_fail=True)
        spans = json.loads(done) if done.startswith("[") else []
        return spans if len(spans) == 6 else None

    spans = until("two passages, and two spans of each service", whole)
    by_id = {span["id"]: span for span in spans}

    def way(span):
        """From the root down: what each span is called."""
        above = way(by_id[span["parent"]]) if span.get("parent") else []
        return above + [(span["callee"], span.get("name"))]

    last = next(span for span in spans if span["callee"] == "telling-grpc" and span["name"] == "call")
    assert way(last) == [("telling", None), ("telling", "work"), ("telling", "call"),
                         ("telling-grpc", None), ("telling-grpc", "work"), ("telling-grpc", "call")]
    assert last["events"][0]["attributes"]["exception.message"] == "nobody to call"
    work = next(span for span in spans if span["name"] == "work")
    assert (work["kind"], work["attributes"]["order.id"]) == ("server", "A-42")
    assert work["attributes"]["service.instance.id"] == "telling-1"
    assert "s3cret" not in json.dumps(spans)

    found = json.loads(app.isles("traces", "--search", "order.id=A-42", "--json"))
    assert trace in {span["trace"] for each in found for span in each}


def test_the_sdk_for_node_sends_json(app):
    trace = json.loads(app.get("/node"))["trace"]

    def both():
        done = app.isles("trace", trace, "--json", may_fail=True)
        spans = json.loads(done) if done.startswith("[") else []
        return spans if len(spans) == 2 else None

    passage, work = until("the passage, and the span of the service", both)
    assert (work["parent"], work["callee"], work["kind"]) == (passage["id"], "telling-node", "server")
    assert (work["kept"], work["message"]) == ("failed", "it went wrong")
    attributes = work["attributes"]
    assert (attributes["order.id"], attributes["ratio"], attributes["list"]) == ("N-42", "0.5", '["a","b"]')
    assert attributes["service.instance.id"] == "telling-node-1"
    assert work["events"][0]["attributes"]["exception.message"] == "nobody to call"


def test_lines_are_in_the_log_of_their_replica_with_their_trace(app):
    trace = json.loads(app.get("/telling/b"))["trace"]
    for service in ("telling", "telling-grpc"):
        line = until(f"the line of {service}", lambda: next(
            (line for line in app.isles("logs", service, "-n", "100").splitlines() if trace in line), None))
        assert "WARN" in line and "half way there" in line


def test_numbers_are_there_for_a_scraper(app):
    app.get("/telling/c")
    link = app.isles("console").strip()
    base, token = link.split("/?token=")

    def scraped():
        request = urllib.request.Request(base + "/metrics", headers={"authorization": f"Bearer {token}"})
        lines = urllib.request.urlopen(request, timeout=10).read().decode().splitlines()
        mine = [line for line in lines if line.startswith("telling_asked_total{")]
        jobs = {job for job in ("telling", "telling-grpc") if any(f'job="{job}"' in line for line in mine)}
        return lines if len(jobs) == 2 else None

    lines = until("a number of each service", scraped)
    families = {family.name: family.type for family in text_string_to_metric_families("\n".join(lines) + "\n")}
    assert (families["telling_asked"], families["isles_request_duration_seconds"]) == ("counter", "histogram")
    assert "# TYPE telling_asked counter" in lines and lines[-1] == "# EOF"
    assert not any("isles-telemetry" in line for line in lines), "what tells of requests is no traffic"

    def drawn():
        path = "/v1/services/telling/measured?name=telling.asked&seconds=300"
        request = urllib.request.Request(base + path, headers={"authorization": f"Bearer {token}"})
        series = json.load(urllib.request.urlopen(request, timeout=10))["series"]
        return series if any(one["points"] for one in series) else None

    series = until("it is kept", drawn)
    assert {(one["replica"], one["kind"]) for one in series} == {("telling-1", "counter")}
    assert all(one["points"][-1]["value"] >= 1 for one in series), series
