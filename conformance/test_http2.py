"""The MUSTs of RFC 9113 (HTTP/2) and RFC 7541 (HPACK) for a server, frame by frame, after the model of h2spec.

Frames are made with `hyperframe`, header blocks with `hpack`; whatever these would not make is made by hand. Each test is
named after the section that it asks about.
"""
import socket
import struct

import pytest
from hpack import Decoder, Encoder
from hyperframe import frame as frames

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, _, STREAM_CLOSED, FRAME_SIZE_ERROR = range(7)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, _, ENHANCE_YOUR_CALM = range(7, 12)
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED, ACK = 1, 4, 8, 0x20, 1

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/web/file")]
POST = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/web/echo")]


def raw(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Connection:
    def __init__(self, app, settings=(), begin=True):
        self.socket = socket.create_connection(("127.0.0.1", app.port), timeout=10)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.decoder.max_allowed_table_size = 65536
        self.data, self.closed = {}, None
        if begin:
            self.send(PREFACE, frames.SettingsFrame(0, settings=dict(settings)).serialize())

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def block(self, fields):
        return self.encoder.encode(fields)

    def request(self, stream=1, fields=GET, flags=END_STREAM | END_HEADERS):
        self.send(raw(HEADERS, flags, stream, self.block(fields)))

    def exactly(self, length):
        whole = b""
        while len(whole) < length:
            part = self.socket.recv(length - len(whole))
            if not part:
                return None
            whole += part
        return whole

    def read(self):
        """One frame: type, flags, stream, payload; None where the connection is closed."""
        try:
            head = self.exactly(9)
            if head is None:
                return None
            payload = self.exactly(int.from_bytes(head[:3], "big"))
        except ConnectionResetError:
            return None
        return None if payload is None else (head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload)

    def until(self, *kinds):
        """The next frame of one of these types."""
        while (got := self.read()) is not None:
            kind, flags, _stream, payload = got
            if kind == HEADERS:
                fields = self.decoder.decode(payload)
                got = (kind, flags, got[2], fields)
            if kind in kinds:
                return got
        raise AssertionError(f"closed before any of {kinds}")

    def status(self, stream=1):
        """The status of the answer on a stream."""
        while True:
            kind, _, on, payload = self.until(HEADERS, RST_STREAM, GOAWAY)
            assert kind == HEADERS, (kind, payload)
            if on == stream:
                return int(dict(payload)[":status"])

    def lives(self):
        """Whether the connection serves: a ping comes back."""
        self.send(raw(PING, 0, 0, b"still up"))
        while (got := self.read()) is not None:
            if got[0] == PING and got[1] & ACK and got[3] == b"still up":
                return True
            if got[0] == GOAWAY:
                return False
        return False

    def error(self):
        """How it ends: ("connection", code), ("stream", code), or ("connection", None) for a close without a word."""
        while (got := self.read()) is not None:
            kind, _, _, payload = got
            if kind == GOAWAY:
                code = struct.unpack(">II", payload[:8])[1]
                if code != NO_ERROR:
                    return ("connection", code)
            if kind == RST_STREAM:
                return ("stream", struct.unpack(">I", payload)[0])
        return ("connection", None)


@pytest.fixture
def connection(app):
    opened = Connection(app)
    yield opened
    opened.socket.close()


def is_connection_error(connection, *codes):
    """The connection ends. Where an error has a code of its own the general one is taken too, which is what the `h2` crate
    says for nearly all of them; h2spec takes any."""
    where, code = connection.error()
    assert where == "connection" and code in (*codes, PROTOCOL_ERROR, None), (where, code)


def is_stream_error(connection, *codes):
    """The stream ends, or the connection does: RFC 9113, 5.4.2, leaves that to an endpoint."""
    where, code = connection.error()
    assert code in codes or (where == "connection" and code in (PROTOCOL_ERROR, None)), (where, code)


# 3.4: HTTP/2 Connection Preface


def test_3_4_the_server_begins_with_settings_and_acknowledges_the_clients(connection):
    first = connection.read()
    assert (first[0], first[1] & ACK, first[2]) == (SETTINGS, 0, 0)
    while not (got := connection.until(SETTINGS))[1] & ACK:
        pass
    assert got[3] == b""


def test_3_4_a_preface_that_is_none_is_no_http_2(app):
    opened = Connection(app, begin=False)
    opened.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
    assert opened.socket.makefile("rb").read().startswith(b"HTTP/1.1 400")


# 4.1, 4.2: frames and their size


def test_4_1_frames_of_unknown_type_are_ignored(connection):
    connection.send(raw(0xF0, 0xFF, 0, b"x" * 10), raw(0xF1, 0, 1, b""))
    assert connection.lives()


def test_4_1_unknown_flags_and_the_reserved_bit_are_ignored(connection):
    connection.send(raw(PING, 0xFE & ~ACK, 0, b"\0" * 8))
    assert connection.until(PING)[1] & ACK
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS, 0x80000001, connection.block(GET)))
    assert connection.status() == 200


