// From one node to another by way of Redis, beside Socket.IO with its Redis adapter on the same Redis:
//
//     node benches/across.mjs WSH-SERVER PEERS-FOLDER [ROUNDS [SECONDS [SUBSCRIBERS]]]
//
// A publisher at node A, subscribers at node B. The servers take turns, each with two nodes and a Redis of its own. First at a
// modest pace, for the delay from the publisher to each subscriber; then with four publications under way, for what goes through;
// and in bursts to one subscriber, beside what redis-benchmark publishes to nobody, for what Redis itself takes.
// Nodes and Redis are on core 0, this program on core 1; it speaks both protocols over the same client, `ws`.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as netConnect, createServer } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

const [program, peers, rounds = 3, seconds = 3, subscribers = 100] = process.argv.slice(2);
const WebSocket = createRequire(`${peers}/`)("ws");

const PACE = 200;
const UNDER_WAY = 4;
const TEXT = "x".repeat(40);
const TICKS = 100;
// Publications of one message, for what Redis itself can take.
const BURST = 500;

const HANDLER = `fn on_open(ws) {
    if ws.query_params.listens != () { ws.subscribe("fan"); }
}

fn transfer_data(ws, message) {
    if message != "burst" {
        publish("fan", message);
        return;
    }
    for n in 0..${BURST} { publish("fan", "x"); }
}
`;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

function start(command, args, env = {}) {
  const child = spawn("taskset", ["-c", "0", command, ...args.map(String)], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  child.stdout.resume();
  return child;
}

async function reachable(port) {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const socket = netConnect(port, "127.0.0.1");
    const isThere = await once(socket, "connect").then(() => true, () => false);
    socket.destroy();
    if (isThere) return;
    await sleep(10);
  }
  throw new Error(`nobody listens at ${port}`);
}

// What each server needs, and how a client of it says and hears a text.
const SERVERS = {
  "wsh-server": {
    node: (port, redis, folder) =>
      start(program, ["-p", port, "-H", "127.0.0.1", "--workers", 1, "-w", folder, "--broker", `redis://127.0.0.1:${redis}`]),
    url: (port, listens) => `ws://127.0.0.1:${port}/fan${listens ? "?listens=1" : ""}`,
    say: (text) => text,
    heard: (data) => data,
    bursts: true,
  },
  "socket.io": {
    node: (port, redis) => start("node", [new URL("peers/socketio.mjs", import.meta.url).pathname, port, redis], { PEERS: peers }),
    url: (port) => `ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`,
    say: (text) => `42${JSON.stringify(["say", text])}`,
    heard: (data) => (data.startsWith("42") ? JSON.parse(data.slice(2))[1] : null),
    greets: true,
  },
};

async function connect(server, port, listens) {
  const socket = new WebSocket(server.url(port, listens), { perMessageDeflate: false });
  socket.setMaxListeners(0);
  const ready = server.greets
    ? new Promise((resolve) => {
        socket.on("message", (data) => {
          const text = data.toString();
          if (text.startsWith("0")) socket.send("40");
          else if (text.startsWith("40")) resolve();
          else if (text === "2") socket.send("3");
        });
      })
    : once(socket, "open");
  await Promise.race([ready, once(socket, "error").then(([error]) => Promise.reject(error))]);
  return socket;
}

