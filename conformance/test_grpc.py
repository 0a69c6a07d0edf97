"""The gRPC interop test cases with Google's own implementation on both sides, through the gateway and through an edge."""
import json
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "/isles.Interop/"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


class Stub:
    def __init__(self, channel):
        self.empty = channel.unary_unary(SERVICE + "EmptyCall")
        self.unary = channel.unary_unary(SERVICE + "UnaryCall")
        self.sleep = channel.unary_unary(SERVICE + "Sleep")
        self.cancelled = channel.unary_unary(SERVICE + "Cancelled")
        self.input = channel.stream_unary(SERVICE + "StreamingInputCall")
        self.output = channel.unary_stream(SERVICE + "StreamingOutputCall")
        self.duplex = channel.stream_stream(SERVICE + "FullDuplexCall")
        self.unimplemented = channel.unary_unary(SERVICE + "UnimplementedCall")
        self.nowhere = channel.unary_unary("/isles.Interop/nested/Unknown")


@pytest.fixture
def channel(way):
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(way("interop"), options) as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return Stub(channel)


def asked(size, **more):
    """A request that asks for an answer of this size."""
    return json.dumps({"size": size, **more}).encode()


def sizes(*numbers, padding=0, **more):
    return json.dumps({"sizes": numbers, **more}).encode() + b"\n" + b"\0" * padding


class Pausing:
    """Requests that are sent one by one, when the test says so."""

    def __init__(self):
        self.items, self.changed, self.over = [], threading.Condition(), False

    def send(self, item):
        with self.changed:
            self.items.append(item)
            self.changed.notify()

    def end(self):
        with self.changed:
            self.over = True
            self.changed.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self.changed:
            self.changed.wait_for(lambda: self.items or self.over)
            if self.items:
                return self.items.pop(0)
            raise StopIteration


def failure(call):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value


def test_empty_unary(stub):
    assert stub.empty(b"", timeout=20) == b""


def test_large_unary(stub):
    assert len(stub.unary(asked(314159) + b"\n" + b"\0" * 271828, timeout=20)) == 314159


def test_messages_of_many_megabytes(stub):
    assert len(stub.unary(asked(20 << 20) + b"\n" + b"\0" * (20 << 20), timeout=20)) == 20 << 20


def test_client_streaming(stub):
    total = stub.input((b"\0" * size for size in (27182, 8, 1828, 45904)), timeout=20)
    assert json.loads(total) == 74922


def test_server_streaming(stub):
    wanted = [31415, 9, 2653, 58979]
    assert [len(part) for part in stub.output(json.dumps(wanted).encode(), timeout=20)] == wanted


def test_ping_pong(stub):
    requests = Pausing()
    call = stub.duplex(requests, timeout=20)
    for size, padding in ((31415, 27182), (9, 8), (2653, 1828), (58979, 45904)):
        # The next request is sent once this one has been answered: nothing on the way may wait for more.
        requests.send(sizes(size, padding=padding))
        assert len(next(call)) == size
    requests.end()
    assert list(call) == []
    assert call.code() == grpc.StatusCode.OK


def test_empty_stream(stub):
    call = stub.duplex(iter(()), timeout=20)
    assert list(call) == []
    assert call.code() == grpc.StatusCode.OK


def test_custom_metadata(stub):
    binary = bytes(range(256))
    sent = ((INITIAL, "test_initial_metadata_value"), (TRAILING, binary))
    _, call = stub.unary.with_call(asked(10), metadata=sent, timeout=20)
    assert dict(call.initial_metadata())[INITIAL] == "test_initial_metadata_value"
    assert dict(call.trailing_metadata())[TRAILING] == binary
    requests = Pausing()
    call = stub.duplex(requests, metadata=sent, timeout=20)
    requests.send(sizes(10))
    assert len(next(call)) == 10
    requests.end()
    list(call)
    assert dict(call.initial_metadata())[INITIAL] == "test_initial_metadata_value"
    assert dict(call.trailing_metadata())[TRAILING] == binary


def test_status_code_and_message(stub):
    fault = failure(lambda: stub.unary(asked(0, status="UNKNOWN", message="test status message"), timeout=20))
    assert (fault.code(), fault.details()) == (grpc.StatusCode.UNKNOWN, "test status message")
    request = json.dumps({"status": "UNKNOWN", "message": "test status message"}).encode()
    fault = failure(lambda: list(stub.duplex(iter([request]), timeout=20)))
    assert (fault.code(), fault.details()) == (grpc.StatusCode.UNKNOWN, "test status message")


