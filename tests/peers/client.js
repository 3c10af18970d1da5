// Node's ws against a server: NODE_PATH=.../node_modules node client.js ws://HOST:PORT/peer
// A line a case; the first that fails ends it.
const assert = require("assert");
const { once } = require("events");
const WebSocket = require("ws");

const URL = process.argv[2];
const LARGE = 16 * 1024 * 1024;

async function open(protocols, options) {
  const ws = new WebSocket(URL, protocols, { maxPayload: 0, ...options });
  // Kept from the start, lest one is missed between two waits.
  const queue = [];
  let wake = () => {};
  ws.on("message", (data, isBinary) => { queue.push(isBinary ? data : data.toString()); wake(); });
  ws.next = async () => {
    while (queue.length === 0) await new Promise((done) => { wake = done; });
    return queue.shift();
  };
  await once(ws, "open");
  return ws;
}

async function echoes(ws, list) {
  for (const message of list) {
    ws.send(message);
    assert.deepStrictEqual(await ws.next(), message);
  }
}

const some = ["text", "", Buffer.alloc(0), Buffer.from([0, 255, 7]), "数据 🙂", "x".repeat(70_000), Buffer.alloc(70_000, 5)];

const cases = {
  async compressed(ws) {
    assert.match(ws.extensions, /^permessage-deflate/);
    await echoes(ws, [...some, "again and again ".repeat(10_000)]);
  },
  async plain(ws) {
    assert.strictEqual(ws.extensions, "");
    await echoes(ws, some);
  },
  async large(ws) {
    for (const message of ["large ".repeat(LARGE / 6), Buffer.alloc(LARGE, 3)]) {
      ws.send(message);
      const back = await ws.next();
      assert.ok(typeof message === "string" ? back === message : message.equals(back), "16 MiB come back");
    }
  },
  async fragments(ws) {
    ws.send("frag", { fin: false });
    ws.send("men", { fin: false });
    ws.ping("between");
    ws.send("ted");
    assert.strictEqual(await ws.next(), "fragmented");
    ws.send("fragments");
    assert.strictEqual(await ws.next(), "servers");
  },
  async pings(ws) {
    const pong = once(ws, "pong");
    ws.ping("now");
    assert.strictEqual((await pong)[0].toString(), "now");
    ws.send("ping");
    assert.strictEqual(await ws.next(), "pong from you");
  },
  async subprotocol(ws) {
    assert.strictEqual(ws.protocol, "chat");
  },
  async closes(ws) {
    const end = once(ws, "close");
    ws.close(4002, "enough");
    assert.strictEqual((await end)[0], 4002);
  },
  async closed(ws) {
    const end = once(ws, "close");
    ws.send("close 4001");
    const [code, reason] = await end;
    assert.deepStrictEqual([code, reason.toString()], [4001, "as asked"]);
  },
};

(async () => {
  for (const [name, run] of Object.entries(cases)) {
    for (const perMessageDeflate of [true, false]) {
      if ((name === "compressed" && !perMessageDeflate) || (name === "plain" && perMessageDeflate)) continue;
      const ws = await open(name === "subprotocol" ? ["superchat", "chat"] : [], { perMessageDeflate });
      await run(ws);
      ws.terminate();
      console.log(`ok ${name}${perMessageDeflate ? "" : " without compression"}`);
    }
  }
  process.exit(0);
})().catch((error) => {
  console.error("FAIL", error);
  process.exit(1);
});