def test_4_2_the_largest_frame_is_taken(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(DATA, END_STREAM, 1, b"x" * 16384))
    assert connection.status() == 200


@pytest.mark.parametrize("kind", [DATA, HEADERS])
def test_4_2_a_larger_one_is_an_error(connection, kind):
    if kind == DATA:
        connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(kind, END_STREAM | END_HEADERS if kind == HEADERS else 0, 1, b"\0" * 16385))
    is_stream_error(connection, FRAME_SIZE_ERROR)


# 4.3: field blocks


def test_4_3_a_block_that_does_not_decode_ends_the_connection(connection):
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS, 1, b"\x40\x01"))
    is_connection_error(connection, COMPRESSION_ERROR)


def test_4_3_a_block_in_many_frames(connection):
    block = connection.block([*GET, ("x-long", "y" * 4000)])
    parts = [block[at : at + 100] for at in range(0, len(block), 100)][:4]
    parts[-1] = block[300:]
    connection.send(raw(HEADERS, END_STREAM, 1, parts[0]))
    for part in parts[1:-1]:
        connection.send(raw(CONTINUATION, 0, 1, part))
    connection.send(raw(CONTINUATION, END_HEADERS, 1, parts[-1]))
    assert connection.status() == 200


@pytest.mark.parametrize("between", [raw(PRIORITY, 0, 3, b"\0\0\0\0\x0f"), raw(PING, 0, 0, b"\0" * 8), raw(CONTINUATION, 4, 3, b""), raw(0xF0, 0, 0)])
def test_4_3_nothing_comes_between_its_frames(connection, between):
    connection.send(raw(HEADERS, END_STREAM, 1, connection.block(GET)), between)
    is_connection_error(connection, PROTOCOL_ERROR)


# 5.1: stream states


@pytest.mark.parametrize("frame", [
    raw(DATA, 0, 1, b"x"), raw(RST_STREAM, 0, 1, b"\0\0\0\x08"), raw(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"), raw(CONTINUATION, 4, 1, b""),
])
def test_5_1_nothing_of_this_on_an_idle_stream(connection, frame):
    connection.send(frame)
    is_connection_error(connection, PROTOCOL_ERROR)


def test_5_1_data_after_the_end_of_a_stream(connection):
    connection.request()
    connection.send(raw(DATA, END_STREAM, 1, b"x"))
    is_stream_error(connection, STREAM_CLOSED)


def test_5_1_headers_after_the_end_of_a_stream(connection):
    connection.request()
    connection.request()
    is_stream_error(connection, STREAM_CLOSED, PROTOCOL_ERROR)


def test_5_1_a_window_and_a_reset_after_the_end_are_taken(connection):
    connection.request()
    assert connection.status() == 200
    connection.send(raw(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"), raw(RST_STREAM, 0, 1, b"\0\0\0\x08"))
    assert connection.lives()


def test_5_1_1_streams_of_clients_are_odd(connection):
    connection.request(stream=2)
    is_connection_error(connection, PROTOCOL_ERROR)


def test_5_1_1_streams_only_grow(connection):
    connection.request(stream=5)
    assert connection.status(5) == 200
    connection.request(stream=3)
    is_connection_error(connection, PROTOCOL_ERROR, STREAM_CLOSED)


def test_5_1_2_more_streams_than_allowed_are_refused_and_the_others_go_on(app):
    opened = Connection(app)
    allowed = next(value for frame in [opened.read()] for key, value in struct.iter_unpack(">HI", frame[3]) if key == 3)
    for number in range(allowed + 1):
        opened.request(stream=1 + 2 * number, fields=POST, flags=END_HEADERS)
    kind, _, stream, payload = opened.until(RST_STREAM, GOAWAY)
    assert (kind, stream, struct.unpack(">I", payload)[0]) == (RST_STREAM, 1 + 2 * allowed, REFUSED_STREAM)
    opened.send(raw(DATA, END_STREAM, 1, b"x"))
    assert opened.status(1) == 200


# 5.3.1 of RFC 7540, which RFC 9113 keeps in 5.3.2


def test_5_3_2_priority_is_taken_and_means_nothing(connection):
    connection.send(raw(PRIORITY, 0, 3, b"\0\0\0\0\x0f"))
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, 1, b"\0\0\0\x03\x0f" + connection.block(GET)))
    assert connection.status() == 200


# 5.5: extensions


def test_5_5_unknown_settings_are_ignored(app):
    opened = Connection(app, begin=False)
    opened.send(PREFACE, raw(SETTINGS, 0, 0, struct.pack(">HI", 0xF000, 1)))
    assert opened.lives()


# 6.1: DATA


def test_6_1_data_belongs_to_a_stream(connection):
    connection.send(raw(DATA, 0, 0, b"x"))
    is_connection_error(connection, PROTOCOL_ERROR)


def test_6_1_padding_is_taken_off(connection):
    connection.request(fields=[*POST, ("content-length", "5")], flags=END_HEADERS)
    connection.send(raw(DATA, END_STREAM | PADDED, 1, b"\x04hello\0\0\0\0"))
    assert connection.status() == 200


def test_6_1_more_padding_than_frame(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(DATA, END_STREAM | PADDED, 1, b"\x06hello"))
    is_connection_error(connection, PROTOCOL_ERROR)


# 6.2: HEADERS


def test_6_2_headers_belong_to_a_stream(connection):
    connection.request(stream=0)
    is_connection_error(connection, PROTOCOL_ERROR)


def test_6_2_padding_is_taken_off(connection):
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, b"\x03" + connection.block(GET) + b"\0\0\0"))
    assert connection.status() == 200


