"""WebSocket after the model of the Autobahn test suite: what two ends agree on passes through the gateway unchanged."""
import asyncio
import json
import os
import socket
import struct
from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def url(app, path):
    return f"ws://{app.gateway}/sockets/{path}"


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_any_size_come_back_as_they_were(app, compression):
    async def exchange():
        async with connect(url(app, "echo"), compression=compression, max_size=8 << 20) as ws:
            assert ws.response.headers.get("sec-websocket-extensions", "").startswith("permessage-deflate") == bool(compression)
            for size in (0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 20):
                for message in (os.urandom(size), "é" * (size // 2)):
                    await ws.send(message)
                    assert await ws.recv() == message

    run(exchange())


def test_fragments_stay_fragments(app):
    async def exchange():
        async with connect(url(app, "echo"), compression=None) as ws:
            await ws.send(["one", "", "two"])
            assert await ws.recv() == "onetwo"
            await ws.send("fragments")
            # The library ends with an empty one, as nobody tells it which is the last.
            assert [part async for part in ws.recv_streaming()] == ["frag", "", "ments", ""]

    run(exchange())


def test_pings_between_messages_and_fragments(app):
    async def exchange():
        async with connect(url(app, "echo"), ping_interval=None) as ws:
            for payload in (b"", b"x" * 125):
                await asyncio.wait_for(await ws.ping(payload), 10)

            async def parts():
                yield "a"
                await asyncio.wait_for(await ws.ping(), 10)
                yield "b"

            await ws.send(parts())
            assert await ws.recv() == "ab"

    run(exchange())


async def closed_as(app, name):
    """How the server saw a client close the connection of this name."""
    for _ in range(100):
        async with connect(url(app, f"closed/{name}")) as asking:
            if closed := json.loads(await asking.recv()):
                return closed
        await asyncio.sleep(0.02)
    raise AssertionError("the server did not see it closed")


@pytest.mark.parametrize("code, reason", [(1000, ""), (1001, "going"), (1008, "x" * 123), (1011, "é"), (3000, "a"), (4999, "b")])
def test_close_codes_pass_both_ways(app, code, reason):
    async def exchange():
        async with connect(url(app, f"close/{code}/{quote(reason)}")) as ws:
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == (code, reason)
        ws = await connect(url(app, f"by-client-{code}"))
        await ws.close(code, reason)
        assert await closed_as(app, f"by-client-{code}") == [code, reason]

    run(exchange())


class Raw:
    """A client that sends what the library would not."""

    def __init__(self, app):
        self.socket = socket.create_connection(("127.0.0.1", app.port), timeout=10)
        self.socket.sendall(
            f"GET /sockets/echo HTTP/1.1\r\nhost: {app.gateway}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        self.file = self.socket.makefile("rb")
        self.head = [self.file.readline()]
        while self.head[-1] not in (b"\r\n", b""):
            self.head.append(self.file.readline())

    def send(self, opcode, payload, fin=True, rsv=0):
        assert len(payload) < 126
        first = (0x80 if fin else 0) | rsv << 4 | opcode
        # The mask is zero: the payload is seen as it is.
        self.socket.sendall(bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload)

    def receive(self):
        first, length = self.file.read(2)
        return first & 0x0F, self.file.read(length)


@pytest.mark.parametrize(
    "frame, code",
    [
        ((1, b"\xc0\xaf"), 1007),  # not UTF-8: an overlong slash
        ((1, b"\xed\xa0\x80"), 1007),  # a surrogate
        ((1, b"x", True, 4), 1002),  # a reserved bit that nobody negotiated
        ((3, b"x"), 1002),  # a reserved opcode
        ((9, b"x", False), 1002),  # a fragmented ping
        ((0, b"x"), 1002),  # a continuation of nothing
        ((8, struct.pack(">H", 1005)), 1002),  # a close code that may not be sent
        ((8, b"x"), 1002),  # half a close code
    ],
)
def test_what_breaks_the_protocol_is_judged_by_the_server_alone(app, frame, code):
    raw = Raw(app)
    assert raw.head[0].startswith(b"HTTP/1.1 101")
    raw.send(*frame)
    opcode, payload = raw.receive()
    assert (opcode, struct.unpack(">H", payload[:2])[0]) == (8, code)
    assert raw.file.read() == b"", "the server's end reaches the client"


def test_the_handshake_passes_as_it_is(app):
    raw = Raw(app)
    fields = dict(line.decode().strip().lower().split(": ", 1) for line in raw.head[1:-1])
    # The answer to the key of RFC 6455, 1.3.
    assert fields["sec-websocket-accept"] == "s3pplmbitxaq9kygzzhzrbk+xoo="
    assert (fields["connection"], fields["upgrade"]) == ("upgrade", "websocket")

    async def exchange():
        async with connect(url(app, "head"), subprotocols=["isles.v1", "other"], origin="http://here.example") as ws:
            assert ws.subprotocol == "isles.v1"
            seen = {name.lower(): value for name, value in json.loads(await ws.recv()).items()}
            assert (seen["origin"], seen["x-isles-caller"]) == ("http://here.example", "gateway")

    run(exchange())


def test_a_refused_handshake_is_an_ordinary_answer(app):
    async def exchange():
        with pytest.raises(InvalidStatus) as refused:
            await connect(url(app, "refused"))
        assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not you\n")

    run(exchange())


def test_a_slow_reader_gets_everything(app):
    async def exchange():
        async with connect(url(app, "flood"), max_queue=1, compression=None) as ws:
            seen = []
            async for message in ws:
                seen.append(int.from_bytes(message[:4], "big"))
                if len(seen) % 64 == 1:
                    await asyncio.sleep(0.05)
            assert seen == list(range(512))

    run(exchange())


def test_half_closed_the_other_half_goes_on(app):
    raw = Raw(app)
    raw.send(2, b"last words")
    raw.socket.shutdown(socket.SHUT_WR)
    assert raw.receive() == (2, b"last words")
    assert raw.file.read() == b""


def test_many_at_once(app):
    async def one(number):
        async with connect(url(app, "echo"), compression=None) as ws:
            for round in range(5):
                message = f"{number}/{round}" * 100
                await ws.send(message)
                assert await ws.recv() == message

    async def exchange():
        await asyncio.gather(*(one(number) for number in range(150)))

    run(exchange())
