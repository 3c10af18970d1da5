#!/usr/bin/env python3
"""Compares wsh-server with its peers: starts each server in turn on one core, loads it from the other, prints tables.

Rounds alternate (a peer, wsh-server, the next peer, wsh-server, ...), so that whatever else the machine does meets both
sides of a ratio alike. A ratio is the median of the rounds' ratios, each from two runs that followed each other.

    benches/setup.sh /tmp/peers
    benches/run.py /tmp/peers --json results.json
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BENCHES = pathlib.Path(__file__).absolute().parent
PACKAGE = BENCHES.parent
OURS = "wsh-server"

SERVER_CORE, LOAD_CORE = "0", "1"

# How much of the two cores may go to processes that are no part of the run before the run is repeated, and how often.
FOREIGN_SHARE = 0.05
REPEATS = 2

# Seconds after which a run of the load generator is given up; the longest, each hostile script by itself, takes half.
RUN_TIMEOUT = 1500

HANDLERS = {
    "echo_wsh.rhai": "fn transfer_data(ws, message) {\n    ws.send(message);\n}\n",
    "spin_wsh.rhai": "fn transfer_data(ws, message) {\n    loop {}\n}\n",
    "state_wsh.rhai": """
fn on_open(ws) {
    this.n = 0;
}

fn transfer_data(ws, message) {
    this.n += 1;
    ws.send(message);
}
""",
    "timer_wsh.rhai": """
fn on_open(ws) {
    ws.every(3600.0, "beat");
}

fn on_timer(ws, name) {}

fn transfer_data(ws, message) {
    ws.send(message);
}
""",
    "fan_wsh.rhai": 'fn on_open(ws) {\n    ws.subscribe("fan");\n}\n\nfn transfer_data(ws, message) {}\n',
    "say_wsh.rhai": 'fn transfer_data(ws, message) {\n    publish("fan", message);\n}\n',
    "waiting_wsh.rhai": """
fn transfer_data(ws) {
    loop {
        let message = ws.receive();
        if message == () {
            break;
        }
        ws.send(message);
    }
}
""",
    "kept_wsh.rhai": """
