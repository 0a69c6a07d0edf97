"""The server of the gRPC interop test cases, with messages as plain bytes: what is tested is the way, not protobuf.

A message is JSON where the server has something to understand, else any bytes.
Cases: https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
"""
import json
import os
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


def echo_metadata(context):
    """Sends back what the interop cases want to see again."""
    sent = dict(context.invocation_metadata())
    if INITIAL in sent:
        context.send_initial_metadata(((INITIAL, sent[INITIAL]),))
    trailing = [(TRAILING, sent[TRAILING])] if TRAILING in sent else []
    for name in ("x-isles-caller", "x-isles-deadline", "grpc-timeout"):
        if name in sent:
            trailing.append(("seen-" + name, sent[name]))
    context.set_trailing_metadata(trailing)


class Cancelled:
    """How many calls were cancelled by the client, as the server learnt it."""

    def __init__(self):
        self.lock, self.count = threading.Lock(), 0

    def watch(self, context):
        """For a call that does not end by itself: its end is a cancellation. Returns what is set then."""
        over = threading.Event()

        def callback():
            with self.lock:
                self.count += 1
            over.set()

        context.add_callback(callback)
        return over


CANCELLED = Cancelled()


def empty(_request, context):
    echo_metadata(context)
    return b""


def unary(request, context):
    echo_metadata(context)
    asked = json.loads(request.split(b"\n", 1)[0])
    if "status" in asked:
        context.abort(grpc.StatusCode[asked["status"]], asked["message"])
    return b"\0" * asked["size"]


def client_streaming(requests, context):
    echo_metadata(context)
    return json.dumps(sum(len(request) for request in requests)).encode()


def server_streaming(request, context):
    echo_metadata(context)
    for size in json.loads(request):
        yield b"\0" * size


def full_duplex(requests, context):
    echo_metadata(context)
    for request in requests:
        asked = json.loads(request.split(b"\n", 1)[0])
        if "status" in asked:
            context.abort(grpc.StatusCode[asked["status"]], asked["message"])
        # Before anything is sent: a call that is cancelled meanwhile does not come back here.
        over = CANCELLED.watch(context) if asked.get("until_cancelled") else None
        for size in asked["sizes"]:
            yield b"\0" * size
        # Reading on would not tell: the requests of a cancelled call end as those of a finished one do.
        if over is not None:
            over.wait(30)
            return


def sleep(_request, context):
    """Answers when the client is gone, which is never seen."""
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(30)
    return b""


def cancelled(_request, _context):
    with CANCELLED.lock:
        return json.dumps(CANCELLED.count).encode()


METHODS = {
    "EmptyCall": grpc.unary_unary_rpc_method_handler(empty),
    "UnaryCall": grpc.unary_unary_rpc_method_handler(unary),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Cancelled": grpc.unary_unary_rpc_method_handler(cancelled),
    "StreamingInputCall": grpc.stream_unary_rpc_method_handler(client_streaming),
    "StreamingOutputCall": grpc.unary_stream_rpc_method_handler(server_streaming),
    "FullDuplexCall": grpc.stream_stream_rpc_method_handler(full_duplex),
}


def main():
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=64),
        options=[
            ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.so_reuseport", 0),
            # As strict about pings as a server is by default.
            ("grpc.http2.min_ping_interval_without_data_ms", 300_000),
        ],
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("isles.Interop", METHODS),))
    healthy = health.HealthServicer()
    healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    healthy.set("isles.Sick", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    server.add_insecure_port(f"{os.environ['HOST']}:{os.environ['PORT']}")
    server.start()
    server.wait_for_termination()


main()