def test_special_status_message(stub):
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    fault = failure(lambda: stub.unary(asked(0, status="UNKNOWN", message=message), timeout=20))
    assert (fault.code(), fault.details()) == (grpc.StatusCode.UNKNOWN, message)


@pytest.mark.parametrize("status", [code.name for code in grpc.StatusCode if code != grpc.StatusCode.OK])
def test_every_status_passes(stub, status):
    fault = failure(lambda: stub.unary(asked(0, status=status, message="m"), timeout=20))
    assert (fault.code().name, fault.details()) == (status, "m")


def test_unimplemented_method(stub):
    assert failure(lambda: stub.unimplemented(b"", timeout=20)).code() == grpc.StatusCode.UNIMPLEMENTED


def test_unimplemented_service(app):
    with grpc.insecure_channel(app.gateway) as channel:
        nowhere = channel.unary_unary("/isles.Unknown/Call")
        assert failure(lambda: nowhere(b"", timeout=20)).code() == grpc.StatusCode.UNIMPLEMENTED


def test_timeout_on_sleeping_server(stub):
    fault = failure(lambda: stub.sleep(b"", timeout=0.3))
    assert fault.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_deadline_reaches_the_server_and_is_not_longer(stub):
    _, call = stub.unary.with_call(asked(1), timeout=3)
    seen = dict(call.trailing_metadata())
    # gRPC's C core rounds a timeout up, to two or three digits, before it says it.
    assert 0 < int(seen["seen-x-isles-deadline"]) <= 3100
    assert seen["seen-x-isles-caller"] in ("gateway", "web")


def cancelled_until(stub, wanted):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if json.loads(stub.cancelled(b"", timeout=20)) >= wanted:
            return True
    return False


def test_cancel_after_begin(stub):
    call = stub.input.future(iter(Pausing()), timeout=20)
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED


def test_cancel_after_first_response_reaches_the_server(stub):
    before = json.loads(stub.cancelled(b"", timeout=20))
    requests = Pausing()
    call = stub.duplex(requests, timeout=20)
    requests.send(sizes(31415, padding=27182, until_cancelled=True))
    assert len(next(call)) == 31415
    call.cancel()
    assert failure(lambda: next(call)).code() == grpc.StatusCode.CANCELLED
    assert cancelled_until(stub, before + 1), "the server did not learn of it"


def test_a_reader_that_is_slow_holds_the_writer_back(stub):
    wanted = [1 << 20] * 32
    call = stub.output(json.dumps(wanted).encode(), timeout=20)
    assert len(next(call)) == 1 << 20
    # Other calls on the same connection go on meanwhile.
    for _ in range(20):
        assert stub.empty(b"", timeout=20) == b""
    assert sum(len(part) for part in call) == 31 << 20


def test_many_calls_on_one_connection(stub):
    calls = [stub.unary.future(asked(1000 + number), timeout=20) for number in range(200)]
    assert [len(call.result()) for call in calls] == [1000 + number for number in range(200)]


def test_health_service(channel):
    health = health_pb2_grpc.HealthStub(channel)
    status = health_pb2.HealthCheckResponse
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == status.SERVING
    sick = health_pb2.HealthCheckRequest(service="isles.Sick")
    assert health.Check(sick, timeout=20).status == status.NOT_SERVING
    watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert next(watch).status == status.SERVING
    watch.cancel()
    unknown = health_pb2.HealthCheckRequest(service="isles.Unknown")
    assert failure(lambda: health.Check(unknown, timeout=20)).code() == grpc.StatusCode.NOT_FOUND


def test_keepalive_pings_are_answered(way):
    options = [
        ("grpc.keepalive_time_ms", 200),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc.insecure_channel(way("interop"), options) as channel:
        stub = Stub(channel)
        requests = Pausing()
        call = stub.duplex(requests, timeout=20)
        requests.send(sizes(1))
        assert len(next(call)) == 1
        # Some pings' time: a client that gets no answer to one, or GOAWAY, ends the call with UNAVAILABLE.
        time.sleep(1.5)
        requests.send(sizes(2))
        assert len(next(call)) == 2
        requests.end()
        assert list(call) == []
