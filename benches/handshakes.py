#!/usr/bin/env python3
"""TLS handshakes beside nginx's, with the same certificate (ECDSA, P-256): new ones and resumed ones.

    cargo build --release
    benches/handshakes.py target/release/wsh-server [--rounds 5] [--seconds 2] [--json handshakes.json]

The server has core 0 and one worker, `openssl s_time` core 1, one connection after the other. The client is slower than
both, so what counts is the processor time of the server for a handshake, by the scheduler's count, with the connection
around it and, in TLS 1.3, a short answer over HTTP: without one a client does not get to its tickets. Rounds alternate.
"""

import argparse
import contextlib
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import run as peers

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {CERTIFICATE};
        ssl_certificate_key {KEY};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{ return 404 "nothing"; }}
    }}
}}
"""

# Title, what the client is told, and how `s_time` counts a handshake of this kind.
KINDS = [
    ("TLS 1.3, new", ["-new", "-tls1_3", "-www", "/"], "*"),
    ("TLS 1.3, resumed", ["-reuse", "-tls1_3", "-www", "/"], "r"),
    ("TLS 1.2, new", ["-new", "-tls1_2"], "*"),
    ("TLS 1.2, resumed", ["-reuse", "-tls1_2"], "r"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    runs = {title: {"nginx": [], "wsh-server": []} for title, _, _ in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        files = peers.certificate(folder)
        for _ in range(options.rounds):
            for name in ["nginx", "wsh-server"]:
                with running(name, options.server.absolute(), folder, files) as (pid, port):
                    for title, arguments, mark in KINDS:
                        runs[title][name].append(measure(pid, port, arguments, mark, options.seconds))
    print("| | nginx, µs of server time each | wsh-server | ratio | seen by the client, a second |")
    print("|---|---:|---:|---:|---|")
    for title, of in runs.items():
        ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in zip(of["wsh-server"], of["nginx"]))
        cells = [f"{median:.0f} ({least:.0f} – {most:.0f})" for median, least, most in map(spread, of.values())]
        rates = " / ".join(f"{statistics.median(rate for _, rate in one):,.0f}" for one in of.values())
        print(f"| {title} | {cells[0]} | {cells[1]} | {ratio:.2f} | {rates} |")
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1) + "\n")


def spread(runs):
    times = [time for time, _ in runs]
    return statistics.median(times), min(times), max(times)


@contextlib.contextmanager
def running(name, server, folder, files):
    """A server on its core; its process and its port."""
    port = peers.free_port()
    if name == "nginx":
        config = pathlib.Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port, **files))
        command = ["nginx", "-p", folder, "-c", str(config)]
    else:
        handlers = pathlib.Path(folder, "handlers")
        handlers.mkdir(exist_ok=True)
        command = [str(server), "-p", str(port), "-H", "127.0.0.1", "-w", str(handlers), "--workers", "1"]
        command += ["--access-log", "false", "--tls", "-k", files["KEY"], "-c", files["CERTIFICATE"]]
    with tempfile.TemporaryFile("w+") as log:
        pinned = ["taskset", "-c", peers.SERVER_CORE, *command]
        process = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            peers.wait_until_reachable(process, port, log)
            yield process.pid, port
        finally:
            process.terminate()
            process.wait()


def measure(pid, port, arguments, mark, seconds):
    """Microseconds of the server's time for a handshake, and how many the client has done in a second."""
    command = ["taskset", "-c", peers.LOAD_CORE, "openssl", "s_time", "-connect", f"127.0.0.1:{port}"]
    before = used(pid)
    ran = subprocess.run([*command, *arguments, "-time", str(seconds)], capture_output=True, text=True, timeout=60)
    time = used(pid) - before
    counted = re.search(r"(\d+) connections in (\d+) real seconds", ran.stdout)
    if ran.returncode or not counted:
        sys.exit(f"s_time: {ran.returncode}\n{ran.stdout[-500:]}\n{ran.stderr[-500:]}")
    count = int(counted[1])
    # What was to be resumed and was not would be counted as what it is not.
    if ran.stdout.count(mark) < 0.99 * count:
        sys.exit(f"s_time {' '.join(arguments)}: {ran.stdout.count(mark)} of {count} are what they should be")
    return time / count, count / seconds


def used(pid):
    """Microseconds of processor time of a process."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


if __name__ == "__main__":
    main()