def test_6_2_more_padding_than_frame(connection):
    block = connection.block(GET)
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, bytes([len(block) + 2]) + block))
    is_connection_error(connection, PROTOCOL_ERROR)


# 6.3: PRIORITY


def test_6_3_priority_belongs_to_a_stream(connection):
    connection.send(raw(PRIORITY, 0, 0, b"\0\0\0\0\x0f"))
    is_connection_error(connection, PROTOCOL_ERROR)


def test_6_3_priority_has_five_bytes(connection):
    connection.send(raw(PRIORITY, 0, 1, b"\0\0\0\0"))
    is_stream_error(connection, FRAME_SIZE_ERROR)


# 6.4: RST_STREAM


def test_6_4_a_reset_belongs_to_a_stream(connection):
    connection.send(raw(RST_STREAM, 0, 0, b"\0\0\0\x08"))
    is_connection_error(connection, PROTOCOL_ERROR)


def test_6_4_a_reset_has_four_bytes(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(RST_STREAM, 0, 1, b"\0\0\0"))
    is_connection_error(connection, FRAME_SIZE_ERROR)


# 6.5: SETTINGS


def test_6_5_an_acknowledgement_is_empty(connection):
    connection.send(raw(SETTINGS, ACK, 0, b"\0"))
    is_connection_error(connection, FRAME_SIZE_ERROR)


def test_6_5_settings_belong_to_no_stream(connection):
    connection.send(raw(SETTINGS, 0, 1, b""))
    is_connection_error(connection, PROTOCOL_ERROR)


def test_6_5_settings_have_six_bytes_each(connection):
    connection.send(raw(SETTINGS, 0, 0, b"\0\0\0"))
    is_connection_error(connection, FRAME_SIZE_ERROR)


@pytest.mark.parametrize("key, value, code", [
    (2, 2, PROTOCOL_ERROR),  # ENABLE_PUSH
    (4, 1 << 31, FLOW_CONTROL_ERROR),  # INITIAL_WINDOW_SIZE
    (5, 16383, PROTOCOL_ERROR),  # MAX_FRAME_SIZE
    (5, 1 << 24, PROTOCOL_ERROR),
])
def test_6_5_2_values_out_of_range(connection, key, value, code):
    connection.send(raw(SETTINGS, 0, 0, struct.pack(">HI", key, value)))
    is_connection_error(connection, code)