fn on_load() {
    topic("kept", #{history: 1000});
}

fn transfer_data(ws, message) {
    publish("kept", message);
    ws.send(position("kept"));
}
""",
    "resume_wsh.rhai": """
fn on_open(ws) {
    ws.subscribe("kept", #{since: ws.query_params.since[0]});
}

fn transfer_data(ws, message) {}
""",
    "services_wsh.rhai": """
fn transfer_data(ws, message) {
    let order = message.split("|");
    let act = order[0];
    let count = parse_int(order[1]);
    let key = order[2];
    let state = store("bench");
    let jobs = queue(`bench/${key}`);
    switch act {
        "loop" => for number in 0..count { },
        "get" => for number in 0..count { state.get(key); },
        "set" => for number in 0..count { state.set(key, number); },
        "incr" => for number in 0..count { state.incr("sum"); },
        "put and take" => for number in 0..count { jobs.put(number); jobs.take(0); },
        "take with lease" => for number in 0..count {
            jobs.put(number);
            jobs.done(jobs.take(0, #{lease: 60}).id);
        },
    }
    ws.send("done");
}
""",
    "many_wsh.rhai": """
fn transfer_data(ws, message) {
    let numbers = message.split(" ");
    let first = parse_int(numbers[0]);
    for number in first..first + parse_int(numbers[1]) {
        ws.subscribe(`topic/${number}`);
    }
    ws.send("done");
}
""",
}


# Where stores and queues are kept: the scenario `services`.
STORES = ["memory", "file", "redis"]

# Who runs the scripts, how many connections wait, and how long it takes a server to put away the stacks of all that it has:
# the scenario `waiting`.
EVALUATORS = ["rhai", "compiled"]
WAITING = [4_000, 15_000]
WAITING_SETTLES = 20

# How a server is asked to speak.
PLAIN, DEFLATE, TLS = "plain", "deflate", "tls"


@dataclasses.dataclass
class Server:
    """A server to load: `command` takes the port's place as PORT, the handlers' folder as HANDLERS.

    `variants` are the ways in which it can speak, with what each adds to the command: the key's place is KEY, the
    certificate's CERTIFICATE."""

    name: str
    command: list
    version: str
    environment: dict = dataclasses.field(default_factory=dict)
    variants: dict = dataclasses.field(default_factory=lambda: {PLAIN: []})
    # A thread or a process a connection: ten thousand of them are no measurement, but a denial of service.
    serves_thousands: bool = True


@dataclasses.dataclass
class Scenario:
    """What the load generator is asked; `value` is the number that is compared, `columns` are shown beside it."""

    name: str
    title: str
    arguments: list
    value: str
    columns: dict
    needs_thousands: bool = False
    variant: str = PLAIN
    path: str = "/echo"

    @property
    def is_timed(self):
        return self.value == "per_second"


CPU_COLUMNS = {"server CPU": "server_cpu", "load CPU": "client_cpu"}
ECHO_COLUMNS = {
    "round trip µs, p50": "round_trip_us.p50",
    "p99": "round_trip_us.p99",
    "server µs a message": "server_us_per_message",
    **CPU_COLUMNS,
}
DEFLATE_COLUMNS = {**ECHO_COLUMNS, "bytes sent": "sent_bytes", "bytes of a reply": "reply_bytes"}


def echo(name, title, connections, size, in_flight, columns=ECHO_COLUMNS, variant=PLAIN):
    arguments = ["echo", "--connections", str(connections), "--size", str(size), "--in-flight", str(in_flight)]
    return Scenario(name, f"Echo, messages a second: {title}", arguments, "per_second", columns, variant=variant)


# Large messages: size in the scenario's name, its bytes, and connections.
LARGE = [("4k", 4096, 20), ("16k", 16384, 20), ("64k", 65536, 20), ("256k", 262_144, 10), ("1m", 1_048_576, 4)]


def large():
    """Echoes of large messages, in every way: `large16k`, `large1m-binary-x8`, `large64k-tls`."""
    for label, size, connections in LARGE:
        for variant, binaries in ((PLAIN, (False, True)), (DEFLATE, (False,)), (TLS, (False, True))):
            for binary in binaries:
                for in_flight in (1, 8):
                    name = f"large{label}" + "-binary" * binary + f"-x{in_flight}" * (in_flight > 1)
                    kind = "binary" if binary else "text"
                    title = f"{size // 1024} KiB, {kind}, {variant}, {in_flight} in flight, {connections} connections"
                    name += "" if variant == PLAIN else f"-{variant}"
                    scenario = echo(name, title, connections, size, in_flight, variant=variant)
                    if binary:
                        scenario.arguments.append("--binary")
                    yield scenario


def idle(name, title, variant=PLAIN, path="/echo", settle=2):
    return Scenario(
        name,
        f"Bytes of server memory per idle connection{title}, 10,000 connections (less is better)",
        ["idle", "--settle", str(settle)],
        "bytes_per_connection",
        {"after a message": "bytes_per_connection_after_message", "process before": "before_bytes"},
        needs_thousands=True,
        variant=variant,
        path=path,
    )


# Seconds after which a session rests.
RESTED = 12

FANOUT_COLUMNS = {
    "last delivery µs, p50": "last_delay_us.p50",
    "p99": "last_delay_us.p99",
    "echo beside it µs, p50": "echo_us.p50",
    "echo p99": "echo_us.p99",
    "server µs a delivery": "server_us_per_delivery",
    **CPU_COLUMNS,
}


def fanout(name, title, subscribers, size, variant=PLAIN):
    arguments = ["fanout", "--subscribers", str(subscribers), "--size", str(size)]
    title = f"Deliveries a second of what is published: {title}"
    thousands = subscribers >= 1000
    return Scenario(name, title, arguments, "per_second", FANOUT_COLUMNS, needs_thousands=thousands, variant=variant)


# The peers that publish; the others echo on every path.
PUBLISHES = [OURS, "uwebsockets", "bun"]

COMPARED = [
    echo("echo64x1", "64 bytes, 100 connections, 1 in flight", 100, 64, 1),
    echo("echo64x16", "64 bytes, 100 connections, 16 in flight", 100, 64, 16),
    echo("echo4k", "4 KiB, 20 connections, 1 in flight", 20, 4096, 1),
    echo("echo16k", "16 KiB, 20 connections, 1 in flight", 20, 16384, 1),
    echo("echo64k", "64 KiB, 20 connections, 1 in flight", 20, 65536, 1),
    echo("deflate1k", "1 KiB of JSON, compressed, 100 connections, 1 in flight", 100, 1024, 1, DEFLATE_COLUMNS, DEFLATE),
    echo("deflate16k", "16 KiB of JSON, compressed, 20 connections, 1 in flight", 20, 16384, 1, DEFLATE_COLUMNS, DEFLATE),
    echo("tls64x1", "64 bytes over TLS, 100 connections, 1 in flight", 100, 64, 1, variant=TLS),
    echo("tls16k", "16 KiB over TLS, 20 connections, 1 in flight", 20, 16384, 1, variant=TLS),
    idle("idle", ""),
    idle("idle-deflate", " with permessage-deflate", DEFLATE),
    idle("idle-tls", " with TLS", TLS),
    idle("idle-state", " with a number in `this`, rested", path="/state", settle=RESTED),
    idle("idle-timer", " with a timer, rested", path="/timer", settle=RESTED),
    Scenario(
        "connect",
        "New connections a second, 64 at a time",
        ["connect"],
        "per_second",
        {
            "handshake µs, p50": "handshake_us.p50",
            "p99": "handshake_us.p99",
            "server µs a connection": "server_us_per_connection",
            **CPU_COLUMNS,
        },
    ),
    fanout("fanout1k", "64 bytes to 1,000 subscribers", 1000, 64),
    fanout("fanout10k", "64 bytes to 10,000 subscribers", 10_000, 64),
    fanout("fanout1k-16k", "16 KiB to 1,000 subscribers", 1000, 16384),
    fanout("fanout10k-16k", "16 KiB to 10,000 subscribers", 10_000, 16384),
    fanout("fanout1k-deflate", "1 KiB of JSON, compressed, to 1,000 subscribers", 1000, 1024, DEFLATE),
    fanout("fanout1k-deflate16k", "16 KiB of JSON, compressed, to 1,000 subscribers", 1000, 16384, DEFLATE),
    *large(),
]

# What only wsh-server is asked.
OWN = ["waiting", "latency", "hostile", "stalled", "bombs", "reload", "startup", "resume", "topics", "services"]

# Long enough for clients that stall to stay until the end, and for the server to say nothing that they would answer.
STALLED_FLAGS = ["--header-timeout", "120s", "--tls-handshake-timeout", "120s", "--frame-timeout", "120s"]
STALLED_FLAGS += ["--message-timeout", "120s", "--ping-interval", "120s", "--max-connections-per-address", "0"]

# A message that comes byte by byte has an end before whoever waits for it loses patience.
BOMBS_FLAGS = ["--message-timeout", "5s"]
# Address space of the server, in bytes; it has some to itself before it takes any.
BOMBS_MEMORY = 8 * 2**30
# Label, kind, connections.
BOMBS = [
    ("a compression bomb", "bomb", 1),
    ("a bomb that stops just below the limit", "withheld", 1),
    ("1,000 bombs at once", "bomb", 1000),
    ("100 bombs that stop just below the limit", "withheld", 100),
    ("fragments of a byte without an end", "fragments", 1),
    ("16 MiB announced, byte by byte", "drip", 1),
    ("16 MiB announced, the last KiB byte by byte", "brim", 1),
]


def main():
    options = parse_arguments()
    ours, bare, programs, load = build(options)
    known = find_peers(options.peers_folder, programs)
    if bare:
        known["bare"] = bare
    peers = choose_peers(options.peers, known)
    chosen = set(options.scenario)
    environment = describe_machine(peers, ours)
    for name, fact in environment.items():
        print(f"- {name}: {fact}")
    print()

    runs = []
    failed = []

    def run(record, action):
        say(" ".join(str(part) for part in record.values()))
        try:
            runs.append({**record, "result": action()})
        except (BenchError, subprocess.TimeoutExpired) as error:
            say(f"  failed: {error}")
            failed.append({**record, "error": str(error)})

    try:
        for scenario in COMPARED:
            if scenario.name not in chosen:
                continue
            for round_number in range(1, options.rounds + 1):
                # Without peers the server still has its own rounds.
                for peer in [peer for peer in peers if suits(peer, scenario)] or [None]:
                    beside = peer.name if peer else None
                    for server in filter(None, [peer, ours]):
                        record = {"scenario": scenario.name, "round": round_number, "server": server.name}
                        run({**record, "beside": beside}, lambda: measure(server, load, scenario, options))
            print_comparison(scenario, runs, peers)
        if ours:
            for name in OWN:
                if name in chosen:
                    for label, action in own_runs(name, ours, load, options):
                        run({"scenario": name, "case": label, "server": OURS}, action)
                    print_own(name, runs)
    finally:
        if failed:
            print("Failed runs:\n")
            for failure in failed:
                print("- " + ", ".join(f"{key} {value}" for key, value in failure.items()))
        if options.json:
            settings = {name: getattr(options, name) for name in ("rounds", "seconds", "warmup")}
            document = {"environment": environment, "settings": settings, "runs": runs, "failed": failed}
            options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if failed else 0


class BenchError(Exception):
    pass


def parse_arguments():
    every = [scenario.name for scenario in COMPARED] + OWN
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers_folder", type=pathlib.Path, help="where benches/setup.sh has put the peers")
    usual = [name for name in every if not name.startswith("large")]
    help_text = f"comma-separated, `large*` for all that begin so; of {','.join(usual)} and {','.join(name for name in every if name not in usual)}"
    parser.add_argument("--scenario", type=names(every), default=usual, help=help_text)
    parser.add_argument("--peers", help="comma-separated; default: all that are installed; `none` for none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of a throughput run")
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--patience", type=float, default=30.0, help="seconds to wait for quiet cores before each run")
    parser.add_argument("--json", type=pathlib.Path, help="write every run to this file")
    parser.add_argument("--server", type=pathlib.Path, help="a wsh-server binary, instead of building one")
    parser.add_argument("--load", type=pathlib.Path, help="a load generator, instead of building it and the Rust peers")
    parser.add_argument("--without-server", action="store_true", help="measure the peers alone")
    return parser.parse_args()


def names(allowed):
    def parse(text):
        chosen = []
        for name in text.split(","):
            # `large*`: all that begin so.
            family = [one for one in allowed if name.endswith("*") and one.startswith(name[:-1])]
            chosen += family or [name]
        for name in chosen:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(allowed)}")
        return chosen

    return parse


# Servers


def build(options):
    """Builds the package; returns our server, its bare variant if there is one, the Rust peers, the load generator."""
    programs = {"load": str(options.load.absolute())} if options.load else cargo("bench", "--no-run", "--quiet")
    binary = options.server and options.server.absolute()
    if binary is None and not options.without_server:
        binary = cargo("build", "--release", "--quiet")[OURS]
    ours = None
    if not options.without_server:
        command = [str(binary), "-p", "PORT", "-H", "127.0.0.1", "-w", "HANDLERS", "--workers", "1"]
        commit = output("git", "-C", PACKAGE, "describe", "--always", "--dirty")
        variants = {PLAIN: [], DEFLATE: [], TLS: ["--tls", "-k", "KEY", "-c", "CERTIFICATE"]}
        ours = Server(OURS, command, f"{output(binary, '--version')}, commit {commit}", variants=variants)
    bare = None
    if "bare" in programs:
        bare = Server("bare", [programs["bare"], "PORT"], "this package's engine, no script")
    return ours, bare, programs, programs["load"]


def cargo(*arguments):
    """Runs cargo and returns the programs it names in its messages."""
    say(f"cargo {' '.join(arguments)}")
    command = ["cargo", *arguments, "--message-format=json"]
    built = subprocess.run(command, cwd=PACKAGE, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit("the package does not build")
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}


def find_peers(folder, programs):
    """Every peer that is installed, by name, in the order of the tables."""
    folder = folder.absolute()
    scripts = BENCHES / "peers"
    modules = folder / "node_modules"
    python = folder / "venv" / "bin" / "python"
    arch = {"x86_64": "x64", "aarch64": "aarch64"}.get(platform.machine(), platform.machine())
    bun = modules / "@oven" / f"bun-linux-{arch}" / "bin" / "bun"
    deno = modules / "@deno" / f"linux-{arch.replace('aarch64', 'arm64')}-glibc" / "deno"
    node = shutil.which("node")
    websocketd = shutil.which("websocketd")
    cat = shutil.which("cat")
    found = {}
    variants = {PLAIN: [], DEFLATE: ["deflate"], TLS: ["tls", "KEY", "CERTIFICATE"]}

    def offer(name, needs, command, version, **more):
        if all(need and pathlib.Path(need).exists() for need in needs):
            found[name] = Server(name, [str(part) for part in command], version(), **more)

    offer(
        "uwebsockets",
        [folder / "uwebsockets"],
        [folder / "uwebsockets", "PORT"],
        lambda: "the sources in " + crate_version(folder / "uwebsockets-sources" / "Cargo.lock", "libuwebsockets-sys"),
    )
    for name, crate in [("tungstenite", "tokio-tungstenite"), ("fastwebsockets", "fastwebsockets")]:
        program = programs.get(f"peer-{name}")
        offer(name, [program], [program, "PORT"], lambda: crate_version(PACKAGE / "Cargo.lock", crate))
    offer(
        "bun",
        [bun],
        [bun, scripts / "bun.js", "PORT"],
        lambda: "Bun " + output(bun, "--version"),
        variants={PLAIN: [], DEFLATE: ["deflate"]},
    )
    offer(
        "deno",
        [deno],
        [deno, "run", "--allow-net", scripts / "deno.js", "PORT"],
        lambda: output(deno, "--version").splitlines()[0],
        environment={"DENO_NO_UPDATE_CHECK": "1"},
    )
    offer(
        "ws",
        [node, modules / "ws"],
        [node, scripts / "ws.js", "PORT"],
        lambda: f"ws {package_version(modules / 'ws')}, Node {output(node, '--version')}",
        environment={"NODE_PATH": str(modules)},
        variants=variants,
    )
    offer(
        "websockets",
        [python],
        [python, scripts / "websockets_peer.py", "PORT"],
        lambda: f"websockets {module_version(python, 'websockets')}, {output(python, '--version')}",
        variants=variants,
    )
    offer(
        "pywebsocket3",
        [python],
        [python, "-m", "pywebsocket3.standalone", "-p", "PORT", "-w", scripts / "pywebsocket3", "--log-level=critical"],
        lambda: f"pywebsocket3 {module_version(python, 'pywebsocket3')}, {output(python, '--version')}",
        serves_thousands=False,
    )
    offer(
        "websocketd",
        [websocketd, cat],
        [websocketd, "--address", "127.0.0.1", "--port", "PORT", "--loglevel", "error", cat],
        lambda: "websocketd " + output("dpkg-query", "-W", "-f", "${Version}", "websocketd"),
        serves_thousands=False,
    )
    return found


def choose_peers(wanted, known):
    if wanted is None:
        return list(known.values())
    chosen = [] if wanted == "none" else wanted.split(",")
    for name in chosen:
        if name not in known:
            sys.exit(f"the peer {name} is not there; there are: {', '.join(known)}")
    return [known[name] for name in chosen]


def suits(server, scenario):
    if scenario.arguments[0] == "fanout" and server.name not in PUBLISHES:
        return False
    return scenario.variant in server.variants and (server.serves_thousands or not scenario.needs_thousands)


def crate_version(lock_file, crate):
    lines = lock_file.read_text().splitlines()
    at = lines.index(f'name = "{crate}"')
    return f"{crate} " + lines[at + 1].split('"')[1]


def package_version(folder):
    return json.loads((folder / "package.json").read_text())["version"]


def module_version(python, module):
    return output(python, "-c", f"import importlib.metadata; print(importlib.metadata.version('{module}'))")


def output(*command):
    command = [str(part) for part in command]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return result.stdout.strip() if result.returncode == 0 else "unknown"


@dataclasses.dataclass
class Running:
    """A server that has been started, and how the load generator finds it."""

    port: int
    pid: int
    handlers: str
    reach: list


@contextlib.contextmanager
def running(server, variant=PLAIN, handler="echo"):
    """The server on its core, reachable, as `Running`; ended by its pid when the block is left."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as secrets,
        tempfile.TemporaryFile("w+") as log,
    ):
        for name, source in HANDLERS.items():
            pathlib.Path(folder, name).write_text(source)
        port = free_port()
        places = {"PORT": str(port), "HANDLERS": folder}
        reach = ["--url", f"ws://127.0.0.1:{port}/{handler}"]
        if variant == TLS:
            places |= certificate(secrets)
            reach += ["--tls", places["CERTIFICATE"]]
        elif variant == DEFLATE:
            reach += ["--deflate"]
        command = [places.get(part, part) for part in [*server.command, *server.variants[variant]]]
        command = ["taskset", "-c", SERVER_CORE, *command]
        environment = {**os.environ, **server.environment}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            wait_until_reachable(process, port, log)
            yield Running(port, process.pid, folder, reach)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def certificate(folder):
    """A key and a certificate for the address of all servers, as Let's Encrypt makes them today: ECDSA with P-256."""
    files = {"KEY": f"{folder}/key.pem", "CERTIFICATE": f"{folder}/certificate.pem"}
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", files["KEY"], "-out", files["CERTIFICATE"], "-days", "30", "-subj", "/CN=localhost"]
    # Not an authority's: the load trusts it as the server's own.
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        raise BenchError(f"no certificate: {made.stdout.strip()}")
    return files


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_reachable(process, port, log):
    # Not every server says when it listens, so all are asked in the same way.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            time.sleep(0.2)
            return
        time.sleep(0.02)
    log.seek(0)
    raise BenchError(f"the server does not listen: {log.read()[-500:].strip()}")


# Measuring


def measure(server, load, scenario, options):
    """One run of a compared scenario against a fresh server."""
    arguments = list(scenario.arguments)
    if scenario.is_timed:
        arguments += ["--seconds", str(options.seconds), "--warmup", str(options.warmup)]

    def attempt():
        with running(server, scenario.variant) as ready:
            watch = ForeignLoad(ready.pid)
            reach = [part.replace("/echo", scenario.path) for part in ready.reach]
            result = generate(load, [*arguments, *reach, "--pid", str(ready.pid)])
            return {**result, "foreign_cpu": watch.share()}

    return undisturbed(attempt, options) if scenario.is_timed else attempt()


def undisturbed(attempt, options):
    """The first result that other processes have left alone, else the least disturbed of a few."""
    results = []
    for _ in range(1 + REPEATS):
        wait_until_quiet(options.patience)
        results.append(attempt())
        share = results[-1]["foreign_cpu"]
        if share <= FOREIGN_SHARE:
            break
        say(f"  other processes took {share:.0%} of the cores")
    return min(results, key=lambda result: result["foreign_cpu"])


def wait_until_quiet(patience):
    """Gives whatever else is running a while to finish: cheaper than a run that has to be repeated."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        watch = ForeignLoad()
        time.sleep(0.5)
        if watch.share() <= FOREIGN_SHARE:
            return


def generate(load, arguments, core=LOAD_CORE):
    pin = ["taskset", "-c", core] if core else []
    pipe = subprocess.PIPE
    ran = subprocess.run([*pin, load, *arguments], stdout=pipe, stderr=pipe, text=True, timeout=RUN_TIMEOUT)
    if ran.returncode:
        raise BenchError(ran.stderr.split("\n\nStack backtrace")[0].strip())
    return json.loads(ran.stdout)


class ForeignLoad:
    """The share of all cores that went neither to the server nor to the load since the start, steal included."""

    def __init__(self, server=None):
        self.server = server
        self.begin = self.sample()

    def sample(self):
        # user nice system idle iowait irq softirq steal; what follows is counted in user already.
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = fields[3] + fields[4]
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Children count once they have ended and were waited for; the server still runs.
        own = (cpu_seconds(self.server) if self.server else 0.0) + children.ru_utime + children.ru_stime
        return sum(fields), sum(fields) - idle, own * os.sysconf("SC_CLK_TCK")

    def share(self):
        total, busy, own = (now - then for now, then in zip(self.sample(), self.begin))
        return round(max(0.0, (busy - own) / total), 3)


def cpu_seconds(pid):
    """User and system time of a process and its descendants."""
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
                seconds += sum(cpu_seconds(child) for child in children)
        return seconds
    return 0.0


def peak_memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def with_flags(server, flags):
    return dataclasses.replace(server, command=[*server.command, *flags])


@contextlib.contextmanager
def store(engine):
    """The flags for a store of this kind, which is there until the block is left."""
    with tempfile.TemporaryDirectory() as folder:
        if engine == "file":
            yield ["--store", f"file:{folder}/store"]
        elif engine == "redis":
            socket = f"{folder}/redis.sock"
            command = ["taskset", "-c", LOAD_CORE, "redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            try:
                yield ["--store", f"redis+unix:{socket}"]
            finally:
                server.terminate()
                server.wait()
        else:
            yield []


def own_runs(name, ours, load, options):
    """The runs of a scenario that only our server takes part in, as (label, action)."""

    def against_server(arguments, variant=PLAIN, with_handlers=False, with_pid=False, handler="echo"):
        with running(ours, variant, handler) as ready:
            watch = ForeignLoad(ready.pid)
            more = ["--handlers", ready.handlers] if with_handlers else []
            more += ["--pid", str(ready.pid)] if with_pid else []
            result = generate(load, [*arguments, *ready.reach, *more])
            return {"peak_bytes": peak_memory(ready.pid), **result, "foreign_cpu": watch.share()}

    def start_up(arguments, core):
        watch = ForeignLoad()
        return {**generate(load, arguments, core), "foreign_cpu": watch.share()}

    plain = ours
    if name == "hostile":
        # Without the flag some of the scripts would fail before they do their worst.
        ours = with_flags(ours, ["--allow-raw"])
        beside = ["hostile", "--seconds", str(max(20.0, options.seconds))]
        yield "all of them", lambda: undisturbed(lambda: against_server(beside, with_handlers=True), options)
        apart = ["hostile", "--seconds", "0.6", "--apart"]
        yield "each by itself", lambda: against_server(apart, with_handlers=True)
    elif name == "waiting":
        for evaluator in EVALUATORS:
            ours = with_flags(plain, ["--evaluator", evaluator])
            for connections in WAITING:
                arguments = ["idle", "--connections", str(connections), "--settle", str(WAITING_SETTLES)]
                yield evaluator, lambda: against_server(arguments, with_pid=True, handler="waiting")
    elif name == "latency":
        for spinners in (1, 2, 8):
            arguments = ["latency", "--spinners", str(spinners), "--seconds", str(max(3.0, options.seconds))]
            yield f"{spinners} spinning", lambda: undisturbed(lambda: against_server(arguments), options)
    elif name == "stalled":
        ours = with_flags(ours, STALLED_FLAGS)
        arguments = ["stalled", "--seconds", str(max(3.0, options.seconds))]
        for variant in (PLAIN, TLS):
            yield variant, lambda: undisturbed(lambda: against_server(arguments, variant), options)
    elif name == "bombs":
        ours = with_flags(ours, BOMBS_FLAGS)
        # A server that takes more than there may be ends here, and not the machine.
        ours = dataclasses.replace(ours, command=["prlimit", f"--as={BOMBS_MEMORY}", *ours.command])
        for label, kind, connections in BOMBS:
            arguments = ["bombs", "--kind", kind, "--connections", str(connections)]
            yield label, lambda: against_server(arguments, DEFLATE, with_pid=True)
    elif name == "reload":
        # Twenty repetitions each, of which the median counts: a disturbed one does no harm.
        for connections in (0, 10_000):
            arguments = ["reload", "--connections", str(connections)]
            yield f"{connections:,} others", lambda: against_server(arguments, with_handlers=True)
    elif name == "resume":
        for missed in (0, 100):
            arguments = ["resume", "--missed", str(missed)]
            yield f"{missed} missed", lambda: against_server(arguments, with_pid=True)
    elif name == "topics":
        ours = with_flags(ours, ["--max-subscriptions", "1000"])
        yield "memory", lambda: against_server(["topics", "--each", "100"], with_pid=True)
    elif name == "services":
        arguments = ["services", "--seconds", str(options.seconds)]
        for engine in STORES:
            with store(engine) as flags:
                ours = with_flags(plain, flags)
                yield engine, lambda: against_server(arguments, with_pid=True)
    elif name == "startup":
        arguments = ["startup", "--server", ours.command[0]]
        pinned = [*arguments, "--server-core", SERVER_CORE]
        yield "one core", lambda: undisturbed(lambda: start_up(pinned, LOAD_CORE), options)
        yield "all cores", lambda: undisturbed(lambda: start_up(arguments, None), options)


# Words


def print_comparison(scenario, runs, peers):
    mine = [run for run in runs if run["scenario"] == scenario.name]
    print(f"### {scenario.title}\n")
    header = ["server", "median", "min – max", f"{OURS} beside it", f"{OURS} / peer", *scenario.columns]
    rows = []
    for name in [peer.name for peer in peers] + [OURS]:
        results = [run["result"] for run in mine if run["server"] == name]
        if not results:
            continue
        values = [result[scenario.value] for result in results]
        row = [name, number(statistics.median(values)), f"{number(min(values))} – {number(max(values))}"]
        row += beside_it(scenario, name, mine)
        rows.append(row + [median_of(results, path) for path in scenario.columns.values()])
    print_table(header, rows)
    if scenario.is_timed:
        print_disturbed(mine)


def print_disturbed(runs):
    disturbed = [run for run in runs if run["result"]["foreign_cpu"] > FOREIGN_SHARE]
    if disturbed:
        share = f"{FOREIGN_SHARE:.0%}"
        print(f"In {len(disturbed)} of {len(runs)} runs other processes took more than {share} of the cores.\n")


def beside_it(scenario, peer, runs):
    """The median of our runs beside a peer's, and of their ratios."""
    values = {}
    for run in runs:
        if run["beside"] == peer:
            values.setdefault(run["round"], {})[run["server"]] = run["result"][scenario.value]
    pairs = [(pair[OURS], pair[peer]) for pair in values.values() if OURS in pair and pair.get(peer)]
    if not pairs:
        return ["", ""]
    ours = statistics.median(mine for mine, _ in pairs)
    return [number(ours), f"{statistics.median(mine / theirs for mine, theirs in pairs):.2f}"]


def median_of(results, path):
    values = []
    for result in results:
        for part in path.split("."):
            result = result[part]
        values.append(result)
    return number(statistics.median(values)) if None not in values else ""


def print_own(name, runs):
    mine = [run for run in runs if run["scenario"] == name]
    rows = []
    if name == "latency":
        print("### Round trips in µs beside handlers in an endless loop, 1,000 messages a second\n")
        header = ["spinning", "alone p50", "alone p99", "p50", "p90", "p99", "p99.9", "max", "ends of the spinning"]
        for run in mine:
            result = run["result"]
            alone, beside = result["alone_us"], result["beside_us"]
            endings = ", ".join(f"{count} × {ending}" for ending, count in result["spinner_endings"].items())
            figures = [alone["p50"], alone["p99"], *(beside[key] for key in ("p50", "p90", "p99", "p999", "max"))]
            rows.append([str(result["spinners"]), *map(number, figures), endings])
    elif name == "waiting":
        print("### Bytes of server memory per connection whose hook waits in receive()\n")
        header = ["evaluator", "connections", "in its first receive()", "after a message", "page tables"]
        for run in mine:
            result = run["result"]
            keys = ("connections", "bytes_per_connection", "bytes_per_connection_after_message", "page_tables_per_connection")
            rows.append([run["case"], *(number(result[key]) for key in keys)])
    elif name == "hostile":
        print_hostile(mine)
        return
    elif name == "stalled":
        print_stalled(mine)
        return
    elif name == "bombs":
        print_bombs(mine)
        return
    elif name == "reload":
        print("### From saving a handler to the first reply of the new code, ms\n")
        header = ["other connections", "saved", "min", "median", "max"]
        for run in mine:
            for way, label in (("in_place_ms", "in place"), ("renamed_ms", "by rename")):
                times = run["result"][way]
                rows.append([number(run["result"]["connections"]), label, *spread(times)])
    elif name == "resume":
        print("### 10,000 clients that come back at once to a topic with history, seconds\n")
        header = ["missed by each", "all connected", "all have got it", "got twice", "memory taken, MiB"]
        for run in mine:
            result = run["result"]
            times = [number(result[key]) for key in ("opened_s", "recovered_s")]
            rows.append([number(result["missed"]), *times, number(result["doubled"]), number(result["taken_bytes"] / 2**20)])
    elif name == "topics":
        print("### Memory of topics\n")
        header = ["what", "how many", "bytes of each", "MiB in all"]
        for run in mine:
            result = run["result"]
            count = result["subscriptions"]
            for what, key in (("a subscription", "bytes_per_subscription"), ("a topic with one", "bytes_per_topic_and_subscription")):
                rows.append([what, number(count), number(result[key]), number(result[key] * count / 2**20)])
            taken = result["unread_bytes"]
            what = f"{number(result['unread_size'] / 2**20)} MiB to those who do not read"
            rows.append([what, number(result["unread"]), number(taken / result["unread"]), number(taken / 2**20)])
    elif name == "services":
        print("### Calls of stores and queues, 16 connections at once\n")
        header = ["kept in", "call", "a second", "server µs a call"]
        for run in mine:
            for call, found in run["result"]["calls"].items():
                rows.append([run["case"], call, number(found["per_second"]), number(found["server_us_per_call"])])
    else:
        print("### From start to the ready line with 1,000 handlers, ms\n")
        header = ["server runs on", "min", "median", "max"]
        for run in mine:
            rows.append([run["case"], *spread(run["result"]["ready_ms"])])
    print_table(header, rows)
    print_disturbed(mine)


def print_hostile(runs):
    print("### Round trips in µs beside hostile scripts, 1,000 messages a second\n")
    figures = ["p50", "p90", "p99", "p999", "max"]
    header = ["beside", "p50", "p90", "p99", "p99.9", "max"]
    rows = []
    for run in runs:
        result, beside = run["result"], run["result"]["beside"]
        if "us" in beside:
            rows.append(["nothing", *(number(result["alone_us"][key]) for key in figures)])
            what = f"{result['scripts']} scripts, {result['clients']} at a time, {beside['provoked']['visits']:,} times"
            rows.append([what, *(number(beside["us"][key]) for key in figures)])
            print(f"The server's memory was at most {number(result['peak_bytes'] / 2**20)} MiB.\n")
        else:
            for worst in beside["worst"]:
                rows.append([f"`{worst['script']}`", *(number(worst["us"][key]) for key in figures)])
            count = beside["over_10_ms"]
            print(f"By themselves, {count} of {result['scripts']} have a 99th percentile of 10 ms or more.\n")
    print_table(header, rows)
    print_disturbed(runs)


def print_stalled(runs):
    print("### Opening handshakes in µs beside clients that are slow or silent, 100 a second\n")
    figures = ["p50", "p90", "p99", "max"]
    header = ["", "silent", "slow", "inside a handshake or frame", "still there", *figures]
    rows = []
    for run in runs:
        result = run["result"]
        crowd = [result[kind] for kind in ("silent", "slow", "inside")]
        rows.append([f"{run['case']}, alone", "0", "0", "0", "", *(number(result["alone_us"][key]) for key in figures)])
        counts = [number(kind["clients"]) for kind in crowd]
        there = number(sum(kind["still_there"] for kind in crowd))
        rows.append([f"{run['case']}, beside", *counts, there, *(number(result["beside_us"][key]) for key in figures)])
    print_table(header, rows)
    print_disturbed(runs)


def print_bombs(runs):
    print("### Memory that hostile messages make the server take at most, MiB\n")
    header = ["", "connections", "before", "taken at most", "allowed", "seconds", "endings"]
    rows = []
    for run in runs:
        result = run["result"]
        # One connection may take twice the longest message and 64 KiB.
        allowed = 2 * result["limit"] + 65536
        endings = ", ".join(f"{count} × {ending}" for ending, count in result["endings"].items())
        sizes = [number(result[key] / 2**20) for key in ("before_bytes", "taken_bytes")]
        is_alone = result["connections"] == 1
        sizes.append(number(allowed / 2**20) if is_alone else "")
        rows.append([run["case"], number(result["connections"]), *sizes, number(result["seconds"]), endings])
    print_table(header, rows)


def spread(times):
    return [number(times[key]) for key in ("min", "median", "max")]


def print_table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|---|" + "---:|" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def number(value):
    if isinstance(value, float) and abs(value) < 100 and value != int(value):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{round(value):,}"


def describe_machine(peers, ours):
    lscpu = dict(line.split(":", 1) for line in output("lscpu").splitlines() if ":" in line)
    environment = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": f"{lscpu.get('Model name', 'unknown').strip()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": output("rustc", "--version"),
        "load before the start": f"{os.getloadavg()[0]:.2f}",
    }
    for server in [*peers, *filter(None, [ours])]:
        environment[server.name] = server.version
    return environment


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    # Both ways of stopping unwind the stack, so the running server ends and the results so far are written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
