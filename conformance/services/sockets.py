"""A WebSocket echo server of the `websockets` library, with compression; some paths do other things than echo."""
import asyncio
import json
import os
from urllib.parse import unquote

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

CLOSED = {}


async def serve_one(socket):
    path = socket.request.path
    if path.startswith("/sockets/close/"):
        _, code, reason = path.removeprefix("/sockets/").split("/")
        await socket.close(int(code), unquote(reason))
    elif path == "/sockets/flood":
        # More than all buffers on the way hold: a client that does not read stops it.
        for number in range(512):
            await socket.send(number.to_bytes(4, "big") + b"\0" * 65532)
    elif path.startswith("/sockets/head"):
        await socket.send(json.dumps(dict(socket.request.headers.raw_items())))
    elif path.startswith("/sockets/closed/"):
        # How the client closed the connection of this name.
        code = CLOSED.get(path.removeprefix("/sockets/closed/"))
        await socket.send(json.dumps(code))
    else:
        try:
            async for message in socket:
                if isinstance(message, str) and message == "fragments":
                    await socket.send(iter(["frag", "", "ments"]))
                else:
                    await socket.send(message)
        except ConnectionClosed:
            pass
        name = path.removeprefix("/sockets/")
        CLOSED[name] = [socket.close_code, socket.close_reason]


async def main():
    def refuse(connection, request):
        if request.path == "/sockets/refused":
            return connection.respond(403, "not you\n")
        if request.path == "/health":
            return connection.respond(200, "well\n")
        return None

    async with serve(
        serve_one, os.environ["HOST"], int(os.environ["PORT"]), process_request=refuse, max_size=8 << 20,
        select_subprotocol=lambda _, offered: "isles.v1" if "isles.v1" in offered else None, ping_interval=None,
    ) as server:
        await server.serve_forever()


asyncio.run(main())
