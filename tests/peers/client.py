"""Python's websockets against a server: client.py ws://HOST:PORT/peer. A line a case; the first that fails ends it."""

import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

URL = sys.argv[1]
LARGE = 16 * 1024 * 1024


def same(found, wanted, what):
    assert found == wanted, f"{what}: {found!r:.200}, not {wanted!r:.200}"


def messages(ws):
    for message in ["text", "", b"", b"\x00\xff binary", "数据 🙂", "x" * 70_000, bytes(range(256)) * 300]:
        ws.send(message)
        same(ws.recv(), message, "echo")


def large(ws):
    for message in ["large " * (LARGE // 6), bytes(LARGE)]:
        ws.send(message)
        same(ws.recv(timeout=60) == message, True, "16 MiB come back")


def fragments(ws):
    ws.send(["frag", "men", "", "ted"])
    same(ws.recv(), "fragmented", "its fragments")
    ws.send(iter([b"\x01", b"\x02" * 70_000, b"\x03"]))
    same(ws.recv(), b"\x01" + b"\x02" * 70_000 + b"\x03", "its binary fragments")
    ws.send("fragments")
    same(list(ws.recv_streaming()), ["ser", "ver", "s"], "the server's fragments")


def pings(ws):
    assert ws.ping(b"now").wait(10), "no pong"
    ws.send("ping")
    same(ws.recv(), "pong from you", "the server's ping")


def subprotocol(ws):
    same(ws.subprotocol, "chat", "subprotocol")


def compressed(ws):
    names = [extension.name for extension in ws.protocol.extensions]
    same(names, ["permessage-deflate"], "extensions")
    messages(ws)
    ws.send("again and again " * 10_000)
    same(ws.recv(), "again and again " * 10_000, "what compresses well")


def plain(ws):
    same(ws.protocol.extensions, [], "extensions")
    messages(ws)


def closes(ws):
    ws.close(4002, "enough")
    same((ws.close_code, ws.protocol.close_rcvd.code), (4002, 4002), "the code that comes back")


def closed(ws):
    ws.send("close 4001")
    try:
        ws.recv()
        raise AssertionError("no close")
    except ConnectionClosed as error:
        same((error.rcvd.code, error.rcvd.reason), (4001, "as asked"), "the server's close")


CASES = [
    (compressed, {}),
    (plain, {"compression": None}),
    (large, {}),
    (large, {"compression": None}),
    (fragments, {}),
    (fragments, {"compression": None}),
    (pings, {}),
    (subprotocol, {"subprotocols": ["superchat", "chat"]}),
    (closes, {}),
    (closed, {}),
]
for case, options in CASES:
    name = " ".join([case.__name__, *map(str, options)])
    try:
        with connect(URL, max_size=None, **options) as ws:
            case(ws)
    except Exception as error:
        sys.exit(f"FAIL {name}: {type(error).__name__}: {error}")
    print(f"ok {name}", flush=True)
