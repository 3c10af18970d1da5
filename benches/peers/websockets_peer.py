"""An echo server on Python's `websockets`: python websockets_peer.py PORT"""

import asyncio
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
    port = int(sys.argv[1])
    async with serve(echo, "127.0.0.1", port, compression=None) as server:
        print(f"listening on 127.0.0.1:{port}", flush=True)
        await server.serve_forever()


asyncio.run(main())