def test_6_5_3_settings_are_acknowledged_in_order(connection):
    connection.send(*[raw(SETTINGS, 0, 0, struct.pack(">HI", 4, 100 + n)) for n in range(3)], raw(PING, 0, 0, b"\0" * 8))
    acknowledged = 0
    while (got := connection.read())[0] != PING:
        acknowledged += got[0] == SETTINGS and got[1] & ACK
    assert acknowledged == 4


# 6.6: PUSH_PROMISE


def test_6_6_clients_do_not_push(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + connection.block(GET)))
    is_connection_error(connection, PROTOCOL_ERROR)


# 6.7: PING


def test_6_7_a_ping_comes_back_as_it_was(connection):
    connection.send(raw(PING, 0, 0, b"12345678"))
    assert connection.until(PING)[1:] == (ACK, 0, b"12345678")


def test_6_7_an_answer_to_no_ping_is_not_answered(connection):
    connection.send(raw(PING, ACK, 0, b"12345678"))
    assert connection.lives()


def test_6_7_pings_belong_to_no_stream(connection):
    connection.send(raw(PING, 0, 1, b"\0" * 8))
    is_connection_error(connection, PROTOCOL_ERROR)


def test_6_7_a_ping_has_eight_bytes(connection):
    connection.send(raw(PING, 0, 0, b"\0" * 6))
    is_connection_error(connection, FRAME_SIZE_ERROR)


# 6.8: GOAWAY


def test_6_8_a_goaway_belongs_to_no_stream(connection):
    connection.send(raw(GOAWAY, 0, 1, b"\0" * 8))
    is_connection_error(connection, PROTOCOL_ERROR)


def test_6_8_after_the_clients_goaway_its_streams_end_first(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(GOAWAY, 0, 0, b"\0" * 8), raw(DATA, END_STREAM, 1, b"x"))
    assert connection.status() == 200


# 6.9: WINDOW_UPDATE and flow control


@pytest.mark.parametrize("stream", [0, 1])
def test_6_9_a_window_grows_by_more_than_nothing(connection, stream):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(WINDOW_UPDATE, 0, stream, b"\0\0\0\0"))
    is_stream_error(connection, PROTOCOL_ERROR)


def test_6_9_an_update_has_four_bytes(connection):
    connection.send(raw(WINDOW_UPDATE, 0, 0, b"\0\0\0"))
    is_connection_error(connection, FRAME_SIZE_ERROR)


def test_6_9_1_no_more_is_sent_than_the_window_allows(app):
    opened = Connection(app, settings={4: 1})
    opened.request()
    assert opened.status() == 200
    assert len(opened.until(DATA)[3]) == 1
    opened.send(raw(WINDOW_UPDATE, 0, 1, struct.pack(">I", 10)))
    assert len(opened.until(DATA)[3]) == 10
    # 6.9.2: a change of the initial size changes the windows there are.
    opened.send(raw(SETTINGS, 0, 0, struct.pack(">HI", 4, 21)))
    assert len(opened.until(DATA)[3]) == 20
    opened.send(raw(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)))
    rest = b""
    while len(rest) < 4096 - 31:
        rest += opened.until(DATA)[3]
    assert len(rest) == 4096 - 31


def test_6_9_2_a_window_may_become_negative(app):
    opened = Connection(app, settings={4: 100})
    opened.request()
    assert len(opened.until(DATA)[3]) == 100
    opened.send(raw(SETTINGS, 0, 0, struct.pack(">HI", 4, 10)), raw(WINDOW_UPDATE, 0, 1, struct.pack(">I", 90)))
    assert opened.lives()
    opened.send(raw(WINDOW_UPDATE, 0, 1, struct.pack(">I", 7)))
    assert len(opened.until(DATA)[3]) == 7


@pytest.mark.parametrize("stream", [0, 1])
def test_6_9_1_a_window_has_a_largest_size(connection, stream):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(*[raw(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0x7FFFFFFF))] * 2)
    is_stream_error(connection, FLOW_CONTROL_ERROR)


def test_6_9_2_a_setting_must_not_make_a_window_too_large(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(WINDOW_UPDATE, 0, 1, struct.pack(">I", 0x7FFFFFFF - 65535)))
    connection.send(raw(SETTINGS, 0, 0, struct.pack(">HI", 4, 65536)))
    is_connection_error(connection, FLOW_CONTROL_ERROR)


# 6.10: CONTINUATION


