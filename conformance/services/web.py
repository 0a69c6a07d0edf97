"""An HTTP/1.1 server of the standard library: echo, ranges, trailers, server-sent events, its own environment."""
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = bytes(range(256)) * 16
# Events are let go one by one by a request to /web/next.
NEXT = threading.Semaphore(0)
LEFT = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, fields=()):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        return whole

    def handle_any(self):
        path = self.path.split("?")[0]
        body = self.body()
        if path == "/health":
            return self.answer(b"well\n")
        if path == "/web/environment":
            return self.answer(json.dumps(dict(os.environ)).encode())
        if path == "/web/file":
            return self.file()
        if path == "/web/trailers":
            return self.trailers()
        if path == "/web/events":
            return self.events()
        if path == "/web/next":
            NEXT.release()
            return self.answer(b"")
        if path == "/web/left":
            return self.answer(json.dumps(LEFT.wait(5)).encode())
        if path == "/web/large-head":
            return self.answer(b"", fields=[("x-large", "y" * 30_000)])
        seen = {"method": self.command, "path": self.path, "version": self.request_version,
                "fields": [[k.lower(), v] for k, v in self.headers.items()], "length": len(body)}
        return self.answer(json.dumps(seen).encode(), fields=[("x-echo", "yes")])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_any

    def file(self):
        asked = self.headers.get("range", "")
        if not asked.startswith("bytes="):
            return self.answer(FILE, fields=[("accept-ranges", "bytes")])
        first, last = (int(part) for part in asked.removeprefix("bytes=").split("-"))
        said = ("content-range", f"bytes {first}-{last}/{len(FILE)}")
        return self.answer(FILE[first : last + 1], 206, [said])

    def trailers(self):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("trailer", "x-sum")
        self.end_headers()
        self.wfile.write(b"5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n")

    def events(self):
        """Numbers from after Last-Event-ID on, each when it is let go."""
        LEFT.clear()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-store")
        self.send_header("connection", "close")
        self.end_headers()
        number = int(self.headers.get("last-event-id", 0))
        try:
            while True:
                if NEXT.acquire(timeout=0.05):
                    number += 1
                    self.wfile.write(f"id: {number}\ndata: event {number}\n\n".encode())
                else:
                    self.wfile.write(b": still here\n\n")
        except OSError:
            LEFT.set()


ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer.request_queue_size = 1024
ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
