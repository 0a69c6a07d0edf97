"""What curl, h2load and a browser's event stream see of HTTP/1.1, HTTP/1.0 and HTTP/2 through the gateway."""
import json
import re
import socket
import subprocess
import urllib.request

import pytest

VERSIONS = ["--http1.1", "--http2-prior-knowledge"]
ALL = ["--http1.0", *VERSIONS]


def curl(app, *words, text=True):
    command = ["curl", "--silent", "--show-error", "--max-time", "20", *words]
    done = subprocess.run([word.replace("{}", f"http://{app.gateway}/web") for word in command], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode() if text else done.stdout


def seen(app, *words):
    return json.loads(curl(app, *words))


@pytest.mark.parametrize("version", ALL)
def test_methods_and_queries_pass(app, version):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        echo = seen(app, version, "-X", method, "{}/a%20b?c=d&e=%2F")
        assert (echo["method"], echo["path"]) == (method, "/web/a%20b?c=d&e=%2F")


@pytest.mark.parametrize("version", ALL)
def test_a_body_with_a_length(app, version, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 3_000_000)
    assert seen(app, version, "--data-binary", f"@{tmp_path}/body", "{}/echo")["length"] == 3_000_000


@pytest.mark.parametrize("version", VERSIONS)
def test_a_body_whose_length_nobody_knows(app, version, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 3_000_000)
    chunked = ["-H", "transfer-encoding: chunked"] if version == "--http1.1" else ["-H", "content-length:"]
    assert seen(app, version, "-T", f"{tmp_path}/body", *chunked, "{}/echo")["length"] == 3_000_000


@pytest.mark.parametrize("version", VERSIONS)
def test_an_expectation_is_met(app, version, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 2_000_000)
    # Without an interim answer curl waits this long before it sends the body anyway. HTTP/2 gives none.
    patience = "19" if version == "--http1.1" else "0.2"
    expect = ["-H", "expect: 100-continue", "--expect100-timeout", patience]
    echo = seen(app, version, *expect, "--data-binary", f"@{tmp_path}/body", "{}/echo")
    assert echo["length"] == 2_000_000


@pytest.mark.parametrize("version", ALL)
def test_a_head_has_the_fields_of_a_get_and_no_body(app, version):
    head = curl(app, version, "--head", "{}/file").lower()
    assert "content-length: 4096" in head and "accept-ranges: bytes" in head


@pytest.mark.parametrize("version", ALL)
def test_ranges_pass(app, version):
    whole = curl(app, version, "{}/file", text=False)
    part = curl(app, version, "-r", "100-299", "{}/file", text=False)
    assert (len(whole), part) == (4096, whole[100:300])
    said = curl(app, version, "-r", "0-9", "-o", "/dev/null", "-w", "%{http_code} %header{content-range}", "{}/file")
    assert said == "206 bytes 0-9/4096"


@pytest.mark.parametrize("version", VERSIONS)
def test_trailers_pass(app, version):
    answer = curl(app, version, "-i", "-H", "te: trailers", "{}/trailers")
    assert answer.strip().lower().endswith("x-sum: 42"), answer


@pytest.mark.parametrize("version", VERSIONS)
def test_large_fields_pass_and_too_large_ones_are_refused(app, version):
    echo = seen(app, version, "-H", "x-large: " + "y" * 20_000, "{}/echo")
    assert ["x-large", "y" * 20_000] in echo["fields"]
    assert curl(app, version, "-o", "/dev/null", "-w", "%{http_code} %{size_header}", "{}/large-head").startswith("200 3")
    too_large = [word for n in range(3) for word in ("-H", f"x-large-{n}: " + "y" * 23_000)]
    if version == "--http1.1":
        assert curl(app, version, *too_large, "-o", "/dev/null", "-w", "%{http_code}", "{}/echo") == "431"
    else:
        # More than the announced MAX_HEADER_LIST_SIZE: the connection ends.
        with pytest.raises(AssertionError, match="Connection died"):
            curl(app, version, *too_large, "{}/echo")


def test_old_connections_are_kept_open_only_when_asked(app):
    for field, kept in (("", False), ("connection: keep-alive\r\n", True)):
        with socket.create_connection(("127.0.0.1", app.port), timeout=10) as client:
            client.sendall(f"GET /web/left-over HTTP/1.0\r\nhost: a\r\n{field}\r\n".encode())
            answer = client.makefile("rb")
            head = {}
            answer.readline()
            while (line := answer.readline()) != b"\r\n":
                name, value = line.decode().lower().split(":", 1)
                head[name] = value.strip()
            answer.read(int(head["content-length"]))
            client.sendall(b"GET /web/again HTTP/1.0\r\nhost: a\r\n\r\n") if kept else None
            assert bool(answer.read()) == kept


def test_many_streams_fail_at_nothing(app):
    command = ["h2load", "-n", "3000", "-c", "4", "-m", "64", f"http://{app.gateway}/web/file"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=100).stdout
    assert re.search(r"3000 succeeded, 0 failed, 0 errored, 0 timeout", said), said
    assert re.search(r"status codes: 3000 2xx", said), said


class Events:
    def __init__(self, app, last=None):
        request = urllib.request.Request(f"http://{app.gateway}/web/events")
        if last:
            request.add_header("last-event-id", str(last))
        self.answer = urllib.request.urlopen(request, timeout=20)
        assert self.answer.headers["content-type"] == "text/event-stream"

    def next(self):
        """The next event: its id and its data; comments keep the connection alive."""
        lines = []
        while (line := self.answer.readline().decode().rstrip("\n")) or not lines:
            if line and not line.startswith(":"):
                lines.append(line)
        return dict(line.split(": ", 1) for line in lines)


def test_events_come_one_by_one_and_a_stream_can_be_taken_up_again(app):
    stream = Events(app)
    for number in (1, 2, 3):
        # The next event does not exist before this one has arrived.
        app.get("/web/next")
        assert stream.next() == {"id": str(number), "data": f"event {number}"}
    stream.answer.close()
    assert json.loads(app.get("/web/left")), "the server learns that nobody reads any more"
    again = Events(app, last=3)
    app.get("/web/next")
    assert again.next()["id"] == "4"
    again.answer.close()


def test_a_stream_of_events_outlives_the_limit_of_a_request(app):
    # limits.timeout is when an answer must have begun, not when it must have ended.
    stream = Events(app)
    for _ in range(100):
        assert stream.answer.readline().startswith(b": still")
        assert stream.answer.readline() == b"\n"
    stream.answer.close()
