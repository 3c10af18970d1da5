#!/usr/bin/env python3
"""What the developer's seat costs and how fast it is: tests, replay, and what looking on takes from an echo.

    cargo build --release && cargo bench --no-run
    benches/seat.py target/release/wsh-server target/release/deps/load-… --json seat.json

Rounds alternate between the plain server and one that is looked at, so that whatever else the machine does meets both. A
ratio is the median of the rounds' ratios of processor time for a message, of all threads of the server and of its workers.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import run as peers

ECHO = "fn transfer_data(ws, message) {\n    ws.send(message);\n}\n"

TESTS = """
fn test_{number}() {{
    let client = connect("/echo");
    client.send("{number}");
    expect(client.receive(), "{number}");
    advance(3600.0);
    client.send("an hour later");
    expect(client.receive(), "an hour later");
}}
"""

NEVER = """
fn test_never() {
    let client = connect("/echo");
    client.receive();
}
"""

MESSAGES = 100_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", type=pathlib.Path)
    parser.add_argument("load", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--only", choices=["test", "replay", "cost"], action="append")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    options.server, options.load = options.server.absolute(), options.load.absolute()
    parts = {"test": tests, "replay": replays, "cost": costs}
    results = {}
    for name in options.only or parts:
        results[name] = parts[name](options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def timed(command, expected):
    begun = time.perf_counter()
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    took = time.perf_counter() - begun
    if ran.returncode != expected:
        sys.exit(f"{command}: {ran.returncode}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}")
    return took


def tests(options):
    """200 tests of an hour each; one that waits for what never comes."""
    results = {}
    for name, text, expected in [
        ("200 tests of an hour", "".join(TESTS.format(number=number) for number in range(200)), 0),
        ("one that waits in vain", NEVER, 1),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "echo_wsh.rhai").write_text(ECHO)
            pathlib.Path(folder, "echo_test.rhai").write_text(text)
            times = [timed([options.server, "test", "-w", folder], expected) for _ in range(options.rounds)]
        results[name] = times
        print(f"{name}: {statistics.median(times) * 1000:.1f} ms ({spread(times, 1000)})")
    return results


def replays(options):
    """A recorded echo in lockstep, over one connection and over several at once."""
    results = {}
    with tempfile.TemporaryDirectory() as folder, serving(options, []) as (port, _):
        for connections in [1, 20]:
            file = pathlib.Path(folder, f"{connections}.har")
            file.write_text(json.dumps(har(port, connections, MESSAGES // connections)))
            rates = []
            for _ in range(options.rounds):
                rates.append(MESSAGES / timed([options.server, "replay", file], 0))
            results[connections] = rates
            print(f"replay over {connections}: {statistics.median(rates):,.0f} messages a second ({spread(rates, 1)})")
    return results


def har(port, connections, messages):
    entries = []
    for connection in range(connections):
        said = []
        for number in range(messages // 2):
            now = 1_700_000_000 + number / 1000 + connection / 1_000_000
            for kind, later in [("send", 0), ("receive", 0.0005)]:
                said.append({"type": kind, "time": now + later, "opcode": 1, "data": f"{connection} {number}"})
        entries.append({
            "startedDateTime": "2023-11-14T22:13:20.000Z", "time": 0, "_resourceType": "websocket",
            "request": {"method": "GET", "url": f"ws://127.0.0.1:{port}/echo", "headers": []},
            "response": {"status": 101, "headers": []}, "_webSocketMessages": said,
        })
    return {"log": {"version": "1.2", "creator": {"name": "bench", "version": "1"}, "entries": entries}}


def costs(options):
    """The processor time of an echo beside that of one that is looked at."""
    with tempfile.TemporaryDirectory() as folder:
        count = 0

        def recorded():
            nonlocal count
            count += 1
            return ["--record", f"{folder}/{count}"]

        cases = {
            "metrics on": (lambda: ["--metrics-port", str(peers.free_port())], None),
            "console closed": (lambda: ["--dev"], None),
            "console open": (lambda: ["--dev"], {}),
            "console open, all messages": (lambda: ["--dev"], {"do": "watch", "connection": "all", "id": 1}),
            "recording on": (recorded, None),
        }
        results = {}
        for in_flight in [1, 16]:
            for name, (flags, watches) in cases.items():
                plain, looked = [], []
                for _ in range(options.rounds):
                    plain.append(echo(options, [], None, in_flight))
                    looked.append(echo(options, flags(), watches, in_flight))
                results[f"{name}, {in_flight} in flight"] = {"plain": plain, "looked at": looked}
                shown = []
                for whose in ["server", "workers"]:
                    ratios = [one[whose] / other[whose] - 1 for one, other in zip(looked, plain)]
                    shown.append(f"{whose} {statistics.median(ratios) * 100:+.1f} % ({spread(ratios, 100)})")
                nanoseconds = statistics.median(one["server"] for one in plain)
                print(f"{name}, {in_flight} in flight: {', '.join(shown)}; {nanoseconds:.0f} ns plain")
        return results


def echo(options, flags, watches, in_flight):
    """Nanoseconds of processor time for a message of 64 bytes: of the whole server, and without the thread that records."""
    with serving(options, flags) as (port, pid), console(port, watches):
        arguments = ["echo", "--connections", "50", "--size", "64", "--in-flight", str(in_flight)]
        arguments += ["--seconds", str(options.seconds), "--warmup", "0.3"]
        before = processor_time(pid)
        result = peers.generate(str(options.load), [*arguments, "--url", f"ws://127.0.0.1:{port}/echo", "--pid", str(pid)])
        used = {name: time - before.get(name, 0) for name, time in processor_time(pid).items()}
        server = result["server_us_per_message"] * 1000
        recorder = used.get("recorder", 0) / sum(used.values())
        return {"server": server, "workers": server * (1 - recorder)}


def processor_time(pid):
    """Nanoseconds that each thread of a process has run, by its name."""
    times = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = task.joinpath("comm").read_text().strip()
        times[name] = times.get(name, 0) + int(task.joinpath("schedstat").read_text().split()[0])
    return times


@contextlib.contextmanager
def serving(options, flags):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        pathlib.Path(folder, "echo_wsh.rhai").write_text(ECHO)
        port = peers.free_port()
        command = ["taskset", "-c", peers.SERVER_CORE, options.server, "-p", str(port), "-H", "127.0.0.1", "-w", folder]
        command += ["--workers", "1", "--log-level", "error", *flags]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            peers.wait_until_reachable(process, port, log)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextlib.contextmanager
def console(port, watches):
    """A console that reads what it is told, if there is to be one."""
    if watches is None:
        yield
        return
    with socket.create_connection(("127.0.0.1", port)) as stream:
        key = base64.b64encode(os.urandom(16)).decode()
        stream.sendall(
            f"GET /_wsh/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        if b" 101 " not in stream.recv(4096):
            sys.exit("there is no console")
        if watches:
            text = json.dumps(watches).encode()
            stream.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        reader = threading.Thread(target=drain, args=[stream], daemon=True)
        reader.start()
        yield
        stream.shutdown(socket.SHUT_RDWR)
        reader.join()


def drain(stream):
    with contextlib.suppress(OSError):
        while stream.recv(1 << 16):
            pass


def spread(values, factor):
    return f"{min(values) * factor:,.1f} to {max(values) * factor:,.1f}"


if __name__ == "__main__":
    main()
