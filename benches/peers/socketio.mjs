// Socket.IO with its Redis adapter: everybody is in one room, and what somebody says goes to all of it, on all nodes.
// node socketio.mjs PORT REDIS-PORT
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.PEERS}/`);
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const Redis = require("ioredis");

const [port, redis] = process.argv.slice(2).map(Number);
const publisher = new Redis(redis);
const server = createServer();
const io = new Server(server, { transports: ["websocket"], adapter: createAdapter(publisher, publisher.duplicate()) });
io.on("connection", (socket) => {
  socket.join("fan");
  socket.on("say", (text) => io.to("fan").emit("said", text));
});
server.listen(port, "127.0.0.1", () => console.log("ready"));