def test_6_10_a_continuation_continues_something(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.send(raw(CONTINUATION, END_HEADERS, 1, b""))
    is_connection_error(connection, PROTOCOL_ERROR)


def test_6_10_continuations_without_end_are_given_up(connection):
    connection.send(raw(HEADERS, END_STREAM, 1, connection.block(GET)))
    try:
        for _ in range(20_000):
            connection.send(raw(CONTINUATION, 0, 1, b"\0\x01x\x01y" * 100))
    except OSError:
        return
    is_connection_error(connection, ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR)


# 8.1: messages


def test_8_1_trailers_pass_and_a_stream_goes_on_after_an_answer(connection):
    connection.request(fields=[*POST, ("te", "trailers")], flags=END_HEADERS)
    connection.send(raw(DATA, 0, 1, b"hello"))
    connection.request(fields=[("x-sum", "1")], flags=END_HEADERS | END_STREAM)
    assert connection.status() == 200


def test_8_1_trailers_end_a_stream(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.request(fields=[("x-sum", "1")], flags=END_HEADERS)
    is_stream_error(connection, PROTOCOL_ERROR)


def test_8_1_pseudo_headers_in_trailers_do_not_pass(connection):
    connection.request(fields=POST, flags=END_HEADERS)
    connection.request(fields=[(":path", "/")], flags=END_HEADERS | END_STREAM)
    # Malformed by the letter; the `h2` crate drops them.
    assert connection.status() in (200, 400)
    assert connection.lives()


def test_8_1_a_request_that_never_ends_is_answered_in_time(connection):
    connection.request(fields=[*POST, ("grpc-timeout", "300m")], flags=END_HEADERS)
    assert connection.status() == 408


# 8.2.1, 8.2.2, 8.3: what is malformed. crates/proxy/tests/it/wire/downgrade.rs has the rest.


@pytest.mark.parametrize("field", [("X-Upper", "a"), ("connection", "x"), ("te", "gzip"), ("transfer-encoding", "chunked"), (":other", "a")])
def test_8_2_malformed_fields(connection, field):
    connection.request(fields=[*GET, field])
    is_stream_error(connection, PROTOCOL_ERROR)


# RFC 7541


def literal(name, value, first=0x00):
    return bytes([first, len(name)]) + name + bytes([len(value)]) + value


HEAD = b"\x82\x86" + bytes([0x41, 1]) + b"a" + bytes([0x44, 9]) + b"/web/file"


@pytest.mark.parametrize("first", [0x00, 0x10, 0x40], ids=["plain", "never indexed", "indexed"])
def test_hpack_6_2_all_literals(connection, first):
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS, 1, HEAD + literal(b"x-a", b"b", first)))
    assert connection.status() == 200


def test_hpack_6_1_the_dynamic_table_is_kept(connection):
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS, 1, HEAD + literal(b"x-a", b"b", 0x40)))
    assert connection.status(1) == 200
    # The newest three entries: x-a, :path, :authority.
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS, 3, b"\x82\x86\xc0\xbf\xbe"))
    assert connection.status(3) == 200


@pytest.mark.parametrize("block", [
    b"\x80",  # 6.1: the index zero
    b"\xff\x80\x01",  # 2.3.3: an index beyond both tables
    b"\x3f\xe2\xff\x7f",  # 6.3: a table larger than allowed
    HEAD + b"\x20",  # 4.2: a change of the table's size at the end
    literal(b"x", b"y")[:-1],  # 5.2: a string that is cut short
    b"\x00\x81\xff\x01y",  # 5.2: Huffman padding longer than seven bits
    b"\x00\x81\x00\x01y",  # 5.2: Huffman padding that is not of ones
    b"\x00\x84\xff\xff\xff\xff\x01y",  # 5.2: Huffman with EOS
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # 5.1: an integer that overflows
], ids=range(9))
def test_hpack_errors_end_the_connection(connection, block):
    head = b"" if block.startswith(HEAD) else HEAD
    # A change of size is allowed at the beginning of a block only.
    whole = block if block[0] & 0xE0 == 0x20 or not head else head + block
    connection.send(raw(HEADERS, END_STREAM | END_HEADERS, 1, whole))
    is_connection_error(connection, COMPRESSION_ERROR)


def test_hpack_4_2_a_smaller_table_is_used(app):
    opened = Connection(app, settings={1: 0})
    for stream in (1, 3):
        opened.request(stream=stream)
        assert opened.status(stream) == 200
    assert opened.decoder.header_table_size == 0