// Seconds of processor time of a process.
function used(child) {
  const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

// Publications a second by way of this Redis to one subscriber, and what redis-benchmark publishes to nobody.
async function compare(server, a, b, redisPort) {
  const args = ["-c", "1", "redis-benchmark", "-p", redisPort, "-P", "16", "-n", "300000", "--csv", "publish", "nobody", "x"];
  const line = execFileSync("taskset", args.map(String), { encoding: "utf8" }).trim().split("\n").at(-1);
  const benchmark = Number(line.match(/"(\d+\.\d+)"/)[1]);
  const listener = await connect(server, b, true);
  const publisher = await connect(server, a, false);
  let heard = 0;
  let isOver = false;
  await sleep(300);
  const started = performance.now();
  await new Promise((resolve) => {
    listener.on("message", () => {
      heard += 1;
      if (heard % BURST > 0) return;
      isOver ||= performance.now() - started > seconds * 1000;
      if (isOver) resolve();
      else publisher.send("burst");
    });
    for (let count = 0; count < UNDER_WAY; count += 1) publisher.send("burst");
  });
  const through = (heard * 1000) / (performance.now() - started);
  for (const socket of [publisher, listener]) socket.terminate();
  return { through, benchmark, share: through / benchmark };
}

async function measure(name) {
  const server = SERVERS[name];
  const folder = mkdtempSync(`${tmpdir()}/across-`);
  writeFileSync(`${folder}/fan_wsh.rhai`, HANDLER);
  const [redisPort, a, b] = [await freePort(), await freePort(), await freePort()];
  const redis = start("redis-server", ["--port", redisPort, "--bind", "127.0.0.1", "--save", "", "--dir", folder]);
  await sleep(300);
  const nodes = [a, b].map((port) => server.node(port, redisPort, folder));
  try {
    await Promise.all([reachable(a), reachable(b)]);
    const listeners = [];
    for (let count = 0; count < subscribers; count += 1) listeners.push(await connect(server, b, true));
    const publisher = await connect(server, a, false);
    let onText = () => {};
    for (const listener of listeners) {
      listener.on("message", (data) => {
        const text = server.heard(data.toString());
        if (text) onText(text);
      });
    }
    // The first ones wait until both nodes know each other.
    let heard = 0;
    onText = () => (heard += 1);
    while (heard < subscribers) {
      publisher.send(server.say("hello"));
      await sleep(100);
    }
    await sleep(300);

    const delays = [];
    onText = (text) => delays.push(performance.now() - Number(text.split(" ")[0]));
    let sent = 0;
    const begin = performance.now();
    while (sent < PACE * seconds) {
      publisher.send(server.say(`${performance.now()} ${TEXT}`));
      sent += 1;
      const wait = begin + (sent * 1000) / PACE - performance.now();
      if (wait > 0) await sleep(wait);
    }
    while (delays.length < sent * subscribers) await sleep(10);
    delays.sort((one, other) => one - other);

    let deliveries = 0;
    let isOver = false;
    const before = nodes.map(used).reduce((sum, time) => sum + time);
    const started = performance.now();
    await new Promise((resolve) => {
      onText = () => {
        deliveries += 1;
        if (deliveries % subscribers > 0) return;
        if (performance.now() - started > seconds * 1000) isOver = true;
        if (!isOver) publisher.send(server.say(TEXT));
        else resolve();
      };
      for (let count = 0; count < UNDER_WAY; count += 1) publisher.send(server.say(TEXT));
    });
    const elapsed = (performance.now() - started) / 1000;
    const cost = nodes.map(used).reduce((sum, time) => sum + time) - before;
    for (const socket of [publisher, ...listeners]) socket.terminate();
    const through = server.bursts ? await compare(server, a, b, redisPort) : {};
    return {
      ...through,
      p50: percentile(delays, 0.5),
      p99: percentile(delays, 0.99),
      perSecond: deliveries / elapsed,
      cost: (cost * 1e6) / deliveries,
    };
  } finally {
    for (const child of [...nodes, redis]) child.kill();
    await Promise.all([...nodes, redis].map((child) => child.exitCode ?? once(child, "exit")));
    rmSync(folder, { recursive: true });
  }
}

const found = { "wsh-server": [], "socket.io": [] };
for (let round = 0; round < rounds; round += 1) {
  for (const name of Object.keys(found)) found[name].push(await measure(name));
}
const shown = (values, digits) => {
  const sorted = values.toSorted((one, other) => one - other);
  const [low, middle, high] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map((value) => value.toFixed(digits));
  return `${middle} (${low} – ${high})`;
};
console.log("| server | delay ms, p50 | p99 | deliveries a second | nodes' µs a delivery |\n|---|---:|---:|---:|---:|");
for (const [name, results] of Object.entries(found)) {
  const column = (key, digits) => shown(results.map((result) => result[key]), digits);
  console.log(`| ${name} | ${column("p50", 2)} | ${column("p99", 2)} | ${column("perSecond", 0)} | ${column("cost", 2)} |`);
}
const ours = (key, digits) => shown(found["wsh-server"].map((result) => result[key]), digits);
console.log(`
Publications a second through Redis to one subscriber: ${ours("through", 0)}; of what redis-benchmark -P 16 publishes to
nobody, ${ours("benchmark", 0)}, that is ${ours("share", 2)}.`);
process.exit(0);
