"""An echo server on Python's `websockets`: python websockets_peer.py PORT [deflate | tls KEY CERTIFICATE]"""

import asyncio
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass  # A peer that breaks off is the benchmark's business.


async def main():
    port, variant, *files = [*sys.argv[1:], "plain"][:4]
    # It pings as it always does, but takes nobody for dead: ten thousand handshakes on one core outlast its patience.
    settings = {"compression": "deflate" if variant == "deflate" else None, "ping_timeout": None}
    if variant == "tls":
        settings["ssl"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        settings["ssl"].load_cert_chain(files[1], files[0])
    async with serve(echo, "127.0.0.1", int(port), **settings) as server:
        print(f"listening on 127.0.0.1:{port}", flush=True)
        await server.serve_forever()


asyncio.run(main())
